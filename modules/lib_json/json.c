#include "lib_json/json.h"

#include <stdlib.h>

struct scan {
    const unsigned char *at, *end;
    const char *why;
};

static bool fail(struct scan *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return false;
}

/* Length of the UTF-8 sequence at p, 0 if there is none [RFC 3629]. */
static size_t utf8_length(const unsigned char *p, const unsigned char *end)
{
    static const struct {
        unsigned char first, last, low, high; /* of the lead byte; of the one behind it */
        unsigned char length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t length = forms[i].length;
        if (*p < forms[i].first || *p > forms[i].last)
            continue;
        if ((size_t)(end - p) < length)
            return 0;
        if (length > 1 && (p[1] < forms[i].low || p[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < length; k++) {
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        }
        return length;
    }
    return 0;
}

bool json_is_text(struct skep_str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr, *end = p + bytes.len;

    while (p < end) {
        size_t length = utf8_length(p, end);
        if (length == 0)
            return false;
        p += length;
    }
    return true;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at >= s->end || *s->at != (unsigned char)c)
        return false;
    s->at++;
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
        return fail(s, "not JSON");
    s->at += len;
    return true;
}

/* The four digits of \uXXXX; -1: they are none. */
static long scan_hex4(struct scan *s)
{
    long value = 0;

    if (s->end - s->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = *s->at++;
        long digit = c >= '0' && c <= '9'   ? c - '0'
                     : c >= 'a' && c <= 'f' ? c - 'a' + 10
                     : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                            : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool scan_escape(struct scan *s)
{
    if (s->at >= s->end)
        return fail(s, "a string without end");
    unsigned char c = *s->at++;
    if (c != 'u')
        return strchr("\"\\/bfnrt", c) && c ? true : fail(s, "an escape that does not exist");
    long code = scan_hex4(s);
    if (code < 0)
        return fail(s, "an escape that does not exist");
    if (code == 0)
        return fail(s, "a NUL in a string");
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail(s, "half a surrogate pair");
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!take(s, '\\') || !take(s, 'u'))
            return fail(s, "half a surrogate pair");
        code = scan_hex4(s);
        if (code < 0xdc00 || code > 0xdfff)
            return fail(s, "half a surrogate pair");
    }
    return true;
}

static bool scan_string(struct scan *s)
{
    if (!take(s, '"'))
        return fail(s, "not JSON");
    while (s->at < s->end) {
        if (take(s, '"'))
            return true;
        if (take(s, '\\')) {
            if (!scan_escape(s))
                return false;
            continue;
        }
        size_t length = utf8_length(s->at, s->end);
        if (length == 0)
            return fail(s, "a string that is not UTF-8");
        if (*s->at < 0x20)
            return fail(s, "a control character in a string");
        s->at += length;
    }
    return fail(s, "a string without end");
}

static bool digits(struct scan *s)
{
    const unsigned char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool scan_number(struct scan *s)
{
    const unsigned char *from = s->at;

    take(s, '-');
    if (!take(s, '0') && !digits(s))
        return fail(s, "not JSON");
    if (take(s, '.') && !digits(s))
        return fail(s, "a number that is none");
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        if (!digits(s))
            return fail(s, "a number that is none");
    }
    /* cJSON reads a number through a buffer of 64 */
    return s->at - from < 60 ? true : fail(s, "a number that is too long");
}

static bool scan_value(struct scan *s, unsigned depth);

static bool scan_members(struct scan *s, unsigned depth)
{
    size_t count = 0;

    skip_space(s);
    if (take(s, '}'))
        return true;
    do {
        if (++count > JSON_MEMBERS)
            return fail(s, "an object with too many members");
        skip_space(s);
        if (!scan_string(s))
            return false;
        skip_space(s);
        if (!take(s, ':') || !scan_value(s, depth))
            return fail(s, "not JSON");
    } while (take(s, ','));
    return take(s, '}') ? true : fail(s, "an object without end");
}

static bool scan_items(struct scan *s, unsigned depth)
{
    skip_space(s);
    if (take(s, ']'))
        return true;
    do {
        if (!scan_value(s, depth))
            return false;
    } while (take(s, ','));
    return take(s, ']') ? true : fail(s, "an array without end");
}

/* With the space around it. */
static bool scan_value(struct scan *s, unsigned depth)
{
    bool good;

    if (depth == 0)
        return fail(s, "nested too deeply");
    skip_space(s);
    if (s->at >= s->end)
        return fail(s, "it ends too early");
    switch (*s->at) {
    case '{':
        s->at++;
        good = scan_members(s, depth - 1);
        break;
    case '[':
        s->at++;
        good = scan_items(s, depth - 1);
        break;
    case '"':
        good = scan_string(s);
        break;
    case 't':
        good = scan_word(s, "true");
        break;
    case 'f':
        good = scan_word(s, "false");
        break;
    case 'n':
        good = scan_word(s, "null");
        break;
    default:
        good = scan_number(s);
    }
    skip_space(s);
    return good;
}

/* Compared as they are meant, after escapes: "a" and "\u0061" are one name. */
static bool names_differ(const cJSON *value)
{
    for (const cJSON *a = value->child; a; a = a->next) {
        if (a->child && !names_differ(a))
            return false;
        if (!cJSON_IsObject(value))
            continue;
        for (const cJSON *b = a->next; b; b = b->next) {
            if (strcmp(a->string, b->string) == 0)
                return false;
        }
    }
    return true;
}

cJSON *json_parse(struct skep_str text, const char **why)
{
    const unsigned char *from = (const unsigned char *)text.ptr;
    struct scan s = {from, from + text.len, NULL};
    cJSON *value = NULL;

    if (text.len == 0)
        fail(&s, "it is empty");
    else if (scan_value(&s, JSON_DEPTH) && s.at < s.end)
        fail(&s, "something behind the value");
    if (!s.why && !(value = cJSON_ParseWithLength(text.ptr, text.len)))
        fail(&s, "no memory for it");
    if (value && !names_differ(value)) {
        cJSON_Delete(value);
        value = NULL;
        fail(&s, "a name twice in one object");
    }
    *why = s.why;
    return value;
}

const cJSON *json_member(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *json_text(const cJSON *value)
{
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

static const cJSON *item_at(const cJSON *array, const char *digits_, size_t len)
{
    char *end;
    char text[8];

    if (!cJSON_IsArray(array) || len == 0 || len >= sizeof text)
        return NULL;
    memcpy(text, digits_, len);
    text[len] = '\0';
    unsigned long i = strtoul(text, &end, 10);
    return *end || text[0] < '0' || text[0] > '9' ? NULL : cJSON_GetArrayItem(array, (int)i);
}

const cJSON *json_at(const cJSON *value, const char *path)
{
    const cJSON *whole = json_member(value, path);
    const char *dot = strchr(path, '.');
    const cJSON *step = NULL;

    if (whole)
        return whole;
    if (!dot)
        return item_at(value, path, strlen(path));
    if (cJSON_IsArray(value))
        step = item_at(value, path, (size_t)(dot - path));
    for (const cJSON *m = cJSON_IsObject(value) ? value->child : NULL; m && !step; m = m->next) {
        if (strncmp(m->string, path, (size_t)(dot - path)) == 0 && m->string[dot - path] == '\0')
            step = m;
    }
    return step ? json_at(step, dot + 1) : NULL;
}
