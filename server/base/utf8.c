#include "base/utf8.h"

#include <stdint.h>

#define ONES  0x0101010101010101u
#define HIGHS 0x8080808080808080u

/* Nonzero when some byte of the word is at or above 0x80, or, with `no_nul`, zero.
 * The classic borrow trick may mark a byte above a zero byte as well; the answer
 * for the word as a whole is exact. */
static inline uint64_t word_stops(uint64_t w, bool no_nul)
{
    return (w | (no_nul ? w - ONES : 0)) & HIGHS;
}

/* Length of the multi-byte sequence at p, or 0 if it is ill-formed.  The second
 * byte carries all special cases (Unicode Standard, table 3-7). */
static size_t sequence_length(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0], low = 0x80, high = 0xBF;
    size_t len;

    if (lead < 0xC2 || lead > 0xF4)
        return 0; /* a stray continuation byte, C0 and C1 (over-long), F5 to FF */
    len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (left < len)
        return 0;
    if (lead == 0xE0)
        low = 0xA0; /* below: over-long */
    else if (lead == 0xED)
        high = 0x9F; /* above: surrogates D800 to DFFF */
    else if (lead == 0xF0)
        low = 0x90; /* below: over-long */
    else if (lead == 0xF4)
        high = 0x8F; /* above: beyond U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

static inline bool check(struct str s, bool no_nul)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t left = s.len;

    while (left > 0) {
        uint64_t w;
        if (left >= sizeof w) {
            memcpy(&w, p, sizeof w);
            if (!word_stops(w, no_nul)) {
                p += sizeof w;
                left -= sizeof w;
                continue;
            }
        }
        size_t n = 1;
        if (*p >= 0x80)
            n = sequence_length(p, left);
        else if (*p == 0 && no_nul)
            n = 0;
        if (n == 0)
            return false;
        p += n;
        left -= n;
    }
    return true;
}

bool utf8_is_valid(struct str s)
{
    return check(s, false);
}

bool utf8_is_text(struct str s)
{
    return check(s, true);
}
