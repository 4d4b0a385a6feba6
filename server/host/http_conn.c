/* A connection of the HTTP server: from bytes to a request, from an answer to bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/refbuf.h"
#include "host/http_server.h"
#include "net/listen.h"
#include "net/loop.h"

/* -- The end of an answer, and of a connection -- */

static struct host_place *place_of(const struct http_conn *c)
{
    return c->place;
}

static void wait_for_request(struct http_conn *c)
{
    c->state = HTTP_HEAD;
    c->looked = 0;
    c->chunks = (struct http_chunks){0};
    host_timer_set(place_of(c), &c->deadline, c->idle_ms);
    if (conn_paused(c->conn))
        conn_resume(c->conn);
}

static void answered(struct http_conn *c)
{
    if (c->last)
        conn_kill_later(c->conn, CONN_KILLED, HTTP_SERVER_LINGER_MS);
    else
        wait_for_request(c);
}

/* The request did not come, or its answer does not go. */
static void on_deadline(struct host_timer *timer)
{
    struct http_conn *c = CONTAINER_OF(timer, struct http_conn, deadline);
    conn_kill(c->conn, CONN_TIMED_OUT);
}

/* -- Answers -- */

static const char *status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } all[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].status == status)
            return all[i].text;
    }
    return "Status";
}

static void write_date(char out[32], uint64_t wall_ms)
{
    time_t now = (time_t)(wall_ms / 1000);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(out, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static bool has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

static const char *head_of_answer(struct http_conn *c, struct skep_http_exchange *x,
                                  unsigned status, const char *content_type, size_t len)
{
    struct arena *a = &x->arena;
    char date[32];

    write_date(date, loop_wall_ms(place_of(c)->loop));
    const char *head =
        arena_printf(a, "HTTP/1.1 %u %s\r\nDate: %s\r\n", status, status_text(status), date);
    if (has_body(status))
        head = arena_printf(a, "%sContent-Length: %zu\r\n", head, len);
    if (has_body(status) && content_type)
        head = arena_printf(a, "%sContent-Type: %s\r\n", head, content_type);
    for (struct http_field *f = x->fields; f; f = f->next)
        head = arena_printf(a, "%s%s: %s\r\n", head, f->name, f->value);
    if (c->last)
        return arena_printf(a, "%sConnection: close\r\n\r\n", head);
    return arena_printf(a, "%s%s\r\n", head, x->head.old ? "Connection: keep-alive\r\n" : "");
}

struct answer_bytes {
    struct refbuf refs;
    char bytes[];
};

static void bytes_release(struct refbuf *refs)
{
    free(CONTAINER_OF(refs, struct answer_bytes, refs));
}

/* Head and body as one piece that the connection may keep without another copy. */
static enum conn_result send_bytes(struct http_conn *c, struct str head, struct str body)
{
    struct answer_bytes *b = malloc(sizeof *b + head.len + body.len);

    if (!b) {
        conn_kill(c->conn, CONN_MEMORY);
        return CONN_FAILED;
    }
    b->refs = (struct refbuf){.refs = 1, .release = bytes_release};
    memcpy(b->bytes, head.ptr, head.len);
    if (body.len)
        memcpy(b->bytes + head.len, body.ptr, body.len);
    const struct out_vec v = {b->bytes, head.len + body.len, &b->refs};
    enum conn_result result = conn_send(c->conn, &v, 1);
    refbuf_unref(&b->refs);
    return result;
}

void http_conn_answer(struct http_conn *c, struct skep_http_exchange *x, unsigned status,
                      const char *content_type, struct str body)
{
    bool bare = str_eq(x->head.method, STR("HEAD")) || !has_body(status);

    c->exchange = NULL;
    x->conn = NULL;
    if (conn_dying(c->conn))
        return;
    c->last |= !x->head.keep_alive;
    const char *head = head_of_answer(c, x, status, content_type, body.len);
    switch (send_bytes(c, str_of(head), bare ? STR_NONE : body)) {
    case CONN_SENT:
        answered(c);
        break;
    case CONN_BLOCKED:
        c->state = HTTP_SENDING;
        host_timer_set(place_of(c), &c->deadline, c->idle_ms);
        break;
    case CONN_FAILED:
        break;
    }
}

/* -- Requests -- */

/* Said by the server itself; the connection ends behind it, for what follows is not understood. */
static void refuse(struct http_conn *c, unsigned status, const char *why)
{
    static const struct http_head nothing = {.method = {"", 0}};

    if (!c->exchange)
        c->exchange = http_exchange_new(c, STR(""), &nothing);
    struct skep_http_exchange *x = c->exchange;
    c->last = true;
    http_exchange_plain(x, status, why);
    http_exchange_free(x);
}

static void request_is_whole(struct http_conn *c)
{
    c->state = HTTP_ANSWERING;
    host_timer_cancel(place_of(c), &c->deadline);
    conn_pause(c->conn);
    http_dispatch(c, c->exchange);
}

static void say_continue(struct http_conn *c)
{
    const struct out_vec v = {"HTTP/1.1 100 Continue\r\n\r\n", 25, NULL};

    if (conn_send(c->conn, &v, 1) == CONN_BLOCKED)
        conn_kill(c->conn, CONN_ERROR); /* an empty socket buffer takes 25 bytes */
}

static size_t take_head(struct http_conn *c, struct str bytes)
{
    struct http_head parsed;
    const char *why = NULL;
    size_t len = http_head_end(bytes, &c->looked);

    if (len > HTTP_HEAD_MAX || (len == 0 && bytes.len > HTTP_HEAD_MAX)) {
        refuse(c, 431, "the headers are too long");
        return bytes.len;
    }
    if (len == 0)
        return 0;
    struct str head = {bytes.ptr, len};
    int status = http_head_parse(&parsed, head, &why);
    if (status != 0) {
        refuse(c, (unsigned)status, why);
        return len;
    }
    c->exchange = http_exchange_new(c, head, &parsed);
    c->state = HTTP_BODY;
    c->chunks = (struct http_chunks){0};
    if (!parsed.chunked && parsed.length > c->server->max_body) {
        refuse(c, 413, "the body is too large");
        return len;
    }
    if (!parsed.chunked && parsed.length == 0)
        request_is_whole(c);
    else if (parsed.wants_continue)
        say_continue(c);
    return len;
}

static bool keep(struct http_conn *c, struct str data)
{
    if (http_exchange_add_body(c->exchange, data, c->server->max_body))
        return true;
    refuse(c, 413, "the body is too large");
    return false;
}

static size_t take_chunk(struct http_conn *c, struct str bytes)
{
    struct str data;
    size_t used = http_chunks_step(&c->chunks, bytes, &data);

    if (c->chunks.state == CHUNK_WRONG) {
        refuse(c, 400, "the chunked body is malformed");
        return bytes.len;
    }
    if (data.len > 0 && !keep(c, data))
        return bytes.len;
    if (c->chunks.state == CHUNK_DONE)
        request_is_whole(c);
    return used;
}

static size_t take_body(struct http_conn *c, struct str bytes)
{
    struct skep_http_exchange *x = c->exchange;

    if (x->head.chunked)
        return take_chunk(c, bytes);
    size_t left = (size_t)x->head.length - x->body_len;
    size_t used = bytes.len < left ? bytes.len : left;
    if (!keep(c, (struct str){bytes.ptr, used}))
        return bytes.len;
    if (used == left)
        request_is_whole(c);
    return used;
}

/* -- What net tells -- */

void http_conn_list(struct http_conn *c)
{
    struct skep_http_server *s = c->server;

    c->next = s->conns;
    c->link = &s->conns;
    if (c->next)
        c->next->link = &c->next;
    s->conns = c;
}

static void *on_up(struct conn *conn, void *host)
{
    struct host *h = host;
    struct skep_http_server *s = http_server_of(h, conn_listener(conn));

    if (!s)
        return NULL;
    struct http_conn *c = xcalloc(1, sizeof *c);
    c->server = s;
    c->place = &h->places[h->loop_count];
    c->conn = conn;
    c->idle_ms = s->idle_ms;
    c->deadline.fn = on_deadline;
    http_conn_list(c);
    wait_for_request(c);
    return c;
}

static size_t on_data(struct conn *conn, void *owner, uint8_t *buf, size_t len)
{
    struct http_conn *c = owner;
    size_t used = 0, step = 1;

    while (step > 0 && used < len && !conn_dying(conn)) {
        struct str bytes = {(const char *)buf + used, len - used};
        step = c->state == HTTP_HEAD   ? take_head(c, bytes)
               : c->state == HTTP_BODY ? take_body(c, bytes)
                                       : 0;
        used += step;
    }
    return used;
}

static void on_writable(struct conn *conn, void *owner)
{
    struct http_conn *c = owner;

    if (conn_flush(conn) == CONN_SENT && c->state == HTTP_SENDING && !conn_dying(conn))
        answered(c);
}

static void on_closed(struct conn *conn, void *owner, enum conn_cause cause)
{
    struct http_conn *c = owner;

    if (c->exchange && c->state == HTTP_BODY)
        http_exchange_free(c->exchange);
    else if (c->exchange)
        c->exchange->conn = NULL; /* it is the module's */
    host_timer_cancel(place_of(c), &c->deadline);
    *c->link = c->next;
    if (c->next)
        c->next->link = c->link;
    free(c);
}

const struct conn_handler http_conn_handler = {
    .up = on_up, .data = on_data, .writable = on_writable, .closed = on_closed};

void http_conns_retire(struct skep_http_server *s)
{
    for (struct http_conn *c = s->conns; c; c = c->next) {
        c->last = true;
        if (c->state == HTTP_HEAD && !conn_dying(c->conn))
            conn_kill_later(c->conn, CONN_KILLED, HTTP_SERVER_LINGER_MS);
    }
}
