/* What happens before the front hears of a connection, and the way of bytes through the
 * layers: socket, then PROXY header, TLS, WebSocket, then data(). */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "net/ws.h"

enum {
    FAIL_LINGER_MS = 500, /* for an alert or an HTTP error to be read */
    TLS_READ_SIZE = 49152,
};

static void up(struct conn *c)
{
    c->phase = PHASE_OPEN;
    if (c->layer)
        wheel_cancel(&conn_home(c)->wheel, &c->layer->timer);
    c->owner = conn_handler_of(c)->up(c, listener_user(conn_origin(c)));
    if (c->owner)
        c->flags |= CONN_UP;
    else
        conn_kill(c, CONN_KILLED);
}

/* Starts the given phase, or the first one behind it that this listener has. */
static void enter(struct conn *c, enum conn_phase phase)
{
    struct tls_context *ctx;

    c->phase = (uint8_t)phase;
    if (phase <= PHASE_PROXY && listener_proxy(conn_origin(c)) != LISTEN_PROXY_OFF) {
        proxied_begin(c);
    } else if (phase <= PHASE_TLS && (ctx = listener_tls(conn_origin(c)))) {
        c->phase = PHASE_TLS;
        tls_begin(c, ctx);
    } else if (phase <= PHASE_UPGRADE && listener_ws_rules(conn_origin(c))) {
        c->phase = PHASE_UPGRADE;
        ws_begin(c);
    } else {
        up(c);
    }
}

void phase_begin(struct conn *c)
{
    struct loop *l = conn_home(c);

    enter(c, PHASE_PROXY);
    if (c->phase < PHASE_OPEN)
        wheel_add(&l->wheel, &c->layer->timer, l->now_ms + listener_handshake_ms(conn_origin(c)));
}

void phase_next(struct conn *c)
{
    enter(c, c->phase + 1);
}

void phase_fail(struct conn *c, enum conn_cause cause, const char *reason)
{
    char peer[CONN_ADDR_MAX];

    log_limited(LOG_LEVEL_INFO, "net", "%s: %s: %s: %s",
                conn_origin(c) ? listener_name(conn_origin(c)) : "outgoing", conn_peer(c, peer),
                conn_cause_text(cause), reason);
    conn_kill_later(c, cause, FAIL_LINGER_MS);
}

void phase_read(struct conn *c)
{
    uint8_t *buf = conn_home(c)->buffer + LOOP_HEADROOM;
    bool tls = c->layer->tls != NULL;

    if (tls && tls_must_wait(c))
        return; /* still readable, so its turn comes again */
    size_t n = input_recv(c, buf, tls ? TLS_READ_SIZE : LOOP_READ_SIZE);
    if (n > 0)
        phase_raw_input(c, buf, n);
}

void phase_raw_input(struct conn *c, uint8_t *buf, size_t len)
{
    if (c->phase == PHASE_PROXY)
        proxied_input(c, buf, len);
    else if (c->layer->tls)
        tls_input(c, buf, len);
    else
        phase_app_input(c, buf, len);
}

void phase_app_input(struct conn *c, uint8_t *buf, size_t len)
{
    if (c->layer->ws)
        ws_input(c, buf, len);
    else
        input_deliver(c, buf, len);
}

void phase_goodbye(struct conn *c)
{
    if (c->layer->ws)
        ws_goodbye(c);
    if (c->layer->tls && !c->out)
        tls_goodbye(c);
}

void phase_free(struct conn *c)
{
    if (!c->layer)
        return;
    wheel_cancel(&conn_home(c)->wheel, &c->layer->timer);
    proxied_free(c);
    tls_free(c);
    ws_free(c);
    free(c->layer);
    c->layer = NULL;
}
