#include "utf8.h"

/* Length of the character at s, 0 when it is none. */
static size_t one(const unsigned char *s, size_t left)
{
    static const uint32_t least[5] = {[2] = 0x80, [3] = 0x800, [4] = 0x10000};
    size_t len = s[0] < 0x80       ? 1
                 : s[0] >> 5 == 6  ? 2
                 : s[0] >> 4 == 14 ? 3
                 : s[0] >> 3 == 30 ? 4
                                   : 0;
    uint32_t c;

    if (len == 1)
        return s[0] != 0;
    if (len == 0 || len > left)
        return 0;
    c = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

bool text_is_utf8(struct skep_str s)
{
    for (size_t at = 0; at < s.len;) {
        size_t n = one((const unsigned char *)s.ptr + at, s.len - at);

        if (n == 0)
            return false;
        at += n;
    }
    return true;
}
