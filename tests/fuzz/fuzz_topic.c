/* Topic names, filters and their matching against second opinions written for
 * clarity, not speed.  Input: filter, newline, name. */
#include "fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "mqtt/topic.h"

/* Decodes code points and judges the value, where base/utf8.c judges the bytes. */
static bool text_ok(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    size_t i = 0;

    while (i < s.len) {
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        uint32_t c = p[i];
        size_t n = c < 0x80 ? 1 : (c & 0xE0) == 0xC0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : 4;
        if (n == 4 && (c & 0xF8) != 0xF0)
            return false;
        if (n > 1)
            c &= 0xFFu >> (n + 1);
        if (n > s.len - i)
            return false;
        for (size_t k = 1; k < n; k++) {
            if ((p[i + k] & 0xC0) != 0x80)
                return false;
            c = c << 6 | (p[i + k] & 0x3F);
        }
        if (c == 0 || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) || (n > 1 && c < least[n]))
            return false;
        i += n;
    }
    return true;
}

static size_t level_end(struct str s, size_t from)
{
    while (from < s.len && s.ptr[from] != '/')
        from++;
    return from;
}

static unsigned level_count(struct str s)
{
    unsigned levels = 1;

    for (size_t i = 0; i < s.len; i++)
        levels += s.ptr[i] == '/';
    return levels;
}

static bool holds_wildcard(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '+' || s.ptr[i] == '#')
            return true;
    return false;
}

static bool name_ok(struct str s, unsigned levels)
{
    return s.len > 0 && s.len <= 65535 && text_ok(s) && !holds_wildcard(s) &&
           level_count(s) <= levels;
}

static bool levels_ok(struct str s)
{
    for (size_t from = 0;;) {
        size_t end = level_end(s, from);
        struct str level = {s.ptr + from, end - from};
        if (holds_wildcard(level) && level.len != 1)
            return false;
        if (level.len == 1 && level.ptr[0] == '#' && end != s.len)
            return false;
        if (end == s.len)
            return true;
        from = end + 1;
    }
}

static bool filter_ok(struct str s, unsigned levels)
{
    if (s.len > 65535 || !text_ok(s))
        return false;
    if (str_starts(s, STR("$share/"))) {
        size_t end = level_end(s, 7);
        struct str name = {s.ptr + 7, end - 7};
        if (name.len == 0 || holds_wildcard(name) || end == s.len)
            return false;
        s = (struct str){s.ptr + end + 1, s.len - end - 1};
    }
    return s.len > 0 && levels_ok(s) && level_count(s) <= levels;
}

/* Level by level from the indexes f and n on; an index beyond the end is "no level". */
static bool rest_matches(struct str filter, size_t f, struct str name, size_t n)
{
    for (;;) {
        bool filter_over = f > filter.len, name_over = n > name.len;
        size_t f_end = filter_over ? f : level_end(filter, f);
        size_t n_end = name_over ? n : level_end(name, n);
        if (!filter_over && f_end - f == 1 && filter.ptr[f] == '#')
            return true;
        if (filter_over || name_over)
            return filter_over && name_over;
        if (!(f_end - f == 1 && filter.ptr[f] == '+') &&
            (f_end - f != n_end - n || memcmp(filter.ptr + f, name.ptr + n, n_end - n) != 0))
            return false;
        f = f_end + 1;
        n = n_end + 1;
    }
}

static bool matches(struct str filter, struct str name)
{
    if (name.ptr[0] == '$' && (filter.ptr[0] == '+' || filter.ptr[0] == '#'))
        return false;
    return rest_matches(filter, 0, name, 0);
}

static void check_texts(struct str s)
{
    struct str text = {s.ptr, s.len};

    MUST(utf8_is_text(text) == text_ok(text));
    for (unsigned levels = 1; levels < 6; levels++) {
        MUST((topic_name_check(s, levels) == TOPIC_OK) == name_ok(s, levels));
        MUST((topic_filter_check(s, levels) == TOPIC_OK) == filter_ok(s, levels));
    }
    MUST((topic_name_check(s, 0) == TOPIC_OK) == name_ok(s, UINT32_MAX));
    MUST((topic_filter_check(s, 0) == TOPIC_OK) == filter_ok(s, UINT32_MAX));
    MUST(topic_filter_has_wildcard(s) == holds_wildcard(s));
}

static void check_match(struct str filter, struct str name)
{
    struct str share, rest;

    if (topic_filter_check(filter, 0) != TOPIC_OK || topic_name_check(name, 0) != TOPIC_OK)
        return;
    if (topic_share_split(filter, &share, &rest)) {
        MUST(share.len + rest.len + strlen("$share//") == filter.len);
        filter = rest;
    }
    MUST(topic_matches(filter, name) == matches(filter, name));
    if (!holds_wildcard(filter))
        MUST(topic_matches(filter, name) == str_eq(filter, name));
    MUST(topic_matches(name, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *cut = size ? memchr(data, '\n', size) : NULL;
    size_t filter_len = cut ? (size_t)(cut - data) : size;
    struct str filter = {(const char *)data, filter_len}, name = STR_NONE;

    check_texts(filter);
    if (cut) {
        name = (struct str){(const char *)cut + 1, size - filter_len - 1};
        check_texts(name);
        check_match(filter, name);
    }
    return 0;
}
