#include "ctl/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"

enum { UNSENT_MAX = 256 * 1024, GOODBYE_MS = 2000 };

/* Where an outgoing message stands, by packet id. */
enum flight { FLIGHT_NONE, FLIGHT_PUBACK, FLIGHT_PUBREC, FLIGHT_PUBCOMP };

struct client {
    const struct client_conf *conf;
    struct client_events events;
    struct link *link;
    uint8_t version;
    bool connected, stopped;
    struct bytes in;
    struct mqtt_connack connack;
    char *id;
    uint32_t keep_alive_ms;
    uint64_t last_sent, ping_sent; /* ping_sent is 0 when no answer is due */
    uint16_t next_id;
    unsigned inflight;
    uint8_t flights[65536];
    struct {
        char *topic; /* by alias, from the broker */
    } * aliases;
};

const struct mqtt_connack *client_connack(const struct client *c)
{
    return &c->connack;
}

const char *client_id(const struct client *c)
{
    return c->id;
}

unsigned client_inflight(const struct client *c)
{
    return c->inflight;
}

/* -- Sending -- */

static void client_send(struct client *c, const uint8_t *packet, size_t len)
{
    struct mqtt_frame frame;

    link_write(c->link, packet, len);
    c->last_sent = clock_mono_ms();
    if (c->events.on_trace && mqtt_frame_peek(packet, len, &frame) == 1)
        c->events.on_trace(c->events.arg, true, &frame);
}

/* The packets below differ only in which writer fills them: once to learn the size, once more
 * when the first guess of room was too small. */
#define CLIENT_PUT(c, first_size, WRITE)                                                           \
    do {                                                                                           \
        struct bytes packet_ = {0};                                                                \
        struct mqtt_out o = {bytes_room(&packet_, (first_size)), (first_size), 0};                 \
        WRITE;                                                                                     \
        if (!mqtt_out_fits(&o)) {                                                                  \
            size_t size_ = o.need;                                                                 \
            o = (struct mqtt_out){bytes_room(&packet_, size_), size_, 0};                          \
            WRITE;                                                                                 \
        }                                                                                          \
        client_send((c), packet_.ptr, o.need);                                                     \
        bytes_fini(&packet_);                                                                      \
    } while (0)

static void client_ack(struct client *c, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    CLIENT_PUT(c, 16, mqtt_put_ack(&o, type, c->version, packet_id, reason, STR_NONE, UINT32_MAX));
}

static uint16_t client_take_id(struct client *c)
{
    do {
        c->next_id = c->next_id == UINT16_MAX ? 1 : (uint16_t)(c->next_id + 1);
    } while (c->flights[c->next_id] != FLIGHT_NONE);
    return c->next_id;
}

bool client_has_room(const struct client *c)
{
    unsigned window = c->connack.receive_maximum;

    if (c->conf->max_inflight < window)
        window = c->conf->max_inflight;
    return c->inflight < window && link_unsent(c->link) < UNSENT_MAX;
}

static int publish_check(const struct client *c, const struct mqtt_publish *m, struct fault *fault)
{
    if (m->qos > c->connack.maximum_qos) {
        fault_set(fault, "this broker offers QoS %u at most", c->connack.maximum_qos);
        return fault_hint(fault, "publish with -q %u", c->connack.maximum_qos);
    }
    if (m->retain && !c->connack.retain_available) {
        fault_set(fault, "this broker does not offer retained messages");
        return fault_hint(fault, "publish without -r");
    }
    if (m->topic_alias > c->connack.topic_alias_maximum) {
        fault_set(fault, "this broker takes topic aliases up to %u",
                  c->connack.topic_alias_maximum);
        return fault_hint(fault, "publish without --topic-alias, or with a smaller one");
    }
    return 0;
}

int client_publish(struct client *c, struct mqtt_publish *m, struct fault *fault)
{
    struct mqtt_out measure = {NULL, 0, 0};

    if (publish_check(c, m, fault) < 0)
        return -1;
    m->packet_id = 0;
    mqtt_put_publish(&measure, c->version, m);
    if (measure.need > c->connack.maximum_packet_size)
        return fault_set(fault, "the message makes a packet of %zu bytes; this broker takes %u",
                         measure.need, c->connack.maximum_packet_size);
    if (m->qos > 0) {
        m->packet_id = client_take_id(c);
        c->flights[m->packet_id] = m->qos == 1 ? FLIGHT_PUBACK : FLIGHT_PUBREC;
        c->inflight++;
    }
    CLIENT_PUT(c, measure.need, mqtt_put_publish(&o, c->version, m));
    return m->packet_id;
}

int client_subscribe(struct client *c, const struct mqtt_subscription *subs, size_t count,
                     uint32_t subscription_id, struct str user_props)
{
    uint16_t id = client_take_id(c);

    CLIENT_PUT(c, 1024,
               mqtt_put_subscribe(&o, c->version, id, subscription_id, subs, count, user_props));
    return id;
}

int client_unsubscribe(struct client *c, const struct str *filters, size_t count,
                       struct str user_props)
{
    uint16_t id = client_take_id(c);

    CLIENT_PUT(c, 1024, mqtt_put_unsubscribe(&o, c->version, id, filters, count, user_props));
    return id;
}

/* -- Receiving -- */

static int broken(struct fault *fault, const struct mqtt_frame *frame, int reason)
{
    return fault_set(fault, "the broker sent a %s that is wrong: %s", mqtt_type_name(frame->type),
                     mqtt_reason_text((unsigned)reason));
}

/* Fills in the topic behind an alias, or learns a new one.  0, or -1. */
static int alias_resolve(struct client *c, struct mqtt_publish *m, struct fault *fault)
{
    char **slot;

    if (m->topic_alias == 0)
        return 0;
    if (m->topic_alias > c->conf->connect.topic_alias_maximum)
        return fault_set(fault, "the broker used topic alias %u, above our limit", m->topic_alias);
    if (!c->aliases)
        c->aliases = xcalloc(c->conf->connect.topic_alias_maximum + 1u, sizeof *c->aliases);
    slot = &c->aliases[m->topic_alias].topic;
    if (m->topic.len > 0) {
        free(*slot);
        *slot = str_dup(m->topic);
    } else if (*slot) {
        m->topic = str_of(*slot);
    } else {
        return fault_set(fault, "the broker used topic alias %u without naming it", m->topic_alias);
    }
    return 0;
}

static int on_publish(struct client *c, const struct mqtt_frame *frame, struct fault *fault)
{
    struct mqtt_publish m;
    int reason = mqtt_decode_publish(frame, c->version, true, &m);
    uint8_t *seen, bit;
    bool again;

    if (reason != 0)
        return broken(fault, frame, reason);
    seen = &c->conf->memory->received[m.packet_id >> 3];
    bit = (uint8_t)(1 << (m.packet_id & 7));
    if (alias_resolve(c, &m, fault) < 0)
        return -1;
    again = m.qos == 2 && *seen & bit;
    if (!again && c->events.on_message)
        c->stopped = !c->events.on_message(c->events.arg, &m);
    if (m.qos == 2)
        *seen |= bit;
    if (m.qos > 0)
        client_ack(c, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, m.packet_id, RC_SUCCESS);
    return 0;
}

static void flight_end(struct client *c, const struct mqtt_ack *ack)
{
    c->flights[ack->packet_id] = FLIGHT_NONE;
    c->inflight--;
    if (c->events.on_published)
        c->events.on_published(c->events.arg, ack);
}

static int on_ack(struct client *c, const struct mqtt_frame *frame, struct fault *fault)
{
    struct mqtt_ack ack;
    int reason = mqtt_decode_ack(frame, c->version, &ack);
    uint8_t flight;

    if (reason != 0)
        return broken(fault, frame, reason);
    if (frame->type == MQTT_PUBREL) {
        c->conf->memory->received[ack.packet_id >> 3] &= (uint8_t) ~(1 << (ack.packet_id & 7));
        client_ack(c, MQTT_PUBCOMP, ack.packet_id, RC_SUCCESS);
        return 0;
    }
    flight = c->flights[ack.packet_id];
    if (frame->type == MQTT_PUBREC && flight == FLIGHT_PUBREC && ack.reason < 0x80) {
        c->flights[ack.packet_id] = FLIGHT_PUBCOMP;
        client_ack(c, MQTT_PUBREL, ack.packet_id, RC_SUCCESS);
        return 0;
    }
    if ((frame->type == MQTT_PUBACK && flight == FLIGHT_PUBACK) ||
        (frame->type == MQTT_PUBREC && flight == FLIGHT_PUBREC) ||
        (frame->type == MQTT_PUBCOMP && flight == FLIGHT_PUBCOMP)) {
        flight_end(c, &ack);
        return 0;
    }
    return fault_set(fault, "the broker sent a %s for packet id %u, which does not await one",
                     mqtt_type_name(frame->type), ack.packet_id);
}

static int on_suback(struct client *c, const struct mqtt_frame *frame, struct fault *fault)
{
    struct mqtt_suback ack;
    int reason = mqtt_decode_suback(frame, c->version, &ack);

    if (reason != 0)
        return broken(fault, frame, reason);
    if (frame->type == MQTT_SUBACK && c->events.on_subscribed)
        c->events.on_subscribed(c->events.arg, &ack);
    if (frame->type == MQTT_UNSUBACK && c->events.on_unsubscribed)
        c->events.on_unsubscribed(c->events.arg, &ack);
    return 0;
}

static int on_disconnect(const struct client *c, const struct mqtt_frame *frame,
                         struct fault *fault)
{
    struct mqtt_disconnect d;
    int reason = mqtt_decode_disconnect(frame, c->version, &d);

    if (reason != 0)
        return broken(fault, frame, reason);
    fault_set(fault, "the broker ended the connection: %s (0x%02X)%s%.*s",
              mqtt_reason_text(d.reason), d.reason, d.reason_string.len ? ": " : "",
              STR_ARG(d.reason_string));
    if (d.reason == RC_TAKEN_OVER)
        fault_hint(fault, "another client connected with this client id; choose one with -i");
    if (d.server_reference.len)
        fault_hint(fault, "it names another server: %.*s", STR_ARG(d.server_reference));
    return -1;
}

static int connack_refused(const struct client *c, const struct mqtt_connack *a,
                           struct fault *fault)
{
    static const char *const v3_texts[] = {"",
                                           "unacceptable protocol version",
                                           "client identifier rejected",
                                           "server unavailable",
                                           "bad user name or password",
                                           "not authorized"};
    bool v3 = c->version < MQTT_50;
    uint8_t nearest = v3 ? a->reason : mqtt_reason_to_v3_connack(a->reason);

    fault_set(fault, "the broker refused the connection: %s (0x%02X)%s%.*s",
              v3 && a->reason < ARRAY_LEN(v3_texts) ? v3_texts[a->reason]
                                                    : mqtt_reason_text(a->reason),
              a->reason, a->reason_string.len ? ": " : "", STR_ARG(a->reason_string));
    if (nearest == 1)
        fault_hint(fault, "try another version with -V (5, 311 or 31)");
    else if (nearest == 2)
        fault_hint(fault, "choose another client id with -i");
    else if (nearest >= 4)
        fault_hint(fault, "check -u and the password (--password-file, --ask-password)");
    if (a->server_reference.len)
        fault_hint(fault, "it names another server: %.*s", STR_ARG(a->server_reference));
    return -1;
}

static int on_connack(struct client *c, const struct mqtt_frame *frame, struct fault *fault)
{
    const struct mqtt_connect *asked = &c->conf->connect;
    int reason = mqtt_decode_connack(frame, c->version, &c->connack);
    unsigned keep_alive = asked->keep_alive;

    if (reason != 0)
        return broken(fault, frame, reason);
    if (c->connack.reason != RC_SUCCESS)
        return connack_refused(c, &c->connack, fault);
    if (c->connack.has_server_keep_alive)
        keep_alive = c->connack.server_keep_alive;
    c->keep_alive_ms = keep_alive * 1000;
    if (!c->connack.session_present)
        memset(c->conf->memory, 0, sizeof *c->conf->memory);
    c->id = str_dup(c->connack.assigned_client_id.len ? c->connack.assigned_client_id
                                                      : asked->client_id);
    /* The views point into the packet, which is about to go. */
    c->connack.assigned_client_id = c->connack.reason_string = c->connack.response_info =
        c->connack.server_reference = c->connack.auth_method = c->connack.auth_data =
            c->connack.props = STR_NONE;
    c->connected = true;
    return 0;
}

static int client_handle(struct client *c, const struct mqtt_frame *frame, struct fault *fault)
{
    if (c->events.on_trace)
        c->events.on_trace(c->events.arg, false, frame);
    if (!c->connected && frame->type != MQTT_CONNACK && frame->type != MQTT_DISCONNECT)
        return fault_set(fault, "the broker sent a %s before CONNACK", mqtt_type_name(frame->type));
    switch (frame->type) {
    case MQTT_CONNACK:
        return on_connack(c, frame, fault);
    case MQTT_PUBLISH:
        return on_publish(c, frame, fault);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return on_ack(c, frame, fault);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return on_suback(c, frame, fault);
    case MQTT_PINGRESP:
        c->ping_sent = 0;
        return 0;
    case MQTT_DISCONNECT:
        return on_disconnect(c, frame, fault);
    default:
        return fault_set(fault, "the broker sent a %s, which only clients send",
                         mqtt_type_name(frame->type));
    }
}

/* Reads what is there and handles every whole packet. */
static int client_receive(struct client *c, struct fault *fault)
{
    size_t done = 0;
    long got = link_read(c->link, &c->in, fault);
    int err = 0, whole = 0;

    while (err == 0 && !c->stopped && done < c->in.len) {
        struct mqtt_frame frame;

        whole = mqtt_frame_peek(c->in.ptr + done, c->in.len - done, &frame);
        if (whole <= 0)
            break;
        err = client_handle(c, &frame, fault);
        done += frame.size;
    }
    /* A refusal that came before the close says more than the close. */
    if (err == 0 && whole < 0)
        err = fault_set(fault, "what the broker sends is not MQTT");
    bytes_take(&c->in, done);
    return err < 0 || got < 0 ? -1 : 0;
}

/* -- Time -- */

/* Milliseconds until the keep-alive needs attention; sends the ping that is due.  -1: never. */
static int keep_alive_tend(struct client *c, struct fault *fault)
{
    uint64_t now = clock_mono_ms(), due;

    if (c->keep_alive_ms == 0 || !c->connected)
        return INT32_MAX;
    if (c->ping_sent && now - c->ping_sent >= c->keep_alive_ms)
        return fault_set(fault, "the broker has not answered a ping for %u s",
                         c->keep_alive_ms / 1000);
    if (!c->ping_sent && now - c->last_sent >= c->keep_alive_ms) {
        CLIENT_PUT(c, 2, mqtt_put_pingreq(&o));
        c->ping_sent = now;
    }
    due = (c->ping_sent ? c->ping_sent : c->last_sent) + c->keep_alive_ms;
    return due - now > INT32_MAX ? INT32_MAX : (int)(due - now);
}

int client_turn(struct client *c, int extra_fd, int timeout_ms, struct fault *fault)
{
    int tend = keep_alive_tend(c, fault);
    int ready;

    if (tend < 0 || link_flush(c->link, fault) < 0)
        return -1;
    if (timeout_ms < 0 || tend < timeout_ms)
        timeout_ms = tend;
    ready = link_wait(c->link, extra_fd, timeout_ms);
    if (ready & LINK_READY && client_receive(c, fault) < 0)
        return -1;
    if (link_flush(c->link, fault) < 0)
        return -1;
    return ready & LINK_EXTRA;
}

int client_drain(struct client *c, struct fault *fault)
{
    for (;;) {
        if (link_flush(c->link, fault) < 0)
            return -1;
        if (link_unsent(c->link) == 0)
            return 0;
        if (client_turn(c, -1, -1, fault) < 0)
            return -1;
    }
}

/* -- Life -- */

enum ctl_status client_open(struct client **out, const struct client_conf *conf,
                            const struct client_events *events, struct fault *fault)
{
    struct client *c = xcalloc(1, sizeof *c);
    uint64_t deadline = clock_mono_ms() + conf->link.timeout_ms;

    c->conf = conf;
    c->events = *events;
    c->version = conf->connect.version;
    if (link_open(&c->link, &conf->link, fault) < 0) {
        client_free(&c);
        return CTL_UNREACHABLE;
    }
    CLIENT_PUT(c, 1024, mqtt_put_connect(&o, &conf->connect));
    while (!c->connected) {
        uint64_t now = clock_mono_ms();
        bool refused;

        if (now >= deadline) {
            fault_set(fault, "the broker did not answer CONNECT within %u s",
                      conf->link.timeout_ms / 1000);
            fault_hint(fault, "is this an MQTT port?  TLS ports need --tls, WebSocket ports --ws");
            client_free(&c);
            return CTL_UNREACHABLE;
        }
        if (client_turn(c, -1, (int)(deadline - now), fault) == 0)
            continue;
        refused = c->connack.reason != 0;
        if (!refused && strstr(fault->text, "closed"))
            fault_hint(fault, "is this an MQTT port?  TLS ports need --tls, WebSocket ports --ws");
        client_free(&c);
        return refused ? CTL_REFUSED : CTL_LOST;
    }
    *out = c;
    return CTL_OK;
}

void client_close(struct client *c, uint8_t reason)
{
    struct fault ignored;

    CLIENT_PUT(c, 16, mqtt_put_client_disconnect(&o, c->version, reason, false, 0));
    link_flush(c->link, &ignored);
    link_finish(c->link, GOODBYE_MS);
}

void client_free(struct client **cp)
{
    struct client *c = *cp;

    if (!c)
        return;
    link_free(&c->link);
    bytes_fini(&c->in);
    for (unsigned i = 0; c->aliases && i <= c->conf->connect.topic_alias_maximum; i++)
        free(c->aliases[i].topic);
    free(c->aliases);
    free(c->id);
    free(c);
    *cp = NULL;
}
