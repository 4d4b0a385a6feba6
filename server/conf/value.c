#include "conf/value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/mem.h"
#include "conf/near.h"

static int fail(struct value_error *e, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct value_error *e, const char *hint, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(e->message, sizeof e->message, fmt, args);
    va_end(args);
    snprintf(e->hint, sizeof e->hint, "%s", hint ? hint : "");
    return ERR_SYNTAX;
}

/* Shortened and made printable for a message. */
struct shown {
    char text[48];
};

static struct shown show(struct str s)
{
    struct shown out;
    size_t n = s.len < 40 ? s.len : 40;

    for (size_t i = 0; i < n; i++)
        out.text[i] = s.ptr[i] >= 0x20 && s.ptr[i] < 0x7f ? s.ptr[i] : '?';
    snprintf(out.text + n, sizeof out.text - n, "%s", s.len > n ? "..." : "");
    return out;
}

/* The digits at the head of *s, which is moved behind them. */
static int take_number(struct str *s, uint64_t *out)
{
    size_t n = 0;

    *out = 0;
    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(s->ptr[n] - '0'), out))
            return ERR_LIMIT;
    s->ptr += n;
    s->len -= n;
    return n ? 0 : ERR_SYNTAX;
}

static int number_error(int err, struct str s, const char *what, const char *hint,
                        struct value_error *e)
{
    if (err == ERR_LIMIT)
        return fail(e, NULL, "%s is too large a number", show(s).text);
    return fail(e, hint, "'%s' is not %s", show(s).text, what);
}

int value_uint(struct str s, uint64_t *out, struct value_error *e)
{
    struct str rest = s;
    int err = take_number(&rest, out);

    if (err < 0)
        return number_error(err, s, "a number", NULL, e);
    if (rest.len)
        return fail(e, "a plain number is wanted here", "'%s' is not a number", show(s).text);
    return 0;
}

static int size_unit(struct str unit, uint64_t *factor)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0},    {"b", 0},  {"k", 10},  {"kb", 10}, {"m", 20},
                 {"mb", 20}, {"g", 30}, {"gb", 30}, {"t", 40},  {"tb", 40}};

    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (unit.len == strlen(units[i].name) &&
            strncasecmp(unit.ptr, units[i].name, unit.len) == 0) {
            *factor = UINT64_C(1) << units[i].shift;
            return 0;
        }
    return ERR_NOT_FOUND;
}

int value_size(struct str s, uint64_t *bytes, struct value_error *e)
{
    static const char hint[] = "sizes look like 512, 64k, 1m or 1g";
    struct str rest = s;
    uint64_t factor;
    int err = take_number(&rest, bytes);

    if (err < 0)
        return number_error(err, s, "a size", hint, e);
    if (size_unit(rest, &factor) < 0)
        return fail(e, hint, "unknown unit '%s'", show(rest).text);
    if (__builtin_mul_overflow(*bytes, factor, bytes))
        return fail(e, NULL, "%s is too large a size", show(s).text);
    return 0;
}

static const struct {
    const char *name;
    uint64_t ms;
} duration_units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

/* The unit at the head of *s; "ms" before "m". */
static int take_unit(struct str *s, uint64_t *ms)
{
    size_t n = 0;

    while (n < s->len && (s->ptr[n] < '0' || s->ptr[n] > '9'))
        n++;
    for (size_t i = 0; i < ARRAY_LEN(duration_units); i++)
        if (str_eq((struct str){s->ptr, n}, str_of(duration_units[i].name))) {
            *ms = duration_units[i].ms;
            s->ptr += n;
            s->len -= n;
            return 0;
        }
    s->len = n; /* for the message: the unit alone */
    return ERR_NOT_FOUND;
}

int value_duration(struct str s, uint64_t *ms, struct value_error *e)
{
    static const char hint[] = "durations look like 500ms, 30s, 5m, 1h or 7d";
    struct str rest = s;
    uint64_t smaller_than = UINT64_MAX, n, unit;

    *ms = 0;
    if (str_eq(s, STR("0")))
        return 0;
    do {
        int err = take_number(&rest, &n);
        if (err < 0)
            return number_error(err, s, "a duration", hint, e);
        if (rest.len == 0)
            return fail(e, hint, "the duration '%s' has no unit", show(s).text);
        if (take_unit(&rest, &unit) < 0)
            return fail(e, hint, "unknown unit '%s'", show(rest).text);
        if (unit >= smaller_than)
            return fail(e, "for example 1h30m", "the units of '%s' are out of order", show(s).text);
        smaller_than = unit;
        if (__builtin_mul_overflow(n, unit, &n) || __builtin_add_overflow(*ms, n, ms))
            return fail(e, NULL, "%s is too long a duration", show(s).text);
    } while (rest.len);
    return 0;
}

int value_rate(struct str s, uint64_t *per_second, struct value_error *e)
{
    static const char hint[] = "rates look like 100/s or 64k/s";

    if (s.len < 3 || memcmp(s.ptr + s.len - 2, "/s", 2) != 0)
        return fail(e, hint, "'%s' is not a rate", show(s).text);
    s.len -= 2;
    return value_size(s, per_second, e);
}

int value_bool(struct str s, bool *out, struct value_error *e)
{
    static const char *const words[] = {"off", "on", "deny", "allow", "no", "yes", "false", "true"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(s, str_of(words[i]))) {
            *out = i & 1;
            return 0;
        }
    return fail(e, "write on or off", "'%s' is neither on nor off", show(s).text);
}

int value_mode(struct str s, uint64_t *mode, struct value_error *e)
{
    *mode = 0;
    for (size_t i = 0; i < s.len; i++)
        *mode = s.ptr[i] >= '0' && s.ptr[i] <= '7' && s.len <= 4
                    ? *mode << 3 | (uint64_t)(s.ptr[i] - '0')
                    : UINT64_MAX >> 8;
    if (s.len < 3 || *mode > 0777)
        return fail(e, "three octal digits, for example 0660", "'%s' is not a file mode",
                    show(s).text);
    return 0;
}

struct str value_choice_name(const char *choices, uint64_t index)
{
    for (; *choices; index--) {
        size_t n = strcspn(choices, "|");
        if (index == 0)
            return (struct str){choices, n};
        choices += n + (choices[n] == '|');
    }
    return STR_NONE;
}

int value_choice(struct str s, const char *choices, uint64_t *index, struct value_error *e)
{
    struct near near;
    struct str name;
    char hint[80] = "";

    near_init(&near, s);
    for (*index = 0; (name = value_choice_name(choices, *index)).len; ++*index) {
        if (str_eq(s, name))
            return 0;
        near_offer(&near, name);
    }
    if (near_best(&near).len)
        snprintf(hint, sizeof hint, "did you mean %.*s?", STR_ARG(near_best(&near)));
    return fail(e, hint, "'%s' is not one of %s", show(s).text, choices);
}

static int address_port(struct str digits, struct value_address *out, struct value_error *e)
{
    uint64_t port;
    struct value_error unused;

    if (value_uint(digits, &port, &unused) < 0 || port > 65535)
        return fail(e, NULL, "'%s' is not a port (0 to 65535)", show(digits).text);
    out->has_port = true;
    out->port = (uint16_t)port;
    return 0;
}

/* Splits off the port.  More than one colon without brackets is a bare IPv6 address. */
static int address_split(struct str s, struct value_address *out, struct value_error *e)
{
    const char *colon = memchr(s.ptr, ':', s.len), *end = s.ptr + s.len;

    out->host = s;
    if (s.len && s.ptr[0] == '[') {
        const char *close = memchr(s.ptr, ']', s.len);
        if (!close || (close + 1 < end && close[1] != ':'))
            return fail(e, "for example [::1]:1883", "'%s' is not an address", show(s).text);
        out->is_v6 = true;
        out->host = (struct str){s.ptr + 1, (size_t)(close - s.ptr - 1)};
        if (close + 1 < end)
            return address_port((struct str){close + 2, (size_t)(end - close - 2)}, out, e);
    } else if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1))) {
        out->is_v6 = true;
    } else if (colon) {
        out->host.len = (size_t)(colon - s.ptr);
        return address_port((struct str){colon + 1, (size_t)(end - colon - 1)}, out, e);
    }
    return 0;
}

static int address_host(struct value_address *out, struct value_error *e)
{
    static const char hint[] = "0.0.0.0 and [::] stand for every address of this machine, "
                               "127.0.0.1 and [::1] for local clients only";
    struct in6_addr v6;
    struct in_addr v4;
    char text[INET6_ADDRSTRLEN + 16];
    char *scope;

    if (out->host.len >= sizeof text)
        return fail(e, hint, "'%s' is not an IP address", show(out->host).text);
    memcpy(text, out->host.ptr, out->host.len);
    text[out->host.len] = '\0';
    if (out->is_v6 && (scope = strchr(text, '%')) != NULL)
        *scope = '\0'; /* fe80::1%eth0 */
    if (out->is_v6 ? inet_pton(AF_INET6, text, &v6) != 1 : inet_pton(AF_INET, text, &v4) != 1)
        return fail(e, hint, "'%s' is not an IP address", show(out->host).text);
    if (out->is_v6)
        out->is_loopback =
            IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    else
        out->is_loopback = ntohl(v4.s_addr) >> 24 == 127;
    return 0;
}

int value_address(struct str s, struct value_address *out, struct value_error *e)
{
    int err;

    *out = (struct value_address){0};
    if (str_starts(s, STR("unix:"))) {
        out->is_unix = out->is_loopback = true;
        out->host = (struct str){s.ptr + 5, s.len - 5};
        if (out->host.len == 0 || out->host.len > 107)
            return fail(e, NULL, "the path of a Unix socket has 1 to 107 bytes");
        return 0;
    }
    if ((err = address_split(s, out, e)) < 0)
        return err;
    return address_host(out, e);
}

const char *value_print_size(struct arena *a, uint64_t bytes)
{
    static const char units[] = "kmgt";
    int unit = -1;

    while (bytes && bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    return unit < 0 ? arena_printf(a, "%" PRIu64, bytes)
                    : arena_printf(a, "%" PRIu64 "%c", bytes, units[unit]);
}

const char *value_print_duration(struct arena *a, uint64_t ms)
{
    for (size_t i = 0; i < ARRAY_LEN(duration_units); i++)
        if (ms && ms % duration_units[i].ms == 0)
            return arena_printf(a, "%" PRIu64 "%s", ms / duration_units[i].ms,
                                duration_units[i].name);
    return "0";
}

static bool plain_enough(struct str s)
{
    if (s.len == 0 || s.ptr[0] == '#')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= 0x20 || s.ptr[i] == 0x7f || strchr(";{}\"'\\", s.ptr[i]))
            return false;
    return true;
}

const char *value_quote(struct arena *a, struct str s)
{
    char *out, *p;

    if (plain_enough(s))
        return arena_cstr(a, s);
    p = out = arena_alloc(a, s.len * 4 + 3);
    *p++ = '"';
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\')
            p += sprintf(p, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            p += sprintf(p, "\\x%02x", c);
        else
            *p++ = (char)c;
    }
    *p++ = '"';
    return out;
}
