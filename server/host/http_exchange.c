/* <skep/http.h>: one request, as a module reads and answers it. */
#include <ctype.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/http_head.h"
#include "host/http_server.h"
#include "net/loop.h"

/* Moves a view of the head that was parsed into the copy of it. */
static struct str moved(struct str view, struct str from, const char *to)
{
    return view.ptr ? (struct str){to + (view.ptr - from.ptr), view.len} : view;
}

struct skep_http_exchange *http_exchange_new(struct http_conn *c, struct str head,
                                             const struct http_head *parsed)
{
    struct skep_http_exchange *x = xcalloc(1, sizeof *x);
    const char *copy = arena_str(&x->arena, head).ptr;

    x->conn = c;
    x->head = *parsed;
    if (head.len > 0) {
        x->head.method = moved(parsed->method, head, copy);
        x->head.path = moved(parsed->path, head, copy);
        x->head.query = moved(parsed->query, head, copy);
        x->head.fields = moved(parsed->fields, head, copy);
    }
    conn_peer(c->conn, x->peer);
    return x;
}

bool http_exchange_add_body(struct skep_http_exchange *x, struct str more, size_t most)
{
    if (more.len > most - x->body_len)
        return false;
    if (x->body_len + more.len > x->body_cap) {
        size_t cap = 2 * (x->body_len + more.len);
        char *body = realloc(x->body, cap);
        if (!body)
            return false;
        x->body = body;
        x->body_cap = cap;
    }
    memcpy(x->body + x->body_len, more.ptr, more.len);
    x->body_len += more.len;
    return true;
}

void http_exchange_free(struct skep_http_exchange *x)
{
    arena_fini(&x->arena);
    free(x->body);
    free(x);
}

void http_exchange_plain(struct skep_http_exchange *x, unsigned status, const char *text)
{
    const char *line = arena_printf(&x->arena, "%s\n", text);

    http_conn_answer(x->conn, x, status, "text/plain; charset=utf-8", str_of(line));
}

/* -- Reading -- */

static struct skep_str borrowed(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

struct skep_str skep_http_method(const struct skep_http_exchange *x)
{
    return borrowed(x->head.method);
}

struct skep_str skep_http_path(const struct skep_http_exchange *x)
{
    return borrowed(x->path);
}

bool skep_http_query(const struct skep_http_exchange *x, const char *name, struct skep_str *value)
{
    struct arena *arena = (struct arena *)&x->arena;
    struct str raw;
    size_t len;

    if (!http_query_find(x->head.query, str_of(name), &raw))
        return false;
    char *decoded = arena_alloc(arena, raw.len + 1);
    if (!http_decode(raw, true, decoded, &len))
        return false;
    decoded[len] = '\0';
    *value = skep_bytes(decoded, len);
    return true;
}

struct skep_str skep_http_header(const struct skep_http_exchange *x, const char *name)
{
    return http_head_find(borrowed(x->head.fields), name);
}

struct skep_str skep_http_body(const struct skep_http_exchange *x)
{
    return skep_bytes(x->body, x->body_len);
}

struct skep_str skep_http_peer(const struct skep_http_exchange *x)
{
    return skep_str(x->peer);
}

/* -- Answering -- */

static bool valid_name(const char *name)
{
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-.^_`|~", *c))
            return false;
    }
    return *name != '\0';
}

static bool valid_value(const char *value)
{
    for (const char *c = value; *c; c++) {
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    }
    return true;
}

/* What frames the answer is the server's. */
static bool reserved(const char *name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection",
                                        "date"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

void skep_http_set_header(struct skep_http_exchange *x, const char *name, const char *value)
{
    if (!valid_name(name) || !valid_value(value) || reserved(name)) {
        log_limited(LOG_LEVEL_ERROR, "host", "module %s sets an HTTP header that cannot be sent",
                    x->module->name);
        return;
    }
    struct http_field **at = &x->fields;
    while (*at)
        at = &(*at)->next;
    *at = arena_alloc(&x->arena, sizeof **at);
    **at = (struct http_field){.name = arena_cstr(&x->arena, str_of(name)),
                               .value = arena_cstr(&x->arena, str_of(value))};
}

void skep_http_answer(struct skep_http_exchange *x, unsigned status, const char *content_type,
                      struct skep_str body)
{
    if (x->conn && host_here != x->conn->place) {
        log_error("host", "module %s answers an HTTP request outside of the management loop",
                  x->module->name);
        return;
    }
    if (content_type && !valid_value(content_type))
        content_type = NULL;
    if (status < 200 || status > 599)
        status = 500;
    if (x->conn)
        http_conn_answer(x->conn, x, status, content_type, (struct str){body.ptr, body.len});
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    http_exchange_free(x);
}
