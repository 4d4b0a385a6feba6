#include "front/client.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "core/will.h"
#include "front/entrance.h"
#include "front/hooks.h"

enum {
    CTL_FIRST = 512,
    CTL_HOLD = 64 * 1024, /* so much unsent control output, and the client is not read from */
    LINGER_MS = 1000,
};

/* -- The link: core's way out -- */

static struct client *client_of(struct link *link)
{
    return CONTAINER_OF(link, struct client, link);
}

static enum link_sent link_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    switch (conn_send(client_of(link)->conn, vec, count)) {
    case CONN_SENT:
        return LINK_SENT;
    case CONN_BLOCKED:
        return LINK_BLOCKED;
    case CONN_FAILED:
    default:
        return LINK_FAILED;
    }
}

struct client_task {
    struct loop_task task;
    struct client *client;
    void (*fn)(struct client *c);
};

static void client_free(struct client *c)
{
    c->magic = 0;
    if (c->extra) {
        free(c->extra->connect);
        free(c->extra->auth_method);
    }
    free(c->extra);
    free(c);
}

static void task_run(struct loop_task *task, struct loop *l)
{
    struct client_task *t = CONTAINER_OF(task, struct client_task, task);
    struct client *c = t->client;
    void (*fn)(struct client *c) = t->fn;

    free(t);
    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    fn(c);
    if (atomic_fetch_sub(&c->pending, 1) == 1 && c->gone)
        client_free(c);
}

void client_post(struct client *c, void (*fn)(struct client *c))
{
    struct client_task *t = xmalloc(sizeof *t);

    *t = (struct client_task){.task = {.run = task_run}, .client = c, .fn = fn};
    loop_post(c->desk->loop, &t->task);
}

static void kick_arrived(struct client *c)
{
    uint8_t reason = atomic_exchange(&c->kicked, 0);

    if (c->gone)
        return;
    if (reason == RC_TAKEN_OVER)
        COUNT(c->desk->w, takeovers);
    client_end(c, reason, NULL);
}

/* Any worker, session lock held, so the client cannot be freed meanwhile. */
static void link_kick(struct link *link, uint8_t reason)
{
    struct client *c = client_of(link);
    uint8_t none = 0;

    if (!atomic_compare_exchange_strong(&c->kicked, &none, reason))
        return;
    atomic_fetch_add(&c->pending, 1);
    client_post(c, kick_arrived);
}

static const struct link_ops link_ops = {.send = link_send, .kick = link_kick};

/* -- Output -- */

struct mqtt_out client_out(struct client *c, size_t need)
{
    uint32_t len = c->ctl ? c->ctl->len : 0, cap = c->ctl ? c->ctl->cap : 0;

    if (len + need > cap) {
        for (cap = cap ? cap : CTL_FIRST; cap < len + need;)
            cap *= 2;
        c->ctl = xrealloc(c->ctl, sizeof *c->ctl + cap);
        c->ctl->len = len;
        c->ctl->cap = cap;
    }
    return (struct mqtt_out){.ptr = c->ctl->bytes + len, .cap = need};
}

void client_out_done(struct client *c, const struct mqtt_out *out)
{
    ASSERT(mqtt_out_fits(out));
    c->ctl->len += (uint32_t)out->need;
    COUNT(c->desk->w, sent_control);
    if (!c->talking) {
        c->talking = true;
        client_list_add(&c->desk->talking, c);
    }
    if (c->ctl->len > CTL_HOLD)
        conn_pause(c->conn);
}

static void ctl_drop(struct client *c)
{
    free(c->ctl);
    c->ctl = NULL;
}

/* What was not taken stays, and client_writable() comes back to it. */
static void ctl_taken(struct client *c, enum link_sent sent)
{
    if (sent == LINK_BUSY)
        return;
    bool held = c->ctl && c->ctl->len > CTL_HOLD;
    ctl_drop(c);
    c->unacked = 0;
    if (held && !c->paused && sent != LINK_FAILED)
        conn_resume(c->conn);
}

static struct str ctl_of(const struct client *c)
{
    return c->ctl ? (struct str){(const char *)c->ctl->bytes, c->ctl->len} : STR_NONE;
}

void client_flush(struct client *c)
{
    struct str ctl = ctl_of(c);

    if (conn_dying(c->conn)) {
        ctl_drop(c);
    } else if (c->state == CLIENT_LIVE) {
        ctl_taken(c, session_flush(desk_worker(c->desk), c->session, ctl));
    } else if (ctl.len > 0 && !c->link.blocked) {
        enum link_sent sent =
            link_send(&c->link, &(struct out_vec){ctl.ptr, ctl.len, NULL}, 1);
        if (sent == LINK_BLOCKED)
            c->link.blocked = true;
        else
            COUNT_N(c->desk->w, bytes_sent, ctl.len);
        ctl_taken(c, sent);
    }
}

void client_attach(struct client *c, struct session *s)
{
    c->session = s;
    c->state = CLIENT_LIVE;
    ctl_taken(c, session_attach(desk_worker(c->desk), s, &c->link, ctl_of(c)));
}

/* Still marked as blocked meanwhile, so that nobody's message gets ahead of what stands in
 * ctl: a CONNACK, a SUBACK before its retained messages. */
static bool residue_gone(struct client *c)
{
    struct lock *lock = c->session ? &c->session->lock : NULL;

    if (lock)
        lock_take(lock);
    bool gone = conn_flush(c->conn) == CONN_SENT;
    if (lock)
        lock_drop(lock);
    return gone;
}

static void client_writable(struct conn *conn, void *owner)
{
    struct client *c = owner;

    CHECK(c, CLIENT_MAGIC);
    if (!residue_gone(c))
        return;
    if (c->state == CLIENT_LIVE) {
        ctl_taken(c, session_unblock(desk_worker(c->desk), c->session, ctl_of(c)));
        client_replay_wake(c);
    } else {
        c->link.blocked = false;
        client_flush(c);
    }
}

struct str client_reason_string(const struct client *c, uint8_t type, struct str text)
{
    bool allowed = c->problem_info || type == MQTT_CONNACK || type == MQTT_DISCONNECT;

    if (c->version != MQTT_50 || !allowed || !c->desk->w->limits->reason_strings)
        return STR_NONE;
    return text;
}

/* -- The end -- */

static void put_farewell(struct client *c, uint8_t reason, struct str text,
                         struct str server_reference)
{
    uint32_t limit = c->link.maximum_packet;
    struct mqtt_out out =
        client_out(c, 64 + text.len + server_reference.len);

    if (c->state == CLIENT_LIVE) {
        mqtt_put_disconnect(&out, c->version, reason,
                            client_reason_string(c, MQTT_DISCONNECT, text),
                            server_reference, limit);
    } else if (c->version == MQTT_50) {
        struct mqtt_connack_out ack = {.version = MQTT_50,
                                       .reason = reason,
                                       .receive_maximum = 65535,
                                       .maximum_qos = 2,
                                       .reason_string =
                                           client_reason_string(c, MQTT_CONNACK, text),
                                       .server_reference = server_reference};
        mqtt_put_connack(&out, &ack, limit);
    } else {
        struct mqtt_connack_out ack = {.version = c->version,
                                       .reason = mqtt_reason_to_v3_connack(reason)};
        mqtt_put_connack(&out, &ack, limit);
    }
    ASSERT(mqtt_out_fits(&out));
    c->ctl->len += (uint32_t)out.need;
    COUNT(c->desk->w, sent_control);
}

/* May this reason be told in the packet that the state allows? */
static bool may_say(const struct client *c, uint8_t reason)
{
    if (c->state == CLIENT_LIVE)
        return c->version == MQTT_50 && reason != RC_SUCCESS &&
               mqtt_reason_allowed(MQTT_DISCONNECT, reason);
    if (c->version == MQTT_50)
        return mqtt_reason_allowed(MQTT_CONNACK, reason);
    /* [MQTT-3.1.4-1]: a CONNECT that breaks its format is closed without CONNACK. */
    return c->version != 0 && reason != RC_MALFORMED && reason != RC_PROTOCOL_ERROR;
}

static void leave_session(struct client *c)
{
    if (c->session)
        session_detach(desk_worker(c->desk), c->session);
}

static void log_end(const struct client *c, uint8_t reason, struct str text)
{
    char peer[CONN_ADDR_MAX];

    if (reason == RC_SHUTTING_DOWN || log_level_get() > LOG_LEVEL_INFO)
        return;
    log_kv_limited(LOG_LEVEL_INFO, "front", "connection ended by the broker",
                   LOG_TEXT("reason", mqtt_reason_text(reason)), LOG_STR("detail", text),
                   LOG_STR("client", c->session ? session_id(c->session) : STR_NONE),
                   LOG_TEXT("address", conn_peer(c->conn, peer)),
                   LOG_TEXT("listener", c->policy->name));
}

void client_redirect(struct client *c, uint8_t reason, struct str text,
                     struct str server_reference)
{
    if (c->state == CLIENT_CLOSING)
        return;
    if (c->state != CLIENT_LIVE)
        COUNT(desk_worker(c->desk), connects_refused);
    log_end(c, reason, text);
    if (may_say(c, reason))
        put_farewell(c, reason, text, server_reference);
    leave_session(c); /* from here on nobody else writes [MQTT-3.14.4-1] */
    c->state = CLIENT_CLOSING;
    if (!c->link.blocked)
        client_flush(c);
    conn_kill_later(c->conn, CONN_KILLED, LINGER_MS);
}

void client_end(struct client *c, uint8_t reason, const char *text)
{
    client_redirect(c, reason, str_of(text), STR_NONE);
}

void client_close(struct client *c, enum conn_cause cause)
{
    leave_session(c);
    c->state = CLIENT_CLOSING;
    conn_kill(c->conn, cause);
}

static void extra_fini(struct client *c)
{
    struct client_extra *x = c->extra;

    if (!x)
        return;
    client_replay_stop(c);
    if (x->aliases) {
        for (unsigned i = 0; i < x->alias_count; i++)
            free(x->aliases[i]);
    }
    free(x->aliases);
    free(x->alias_lens);
    x->aliases = NULL;
    x->alias_lens = NULL;
}

void client_extra_trim(struct client *c)
{
    struct client_extra *x = c->extra;

    if (!x || c->claiming || c->state == CLIENT_DECIDING)
        return;
    free(x->connect);
    x->connect = NULL;
    if (!x->aliases && !x->replays && !x->auth_method && x->tokens_ms == 0) {
        free(x);
        c->extra = NULL;
    }
}

static void client_closed(struct conn *conn, void *owner, enum conn_cause cause)
{
    struct client *c = owner;
    struct desk *d = c->desk;
    struct worker *w = desk_worker(d);

    CHECK(c, CLIENT_MAGIC);
    if (d->hooks->left)
        d->hooks->left(d->hooks->arg, c);
    log_debug("front", "connection closed: %s", conn_cause_text(cause));
    if (c->claiming && sessions_cancel(w, &c->extra->claim)) {
        c->claiming = false;
        atomic_fetch_sub(&c->pending, 1);
    }
    if (c->session) {
        COUNT(w, disconnects);
        session_detach(w, c->session);
        sessions_release(w, c->session);
        c->session = NULL;
    }
    wheel_cancel(loop_wheel(d->loop), &c->timer);
    if (c->talking)
        client_list_remove(&d->talking, c);
    if (c->paused)
        client_list_remove(&d->paused, c);
    ctl_drop(c);
    extra_fini(c);
    entrance_left(c);
    policy_unref(c->policy);
    c->policy = NULL;
    c->conn = NULL;
    c->gone = true;
    if (atomic_load(&c->pending) == 0)
        client_free(c);
}

/* -- Time -- */

static uint64_t keep_alive_ms(const struct client *c)
{
    return c->keep_alive * 1500ull; /* [MQTT-3.1.2-22] */
}

void client_on_timer(void *desk, struct wheel_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, timer);
    uint64_t now = loop_now_ms(c->desk->loop);

    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    if (c->state != CLIENT_LIVE) {
        if (c->state != CLIENT_CLOSING)
            COUNT(c->desk->w, connects_refused);
        client_close(c, CONN_TIMED_OUT);
    } else if (now >= c->heard_ms + keep_alive_ms(c) && (!c->paused || conn_blocked(c->conn))) {
        client_end(c, RC_KEEP_ALIVE_TIMEOUT, NULL);
    } else {
        uint64_t due = c->heard_ms + keep_alive_ms(c);
        wheel_add(loop_wheel(c->desk->loop), timer, due > now ? due : now + keep_alive_ms(c));
    }
}

void client_hold(struct client *c)
{
    conn_pause(c->conn);
    if (!c->paused) {
        c->paused = true;
        client_list_add(&c->desk->paused, c);
        desk_watch_paused(c->desk);
    }
}

/* -- Input -- */

struct client_extra *client_extra(struct client *c)
{
    if (!c->extra) {
        c->extra = xcalloc(1, sizeof *c->extra);
        c->extra->owner = c; /* once: a claim's ready() reads it on another loop */
    }
    return c->extra;
}

static void *client_up(struct conn *conn, void *user)
{
    struct entrance *entrance = user;
    struct loop *loop = conn_loop(conn);
    struct desk *d = desk_of(loop);
    struct worker *w = desk_worker(d);

    if (!entrance_admit(entrance, w))
        return NULL;
    struct client *c = xcalloc(1, sizeof *c);
    c->magic = CLIENT_MAGIC;
    c->conn = conn;
    c->desk = d;
    c->policy = entrance_policy(entrance);
    c->problem_info = true;
    c->link = (struct link){.ops = &link_ops,
                            .maximum_packet = UINT32_MAX,
                            .worker = (uint8_t)w->index,
                            .shareable = conn_shareable(conn)};
    c->heard_ms = w->now_ms;
    c->timer.kind = TIMER_CLIENT;
    wheel_add(loop_wheel(loop), &c->timer, w->now_ms + c->policy->connect_timeout_ms);
    COUNT(w, connections_accepted);
    return c;
}

/* What may come in which state; all else is a protocol error. */
#define BIT(type) (1u << (type))
static const uint32_t accepts[] = {
    [CLIENT_NEW] = BIT(MQTT_CONNECT), /* [MQTT-3.1.0-1] */
    [CLIENT_DECIDING] = BIT(MQTT_AUTH) | BIT(MQTT_DISCONNECT), /* [MQTT-3.1.2-30] */
    [CLIENT_CLAIMING] = 0,
    [CLIENT_LIVE] = BIT(MQTT_PUBLISH) | BIT(MQTT_PUBACK) | BIT(MQTT_PUBREC) | BIT(MQTT_PUBREL) |
                    BIT(MQTT_PUBCOMP) | BIT(MQTT_SUBSCRIBE) | BIT(MQTT_UNSUBSCRIBE) |
                    BIT(MQTT_PINGREQ) | BIT(MQTT_DISCONNECT) | BIT(MQTT_AUTH),
    [CLIENT_CLOSING] = 0,
};

static void client_ping(struct client *c, const struct mqtt_frame *frame)
{
    int err = mqtt_decode_ping(frame);

    if (err) {
        client_end(c, (uint8_t)err, NULL);
        return;
    }
    struct mqtt_out out = client_out(c, 2);
    mqtt_put_pingresp(&out); /* [MQTT-3.12.4-1] */
    client_out_done(c, &out);
}

static void client_packet(struct client *c, const struct mqtt_frame *frame)
{
    if (!(accepts[c->state] & BIT(frame->type))) {
        client_end(c, RC_PROTOCOL_ERROR, "packet not allowed now");
        return;
    }
    switch (frame->type) {
    case MQTT_PUBLISH:
        client_publish(c, frame);
        return;
    case MQTT_CONNECT:
        client_connect(c, frame);
        return;
    case MQTT_SUBSCRIBE:
        client_subscribe(c, frame);
        return;
    case MQTT_UNSUBSCRIBE:
        client_unsubscribe(c, frame);
        return;
    case MQTT_PINGREQ:
        client_ping(c, frame);
        return;
    case MQTT_DISCONNECT:
        client_disconnect(c, frame);
        return;
    case MQTT_AUTH:
        client_auth(c, frame);
        return;
    default:
        client_ack(c, frame);
        return;
    }
}

static uint32_t packet_limit(const struct client *c)
{
    const struct limits *l = c->desk->w->limits;
    return c->state == CLIENT_NEW ? l->connect_max_packet : l->max_packet;
}

/* The first byte alone tells whether the peer may speak MQTT at all (promise C1). */
static bool header_ok(struct client *c, const struct mqtt_frame *frame)
{
    if (c->state == CLIENT_NEW && frame->type != MQTT_CONNECT) {
        COUNT(c->desk->w, protocol_errors);
        client_close(c, CONN_KILLED);
        return false;
    }
    if (frame->size > packet_limit(c)) {
        if (c->state == CLIENT_LIVE)
            client_end(c, RC_PACKET_TOO_LARGE, "packet larger than the broker takes");
        else
            client_close(c, CONN_KILLED);
        return false;
    }
    return true;
}

static bool may_go_on(struct client *c, struct worker *w)
{
    if (c->state == CLIENT_CLOSING || conn_paused(c->conn))
        return false;
    if (w->deliveries >= WORKER_TURN_DELIVERIES) {
        conn_again(c->conn); /* enough for one turn: others wait */
        return false;
    }
    return true;
}

static size_t client_data(struct conn *conn, void *owner, uint8_t *buf, size_t len)
{
    struct client *c = owner;
    struct worker *w = desk_worker(c->desk);
    struct mqtt_frame frame;
    size_t used = 0;

    CHECK(c, CLIENT_MAGIC);
    c->heard_ms = w->now_ms;
    while (used < len && may_go_on(c, w)) {
        int whole = mqtt_frame_peek(buf + used, len - used, &frame);
        if (whole < 0) {
            client_end(c, RC_MALFORMED, "remaining length");
            break;
        }
        if (!header_ok(c, &frame))
            break;
        if (whole == 0) {
            if (frame.size > 0)
                conn_expect(conn, frame.size);
            break;
        }
        client_packet(c, &frame);
        used += frame.size;
        COUNT(w, packets_received);
    }
    COUNT_N(w, bytes_received, used);
    desk_took(c->desk, used);
    return c->state == CLIENT_CLOSING ? len : used;
}

const struct conn_handler client_handler = {
    .up = client_up,
    .data = client_data,
    .writable = client_writable,
    .closed = client_closed,
};
