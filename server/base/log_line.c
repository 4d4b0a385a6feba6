#include "base/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Kept free at the end of a line for closing quotes, "truncated" and the newline. */
enum { TAIL = 64, MESSAGE_ROOM = 2400, VALUE_ROOM = 1024 };

static size_t line_room(const struct log_line *l)
{
    return l->len + TAIL >= LOG_LINE_MAX ? 0 : LOG_LINE_MAX - TAIL - l->len;
}

static void line_put(struct log_line *l, const char *bytes, size_t len)
{
    if (len > LOG_LINE_MAX - l->len)
        len = LOG_LINE_MAX - l->len;
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

static void line_puts(struct log_line *l, const char *s)
{
    line_put(l, s, strlen(s));
}

/* Length of the UTF-8 sequence at p and its code point; 0 when it is not one. */
static size_t utf8_next(const unsigned char *p, size_t left, uint32_t *cp)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xe0) == 0xc0 ? 2
               : (p[0] & 0xf0) == 0xe0 ? 3
               : (p[0] & 0xf8) == 0xf0 ? 4
                                       : 0;
    if (n == 0 || n > left)
        return 0;
    *cp = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *cp = *cp << 6 | (p[i] & 0x3f);
    }
    if (*cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
        return 0;
    return n;
}

/* Would the character change how the rest of the line looks?  Controls, line separators
 * and the bidirectional overrides. */
static bool is_hidden(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || (cp >= 0x200b && cp <= 0x200f) ||
           (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* The escaped form of what starts at p, in `out`; returns the bytes of input it covers. */
static size_t escape_one(const unsigned char *p, size_t left, enum log_quoting quoting,
                         char out[16])
{
    uint32_t cp = 0;
    size_t n = utf8_next(p, left, &cp);

    if (n == 0) { /* JSON has no bytes: there the escape itself is escaped */
        snprintf(out, 16, quoting == LOG_IN_JSON ? "\\\\x%02x" : "\\x%02x", p[0]);
        return 1;
    }
    if (quoting != LOG_PLAIN && (cp == '"' || cp == '\\')) {
        snprintf(out, 16, "\\%c", (int)cp);
    } else if (cp == '\n' || cp == '\r' || cp == '\t') {
        snprintf(out, 16, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
    } else if (is_hidden(cp)) {
        snprintf(out, 16, "\\u%04x", cp);
    } else {
        memcpy(out, p, n);
        out[n] = '\0';
    }
    return n;
}

void log_escape(struct log_line *out, struct str s, enum log_quoting quoting, size_t room)
{
    /* An empty view may have no address, and then nothing may be added to it. */
    const unsigned char *p = (const unsigned char *)(s.ptr ? s.ptr : ""), *end = p + s.len;
    char piece[16];

    if (room > line_room(out))
        room = line_room(out);
    while (p < end) {
        p += escape_one(p, (size_t)(end - p), quoting, piece);
        size_t n = strlen(piece);
        if (n > room) {
            line_puts(out, "...");
            return;
        }
        line_put(out, piece, n);
        room -= n;
    }
}

static bool needs_quotes(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == ' ' || s.ptr[i] == '"' || s.ptr[i] == '=' || s.ptr[i] == '\\')
            return true;
    return s.len == 0;
}

static void put_value(struct log_line *l, const struct log_field *f, enum log_quoting quoting)
{
    char number[24];

    switch (f->kind) {
    case LOG_FIELD_STR:
        if (quoting == LOG_PLAIN && !needs_quotes(f->value.str)) {
            log_escape(l, f->value.str, LOG_PLAIN, VALUE_ROOM);
        } else {
            line_put(l, "\"", 1);
            log_escape(l, f->value.str, quoting == LOG_PLAIN ? LOG_QUOTED : quoting, VALUE_ROOM);
            line_put(l, "\"", 1);
        }
        return;
    case LOG_FIELD_INT:
        snprintf(number, sizeof number, "%lld", (long long)f->value.i);
        break;
    case LOG_FIELD_UINT:
        snprintf(number, sizeof number, "%llu", (unsigned long long)f->value.u);
        break;
    case LOG_FIELD_BOOL:
        snprintf(number, sizeof number, "%s", f->value.b ? "true" : "false");
        break;
    }
    line_puts(l, number);
}

/* A field is written whole or (its value) cut; one that has no room for its key at all is
 * left out and the line says so. */
static void put_fields(struct log_line *l, const struct log_record *r, enum log_quoting quoting)
{
    for (size_t i = 0; i < r->field_count; i++) {
        const struct log_field *f = &r->fields[i];
        if (line_room(l) < strlen(f->key) + 40) {
            line_puts(l, quoting == LOG_IN_JSON ? ",\"truncated\":true" : " truncated=true");
            return;
        }
        line_puts(l, quoting == LOG_IN_JSON ? ",\"" : " ");
        line_puts(l, f->key);
        line_puts(l, quoting == LOG_IN_JSON ? "\":" : "=");
        put_value(l, f, quoting);
    }
    if (r->suppressed && line_room(l) > 40) {
        struct log_field f = LOG_UINT("suppressed", r->suppressed);
        line_puts(l, quoting == LOG_IN_JSON ? ",\"suppressed\":" : " suppressed=");
        put_value(l, &f, quoting);
    }
}

static void put_time(struct log_line *l, uint64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[80];

    gmtime_r(&seconds, &tm);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
             (unsigned)(wall_ms % 1000));
    line_puts(l, text);
}

static void put_bare(struct log_line *l, const struct log_record *r)
{
    line_puts(l, r->area);
    line_puts(l, ": ");
    log_escape(l, r->message, LOG_PLAIN, MESSAGE_ROOM);
    put_fields(l, r, LOG_PLAIN);
    line_put(l, "\n", 1);
}

void log_line_bare(struct log_line *out, const struct log_record *r)
{
    out->len = 0;
    put_bare(out, r);
}

void log_line_text(struct log_line *out, const struct log_record *r)
{
    char level[16];

    out->len = 0;
    put_time(out, r->wall_ms);
    snprintf(level, sizeof level, " %-5s ", log_level_name(r->level));
    line_puts(out, level);
    put_bare(out, r);
}

void log_line_json(struct log_line *out, const struct log_record *r)
{
    out->len = 0;
    line_puts(out, "{\"time\":\"");
    put_time(out, r->wall_ms);
    line_puts(out, "\",\"level\":\"");
    line_puts(out, log_level_name(r->level));
    line_puts(out, "\",\"area\":\"");
    line_puts(out, r->area);
    line_puts(out, "\",\"message\":\"");
    log_escape(out, r->message, LOG_IN_JSON, MESSAGE_ROOM);
    line_puts(out, "\"");
    put_fields(out, r, LOG_IN_JSON);
    line_puts(out, "}\n");
}

/* The journal's native protocol: KEY=value lines.  Values hold no newline here, since
 * escaping took it, so the binary form is never needed. */
void log_line_journal(struct log_line *out, const struct log_record *r)
{
    char text[96];

    out->len = 0;
    snprintf(text, sizeof text,
             "PRIORITY=%d\nSYSLOG_IDENTIFIER=skep\nSKEP_AREA=%s\nMESSAGE=", log_severity(r->level),
             r->area);
    line_puts(out, text);
    put_bare(out, r);
    for (size_t i = 0; i < r->field_count; i++) {
        const struct log_field *f = &r->fields[i];
        if (f->kind != LOG_FIELD_STR || line_room(out) < strlen(f->key) + 40)
            continue;
        line_puts(out, "SKEP_");
        for (const char *k = f->key; *k; k++) {
            char upper = *k >= 'a' && *k <= 'z' ? (char)(*k - 'a' + 'A') : *k;
            line_put(out, &upper, 1);
        }
        line_puts(out, "=");
        log_escape(out, f->value.str, LOG_PLAIN, VALUE_ROOM);
        line_puts(out, "\n");
    }
}

int log_severity(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR:
        return 3;
    case LOG_LEVEL_WARN:
        return 4;
    case LOG_LEVEL_INFO:
        return 6;
    default:
        return 7;
    }
}
