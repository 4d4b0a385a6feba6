#include "net/ws.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"
#include "net/ws_cut.h"
#include "net/ws_frame.h"

/* Fixed once the connection is up, but for the decoder, which is the owning loop's. */
struct ws {
    struct ws_decoder decoder;
    uint16_t status;      /* to close with; 0: by the cause */
    bool open;            /* 101 was answered */
    const char *protocol; /* static */
    char *origin;
    /* The request while it is incomplete. */
    char *head;
    size_t head_len, head_cap, scanned;
};

enum { GATHER = 64 }; /* pieces framed without an allocation */

void ws_begin(struct conn *c)
{
    conn_layer(c)->ws = xcalloc(1, sizeof(struct ws));
}

static void head_free(struct ws *ws)
{
    free(ws->head);
    ws->head = NULL;
    ws->head_len = ws->head_cap = 0;
}

void ws_free(struct conn *c)
{
    struct ws *ws = c->layer->ws;
    if (!ws)
        return;
    c->layer->ws = NULL;
    head_free(ws);
    free(ws->origin);
    free(ws);
}

/* The request */

static void answer(struct conn *c, int status, const char *why, const struct ws_request *request)
{
    char text[WS_ANSWER_MAX];
    struct out_vec v = {text, ws_head_answer(text, status, why, request), NULL};

    output_below_ws(c, &v, 1);
    if (status != 101)
        phase_fail(c, CONN_PROTOCOL, why);
}

/* Keeps bytes of the request; memory follows what has come, the limit is checked before. */
static bool keep_head(struct conn *c, const uint8_t *bytes, size_t len)
{
    struct ws *ws = c->layer->ws;

    if (ws->head_len + len > ws->head_cap) {
        size_t cap = 2 * (ws->head_len + len);
        char *grown = realloc(ws->head, cap);
        if (!grown) {
            phase_fail(c, CONN_MEMORY, "no memory for the request");
            return false;
        }
        ws->head = grown;
        ws->head_cap = cap;
    }
    memcpy(ws->head + ws->head_len, bytes, len);
    ws->head_len += len;
    return true;
}

static void upgrade(struct conn *c, struct str head)
{
    struct ws *ws = c->layer->ws;
    struct ws_request request;
    const char *why = NULL;
    int status = ws_head_parse(&request, head, listener_ws_rules(conn_origin(c)), &why);

    if (status == 101) {
        ws->protocol = request.protocol;
        ws->origin = request.origin.ptr ? str_dup(request.origin) : NULL;
        ws->open = true;
    }
    answer(c, status, why, &request);
    head_free(ws);
    if (status == 101)
        phase_next(c);
}

/* Returns how many of the bytes belonged to the request. */
static size_t head_input(struct conn *c, const uint8_t *buf, size_t len)
{
    struct ws *ws = c->layer->ws;
    size_t most = listener_ws_max_head(conn_origin(c)), before = ws->head_len;
    size_t take = len < most - before ? len : most - before;

    if (!keep_head(c, buf, take))
        return len;
    size_t end = ws_head_end((struct str){ws->head, ws->head_len}, &ws->scanned);
    if (end > 0) {
        upgrade(c, (struct str){ws->head, end});
        return end - before;
    }
    if (ws->head_len >= most)
        answer(c, 431, "the request is too long", NULL);
    return len;
}

/* Frames */

static void frame_input(struct conn *c, uint8_t *buf, size_t len)
{
    struct ws *ws = c->layer->ws;
    size_t payload;
    int status = ws_decode(&ws->decoder, buf, len, &payload);

    if (payload > 0)
        input_deliver(c, buf, payload);
    if (c->flags & CONN_DYING)
        return;
    if (ws->decoder.pong_due && status == 0)
        conn_handler_of(c)->writable(c, c->owner); /* which takes its lock and flushes the pong */
    if (status == WS_CLOSE) {
        ws->status = ws->decoder.status == WS_NO_STATUS ? WS_NORMAL : ws->decoder.status;
        conn_kill(c, CONN_PEER_CLOSED);
    } else if (status < 0) {
        ws->status = (uint16_t)-status;
        phase_fail(c, CONN_PROTOCOL,
                   status == -WS_UNSUPPORTED ? "text instead of binary frames"
                                             : "malformed WebSocket frame");
    }
}

void ws_input(struct conn *c, uint8_t *buf, size_t len)
{
    if (!c->layer->ws->open) {
        size_t used = head_input(c, buf, len);
        buf += used;
        len -= used;
    }
    if (len > 0 && !(c->flags & CONN_DYING))
        frame_input(c, buf, len);
}

/* Output */

static enum conn_result send_frame(struct conn *c, enum ws_opcode opcode, const struct out_vec *v,
                                   unsigned n)
{
    struct out_vec few[GATHER + 1], *all = n <= GATHER ? few : xmalloc((n + 1) * sizeof *all);
    uint8_t head[WS_HEAD_MAX];
    uint64_t total = 0;

    for (unsigned i = 0; i < n; i++)
        total += v[i].len;
    all[0] = (struct out_vec){head, ws_head_write(head, opcode, total), NULL};
    memcpy(all + 1, v, n * sizeof *v);
    enum conn_result result = output_below_ws(c, all, n + 1);
    if (all != few)
        free(all);
    return result;
}

enum conn_result ws_send(struct conn *c, const struct out_vec *v, unsigned n)
{
    struct ws_cut cut;

    if (ws_cut_count(v, n) <= 1)
        return send_frame(c, WS_BINARY, v, n);
    if (!ws_cut_init(&cut, v, n))
        return output_fail(c);
    enum conn_result result = output_below_ws(c, cut.v, cut.n);
    ws_cut_fini(&cut);
    return result;
}

enum conn_result ws_flush(struct conn *c)
{
    struct ws_decoder *d = &c->layer->ws->decoder;
    struct out_vec v = {d->pong, d->pong_len, NULL};

    if (!d->pong_due)
        return CONN_SENT;
    d->pong_due = false;
    return send_frame(c, WS_PONG, &v, 1);
}

static uint16_t status_for(enum conn_cause cause)
{
    switch (cause) {
    case CONN_SHUTDOWN:
        return WS_GOING_AWAY;
    case CONN_MEMORY:
        return WS_INTERNAL;
    default:
        return WS_NORMAL;
    }
}

void ws_goodbye(struct conn *c)
{
    struct ws *ws = c->layer->ws;
    if (!ws->open)
        return;
    unsigned status = ws->status ? ws->status : status_for(c->cause);
    uint8_t body[2] = {(uint8_t)(status >> 8), (uint8_t)status};
    struct out_vec v = {body, sizeof body, NULL};

    ws->open = false; /* once */
    send_frame(c, WS_CLOSE, &v, 1);
}

void ws_facts(const struct conn *c, struct conn_facts *out)
{
    const struct ws *ws = c->layer->ws;

    out->is_websocket = true;
    out->ws_protocol = str_of(ws->protocol);
    out->ws_origin = str_of(ws->origin);
}
