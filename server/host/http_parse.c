#include "host/http_parse.h"

#include <strings.h>

#include "base/mem.h"

enum { CHUNK_LINE_MAX = 256, TRAILERS_MAX = 4096 };

size_t http_head_end(struct str bytes, size_t *from)
{
    size_t start = *from > 3 ? *from - 3 : 0;
    const char *end =
        bytes.len > start ? memmem(bytes.ptr + start, bytes.len - start, "\r\n\r\n", 4) : NULL;

    *from = bytes.len;
    return end ? (size_t)(end - bytes.ptr) + 4 : 0;
}

static int refuse(int status, const char *text, const char **why)
{
    *why = text;
    return status;
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
            !(c && strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.len > 0;
}

static bool no_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool same(struct str s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.ptr, word, s.len) == 0;
}

static struct str trimmed(struct str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (struct str){s.ptr + 1, s.len - 1};
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Cuts off what is before the separator; the rest stays in *rest. */
static struct str cut(struct str *rest, char separator)
{
    const char *at = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
    struct str first = {rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len};
    size_t skip = at ? first.len + 1 : first.len;

    *rest = (struct str){rest->ptr + skip, rest->len - skip};
    return first;
}

static bool list_has(struct str list, const char *word)
{
    while (list.len > 0) {
        if (same(trimmed(cut(&list, ',')), word))
            return true;
    }
    return false;
}

static bool next_line(struct str *rest, struct str *line)
{
    const char *end = memmem(rest->ptr, rest->len, "\r\n", 2);

    if (!end)
        return false;
    *line = (struct str){rest->ptr, (size_t)(end - rest->ptr)};
    *rest = (struct str){end + 2, rest->len - line->len - 2};
    return true;
}

/* "http://host/path" is the same as "/path". */
static struct str without_host(struct str target)
{
    struct str http = STR("http://"), https = STR("https://");
    size_t scheme = str_starts(target, http) ? http.len : str_starts(target, https) ? https.len : 0;
    const char *slash = scheme ? memchr(target.ptr + scheme, '/', target.len - scheme) : NULL;

    return slash ? (struct str){slash, target.len - (size_t)(slash - target.ptr)} : target;
}

/* "GET /path?query HTTP/1.1" */
static int parse_line(struct http_head *out, struct str line, const char **why)
{
    struct str rest = line;

    if (!no_control(line))
        return refuse(400, "the request line has a control character", why);
    out->method = cut(&rest, ' ');
    struct str target = cut(&rest, ' ');
    if (!is_token(out->method) || target.len == 0 || rest.len != 8 ||
        !str_starts(rest, STR("HTTP/")))
        return refuse(400, "this is not an HTTP request", why);
    if (!str_eq(rest, STR("HTTP/1.1")) && !str_eq(rest, STR("HTTP/1.0")))
        return refuse(505, "only HTTP/1.1 is spoken here", why);
    out->old = rest.ptr[7] == '0';
    out->keep_alive = !out->old;
    target = without_host(target);
    if (target.ptr[0] != '/' && !str_eq(target, STR("*")))
        return refuse(400, "the path must begin with a slash", why);
    target = cut(&target, '#');
    out->path = cut(&target, '?');
    out->query = target;
    return 0;
}

struct seen {
    bool host, length, repeated;
};

static int note_length(struct http_head *out, struct seen *seen, struct str value, const char **why)
{
    uint64_t length = 0;

    if (value.len == 0 || value.len > 15)
        return refuse(400, "Content-Length is no number", why);
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9')
            return refuse(400, "Content-Length is no number", why);
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    seen->repeated |= seen->length;
    seen->length = true;
    out->length = length;
    return 0;
}

static int note_field(struct http_head *out, struct seen *seen, struct str name, struct str value,
                      const char **why)
{
    if (same(name, "content-length"))
        return note_length(out, seen, value, why);
    if (same(name, "host")) {
        seen->repeated |= seen->host;
        seen->host = true;
    } else if (same(name, "transfer-encoding")) {
        if (!same(value, "chunked") || out->chunked)
            return refuse(501, "of the transfer codings only chunked is understood", why);
        out->chunked = true;
    } else if (same(name, "connection")) {
        if (list_has(value, "close"))
            out->keep_alive = false;
        else if (list_has(value, "keep-alive"))
            out->keep_alive = true;
    } else if (same(name, "expect")) {
        if (!same(value, "100-continue"))
            return refuse(417, "only 100-continue may be expected", why);
        out->wants_continue = true;
    }
    return 0;
}

static int parse_field(struct http_head *out, struct seen *seen, struct str line, const char **why)
{
    struct str value = line;
    struct str name = cut(&value, ':');

    if (name.len == line.len || !is_token(name))
        return refuse(400, "a header line is malformed", why);
    if (!no_control(value))
        return refuse(400, "a header's value has a control character", why);
    return note_field(out, seen, name, trimmed(value), why);
}

int http_head_parse(struct http_head *out, struct str head, const char **why)
{
    struct str rest = head, line;
    struct seen seen = {0};
    unsigned lines = 0;
    int status;

    *out = (struct http_head){0};
    if (!next_line(&rest, &line))
        return refuse(400, "this is not an HTTP request", why);
    if ((status = parse_line(out, line, why)) != 0)
        return status;
    out->fields = rest;
    while (next_line(&rest, &line) && line.len > 0) {
        if (++lines > HTTP_HEADER_LINES_MAX)
            return refuse(431, "there are too many headers", why);
        if ((status = parse_field(out, &seen, line, why)) != 0)
            return status;
    }
    if (seen.repeated)
        return refuse(400, "a header that may occur once is there twice", why);
    if (seen.length && out->chunked)
        return refuse(400, "the body has two lengths", why);
    if (!seen.host && !out->old)
        return refuse(400, "there is no Host header", why);
    return 0;
}

/* Paths and queries */

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_decode(struct str s, bool query, char *out, size_t *len)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '%') {
            int high = s.len - i > 2 ? digit(s.ptr[i + 1]) : -1;
            int low = s.len - i > 2 ? digit(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (query && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    *len = n;
    return true;
}

/* Whether an encoded name is that name. */
static bool is_named(struct str encoded, struct str name)
{
    char decoded[256];
    size_t len;

    return encoded.len <= sizeof decoded && http_decode(encoded, true, decoded, &len) &&
           str_eq((struct str){decoded, len}, name);
}

bool http_query_find(struct str query, struct str name, struct str *value)
{
    while (query.len > 0) {
        struct str rest = cut(&query, '&');
        struct str key = cut(&rest, '=');
        if (is_named(key, name)) {
            *value = rest;
            return true;
        }
    }
    return false;
}

/* Chunked bodies [RFC 9112 7.1] */

static size_t wrong(struct http_chunks *c)
{
    c->state = CHUNK_WRONG;
    return 0;
}

/* The bytes of a line with its CRLF; 0: not all there, or (state) too long. */
static size_t whole_line(struct http_chunks *c, struct str bytes, struct str *line)
{
    struct str rest = bytes;

    if (!next_line(&rest, line))
        return bytes.len > CHUNK_LINE_MAX + 1 ? wrong(c) : 0; /* with its CR */
    return line->len > CHUNK_LINE_MAX ? wrong(c) : line->len + 2;
}

static size_t step_size(struct http_chunks *c, struct str bytes)
{
    struct str line;
    size_t used = whole_line(c, bytes, &line), digits = 0;

    if (used == 0)
        return 0;
    c->left = 0;
    while (digits < line.len && digit(line.ptr[digits]) >= 0 && digits < 12)
        c->left = c->left << 4 | (uint64_t)digit(line.ptr[digits++]);
    bool ends = digits == line.len || strchr("; \t", line.ptr[digits]);
    if (digits == 0 || !ends || !no_control(line))
        return wrong(c);
    c->state = c->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    return used;
}

static size_t step_data(struct http_chunks *c, struct str bytes, struct str *data)
{
    data->ptr = bytes.ptr;
    data->len = bytes.len < c->left ? bytes.len : (size_t)c->left;
    c->left -= data->len;
    if (c->left == 0)
        c->state = CHUNK_END;
    return data->len;
}

static size_t step_end(struct http_chunks *c, struct str bytes)
{
    if (bytes.len < 2)
        return 0;
    if (memcmp(bytes.ptr, "\r\n", 2) != 0)
        return wrong(c);
    c->state = CHUNK_SIZE;
    return 2;
}

static size_t step_trailer(struct http_chunks *c, struct str bytes)
{
    struct str line;
    size_t used = whole_line(c, bytes, &line);

    c->trailers += used;
    if (c->trailers > TRAILERS_MAX)
        return wrong(c);
    if (used == 2)
        c->state = CHUNK_DONE;
    return used;
}

size_t http_chunks_step(struct http_chunks *c, struct str bytes, struct str *data)
{
    *data = STR_NONE;
    if (bytes.len == 0)
        return 0;
    switch (c->state) {
    case CHUNK_SIZE:
        return step_size(c, bytes);
    case CHUNK_DATA:
        return step_data(c, bytes, data);
    case CHUNK_END:
        return step_end(c, bytes);
    case CHUNK_TRAILER:
        return step_trailer(c, bytes);
    default:
        return 0;
    }
}
