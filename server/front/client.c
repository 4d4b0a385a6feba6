#include "front/client.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "front/client_impl.h"
#include "front/entrance.h"

enum { WALL_LOOK_MS = 60000 };

/* -- Time -- */

static uint64_t keep_alive_ms(const struct client *c)
{
    return c->keep_alive * 1500ull; /* [MQTT-3.1.2-22] */
}

/* Its silence is its own; not because we do not read. */
static bool may_be_heard(const struct client *c)
{
    return !c->asking && (!c->paused || conn_blocked(c->conn));
}

/* The end that a module set, by the wall clock. */
static bool time_is_up(const struct client *c)
{
    uint64_t expiry_ms = host_client_expiry_ms(c->host);

    return expiry_ms && loop_wall_ms(c->desk->loop) >= expiry_ms;
}

void client_arm(struct client *c)
{
    struct wheel *wheel = loop_wheel(c->desk->loop);
    uint64_t now = loop_now_ms(c->desk->loop), due = WHEEL_NEVER;
    uint64_t expiry_ms = host_client_expiry_ms(c->host), wall_ms = loop_wall_ms(c->desk->loop);

    if (c->keep_alive) {
        due = c->heard_ms + keep_alive_ms(c);
        if (due <= now)
            due = now + keep_alive_ms(c);
    }
    if (expiry_ms) { /* looked at again and again, for that clock may be set */
        uint64_t left = expiry_ms > wall_ms ? expiry_ms - wall_ms : 1;
        uint64_t look = now + (left < WALL_LOOK_MS ? left : WALL_LOOK_MS);
        due = look < due ? look : due;
    }
    if (due == WHEEL_NEVER)
        wheel_cancel(wheel, &c->timer);
    else
        wheel_add(wheel, &c->timer, due);
}

void client_on_timer(void *desk, struct wheel_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, timer);
    uint64_t now = loop_now_ms(c->desk->loop);

    CHECK(c, CLIENT_MAGIC);
    desk_worker(c->desk);
    if (c->state != CLIENT_LIVE) {
        if (c->state != CLIENT_CLOSING) {
            COUNT(c->desk->w, connects_refused);
            client_tell_refused(c, 0, STR("the connection attempt took too long"));
        }
        client_close(c, CONN_TIMED_OUT);
    } else if (time_is_up(c)) {
        client_end(c, RC_MAXIMUM_CONNECT_TIME, NULL);
    } else if (c->keep_alive && now >= c->heard_ms + keep_alive_ms(c) && may_be_heard(c)) {
        client_end(c, RC_KEEP_ALIVE_TIMEOUT, NULL);
    } else {
        client_arm(c);
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

void client_read_on(struct client *c)
{
    if (!c->paused && !c->asking && !client_output_crowded(c) && !client_park_crowded(c))
        conn_resume(c->conn);
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
    c->link = (struct link){.ops = &client_link_ops,
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
    [CLIENT_NEW] = BIT(MQTT_CONNECT),                          /* [MQTT-3.1.0-1] */
    [CLIENT_DECIDING] = BIT(MQTT_AUTH) | BIT(MQTT_DISCONNECT), /* [MQTT-3.1.2-30] */
    [CLIENT_CLAIMING] = 0,
    [CLIENT_SETTLING] = 0,
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
