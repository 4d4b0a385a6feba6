#include "player.h"

#include <stdio.h>

#include "base/mem.h"

enum {
    CONNECT = 1,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    UNSUBSCRIBE,
    UNSUBACK,
    PINGREQ,
    PINGRESP,
    DISCONNECT,
    AUTH
};

/* -- The encoder -- */

struct text {
    uint8_t bytes[2048];
    size_t len;
};

static void put(struct text *t, uint32_t value, unsigned bytes)
{
    for (unsigned i = bytes; i-- > 0;)
        t->bytes[t->len++] = (uint8_t)(value >> (8 * i));
}

static void put_string(struct text *t, const char *s)
{
    size_t len = strlen(s);
    put(t, (uint32_t)len, 2);
    memcpy(t->bytes + t->len, s, len);
    t->len += len;
}

static void put_varint(struct text *t, size_t v)
{
    do {
        t->bytes[t->len++] = (uint8_t)((v & 127) | (v > 127 ? 128 : 0));
        v >>= 7;
    } while (v);
}

static void put_block(struct text *t, const struct text *block)
{
    put_varint(t, block->len);
    memcpy(t->bytes + t->len, block->bytes, block->len);
    t->len += block->len;
}

static void send_packet(struct player *p, unsigned first, const struct text *body)
{
    struct text t = {.len = 0};

    put(&t, first, 1);
    put_block(&t, body);
    player_write(p, t.bytes, t.len);
}

void player_write(struct player *p, const void *bytes, size_t len)
{
    if (p->wire)
        wire_write(p->wire, bytes, len);
}

/* -- Connecting -- */

static void put_connect_properties(struct text *t, const struct player_options *o)
{
    struct text props = {.len = 0};

    if (o->expiry)
        put(&props, 0x11, 1), put(&props, o->expiry, 4);
    if (o->receive_maximum)
        put(&props, 0x21, 1), put(&props, o->receive_maximum, 2);
    if (o->maximum_packet)
        put(&props, 0x27, 1), put(&props, o->maximum_packet, 4);
    if (o->alias_maximum)
        put(&props, 0x22, 1), put(&props, o->alias_maximum, 2);
    if (o->auth_method)
        put(&props, 0x15, 1), put_string(&props, o->auth_method);
    if (o->auth_data)
        put(&props, 0x16, 1), put_string(&props, o->auth_data);
    put_block(t, &props);
}

static void put_will(struct player *p, struct text *t, const struct player_will *will)
{
    struct text props = {.len = 0};

    if (p->version == 5) {
        if (will->delay)
            put(&props, 0x18, 1), put(&props, will->delay, 4);
        put_block(t, &props);
    }
    put_string(t, will->topic);
    put_string(t, will->payload);
}

static void send_connect(struct player *p)
{
    const struct player_options *o = &p->options;
    struct text t = {.len = 0};
    unsigned flags = o->clean ? 2 : 0;

    if (o->will)
        flags |= 4u | (unsigned)o->will->qos << 3 | (o->will->retain ? 32 : 0);
    if (o->username)
        flags |= 128;
    put_string(&t, p->version == 3 ? "MQIsdp" : "MQTT");
    put(&t, p->version, 1);
    put(&t, flags, 1);
    put(&t, o->keep_alive, 2);
    if (p->version == 5)
        put_connect_properties(&t, o);
    put_string(&t, p->id);
    if (o->will)
        put_will(p, &t, o->will);
    if (o->username)
        put_string(&t, o->username);
    send_packet(p, CONNECT << 4, &t);
}

void player_connect(struct player *p, unsigned loop, bool shareable, size_t window,
                    const struct player_options *options)
{
    ASSERT(!p->wire);
    p->options = *options;
    p->connected = p->ended = p->refused = p->session_present = false;
    p->end_reason = 0;
    p->broker_receive_maximum = 65535;
    p->owed_count = 0;
    for (unsigned id = 0; id < PLAYER_IDS; id++) {
        p->before[id] |= p->open[id];
        p->open[id] = 0;
    }
    p->open_count = 0;
    memset(p->aliases, 0, sizeof p->aliases);
    for (unsigned i = 0; i < p->out_count; i++)
        p->out[i].sent = false;
    p->wire = world_dial(p->world, loop, shareable, window);
    send_connect(p);
}

struct player *player_new(struct world *w, const char *id, unsigned version)
{
    struct player *p = xcalloc(1, sizeof *p);

    p->world = w;
    p->version = version;
    snprintf(p->id, sizeof p->id, "%s", id);
    return p;
}

void player_hang_up(struct player *p, bool reset)
{
    if (p->wire)
        wire_hang_up(&p->wire, reset);
    p->connected = false;
}

void player_abandon(struct player *p)
{
    if (p->ghost)
        wire_hang_up(&p->ghost, true);
    p->ghost = p->wire;
    p->wire = NULL;
    p->connected = false;
}

void player_free(struct player **p)
{
    player_hang_up(*p, true);
    if ((*p)->ghost)
        wire_hang_up(&(*p)->ghost, true);
    free(*p);
    *p = NULL;
}

void player_crashed(struct player *p)
{
    for (unsigned id = 0; id < PLAYER_IDS; id++) {
        if (!p->held[id])
            p->open[id] = p->before[id] = 0;
    }
}

void player_forget(struct player *p)
{
    memset(p->before, 0, sizeof p->before);
    memset(p->held, 0, sizeof p->held);
    memset(p->open, 0, sizeof p->open);
    p->open_count = p->out_count = p->owed_count = 0;
}

/* -- Sending -- */

static void send_publish(struct player *p, struct outgoing *o, bool dup)
{
    struct text t = {.len = 0};

    put_string(&t, o->topic);
    if (o->qos)
        put(&t, o->id, 2);
    if (p->version == 5)
        put(&t, 0, 1);
    memcpy(t.bytes + t.len, o->payload, strlen(o->payload));
    t.len += strlen(o->payload);
    send_packet(p, PUBLISH << 4 | (dup ? 8u : 0) | (unsigned)o->qos << 1 | o->retain, &t);
    o->sent = true;
}

static void send_ack(struct player *p, unsigned type, uint16_t id)
{
    struct text t = {.len = 0};

    put(&t, id, 2);
    send_packet(p, type << 4 | (type == PUBREL ? 2 : 0), &t);
}

static struct outgoing *find_out(struct player *p, unsigned id)
{
    for (unsigned i = 0; i < p->out_count; i++) {
        if (p->out[i].id == id)
            return &p->out[i];
    }
    return NULL;
}

static unsigned out_open(const struct player *p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p->out_count; i++)
        n += p->out[i].sent;
    return n;
}

bool player_publish(struct player *p, const char *topic, const char *payload, unsigned qos,
                    bool retain)
{
    struct outgoing o = {.qos = (uint8_t)qos, .retain = retain};

    if (!p->connected ||
        (qos && (p->out_count == PLAYER_OUT_MAX || out_open(p) >= p->broker_receive_maximum)))
        return false;
    snprintf(o.topic, sizeof o.topic, "%s", topic);
    snprintf(o.payload, sizeof o.payload, "%s", payload);
    if (qos) {
        do
            p->last_id = p->last_id == 65535 ? 1 : p->last_id + 1u;
        while (find_out(p, p->last_id));
        o.id = p->last_id;
        p->out[p->out_count] = o;
        send_publish(p, &p->out[p->out_count++], false);
    } else {
        send_publish(p, &o, false);
    }
    return true;
}

/* What the last connection left open goes again, in order [MQTT-4.4.0-1]. */
static void send_again(struct player *p)
{
    for (unsigned i = 0; i < p->out_count; i++) {
        struct outgoing *o = &p->out[i];
        if (o->sent)
            continue;
        if (out_open(p) >= p->broker_receive_maximum)
            return;
        if (o->received)
            send_ack(p, PUBREL, o->id);
        else
            send_publish(p, o, true);
        o->sent = true;
    }
}

void player_subscribe(struct player *p, const char *filter, unsigned options)
{
    struct text t = {.len = 0};

    put(&t, 77, 2);
    if (p->version == 5)
        put(&t, 0, 1);
    put_string(&t, filter);
    put(&t, p->version == 5 ? options : options & 3, 1);
    send_packet(p, SUBSCRIBE << 4 | 2, &t);
}

void player_unsubscribe(struct player *p, const char *filter)
{
    struct text t = {.len = 0};

    put(&t, 78, 2);
    if (p->version == 5)
        put(&t, 0, 1);
    put_string(&t, filter);
    send_packet(p, UNSUBSCRIBE << 4 | 2, &t);
}

void player_ping(struct player *p)
{
    send_packet(p, PINGREQ << 4, &(struct text){.len = 0});
}

void player_auth(struct player *p, uint8_t reason, const char *method, const char *data)
{
    struct text t = {.len = 0}, props = {.len = 0};

    put(&t, reason, 1);
    if (method)
        put(&props, 0x15, 1), put_string(&props, method);
    if (data)
        put(&props, 0x16, 1), put_string(&props, data);
    put_block(&t, &props);
    send_packet(p, AUTH << 4, &t);
}

void player_disconnect(struct player *p, uint8_t reason)
{
    struct text t = {.len = 0};

    if (p->version == 5)
        put(&t, reason, 1);
    send_packet(p, DISCONNECT << 4, &t);
    player_hang_up(p, false);
}

/* -- Acknowledging -- */

static void owe(struct player *p, unsigned type, unsigned id)
{
    ASSERT(p->owed_count < PLAYER_OUT_MAX);
    p->owed[p->owed_count].type = (uint8_t)type;
    p->owed[p->owed_count++].id = (uint16_t)id;
}

void player_answer(struct player *p, unsigned at)
{
    ASSERT(at < p->owed_count);
    unsigned type = p->owed[at].type, id = p->owed[at].id;

    p->owed_count--;
    for (unsigned i = at; i < p->owed_count; i++)
        p->owed[i] = p->owed[i + 1];
    send_ack(p, type, (uint16_t)id);
    if (type != PUBREC && p->open[id]) {
        p->open[id] = 0;
        p->open_count--;
    }
    if (type != PUBREC)
        p->before[id] = 0;
}

void player_answer_all(struct player *p)
{
    while (p->owed_count > 0)
        player_answer(p, 0);
}

/* -- Reading -- */

static void got_connack(struct player *p, const struct packet *got)
{
    ASSERT(!p->connected && !p->refused);
    if (got->reason != 0) {
        ASSERT(!got->session_present);
        p->refused = p->ended = true;
        p->end_reason = (uint8_t)got->reason;
        return;
    }
    p->connected = true;
    p->session_present = got->session_present;
    if (got->receive_maximum)
        p->broker_receive_maximum = got->receive_maximum;
    ASSERT(!(p->options.clean && got->session_present)); /* [MQTT-3.2.2-2] */
    if (p->version == 3 ? p->options.clean || !p->kept : !got->session_present)
        player_forget(p);
    p->kept = p->version == 5 ? p->options.expiry > 0 : !p->options.clean;
    send_again(p);
}

static const char *topic_of(struct player *p, const struct packet *got, char *buf, size_t cap)
{
    ASSERT(got->topic_len < cap);
    if (got->topic_len)
        memcpy(buf, got->topic, got->topic_len);
    buf[got->topic_len] = '\0';
    if (got->alias == 0) {
        ASSERT(got->topic_len > 0);
        return buf;
    }
    ASSERT(got->alias <= p->options.alias_maximum); /* [MQTT-3.1.2-26] */
    if (got->topic_len)
        memcpy(p->aliases[got->alias], buf, got->topic_len + 1);
    ASSERT(p->aliases[got->alias][0]);
    return p->aliases[got->alias];
}

static void got_publish(struct player *p, const struct packet *got)
{
    char buf[64];
    const char *topic = topic_of(p, got, buf, sizeof buf);
    bool again = got->qos == 2 && p->held[got->id];

    if (got->qos) {
        bool told = p->version == 5 && p->options.receive_maximum;
        unsigned most = told ? p->options.receive_maximum : 65535;
        ASSERT(!p->open[got->id]); /* [MQTT-2.2.1-4] */
        p->open[got->id] = 1;
        ASSERT(++p->open_count <= most); /* [MQTT-3.3.4-9] */
        ASSERT(got->dup || !p->before[got->id] || !p->strict_dup);
        owe(p, got->qos == 1 ? PUBACK : PUBREC, got->id);
        p->held[got->id] = got->qos == 2;
    }
    if (!again && p->on_message)
        p->on_message(p, got, topic);
}

static void out_remove(struct player *p, struct outgoing *o)
{
    size_t at = (size_t)(o - p->out);
    p->out_count--;
    memmove(o, o + 1, (p->out_count - at) * sizeof *o);
    send_again(p);
}

static void got_ack(struct player *p, const struct packet *got)
{
    struct outgoing *o = find_out(p, got->id);

    if (o && (got->type == PUBACK || got->type == PUBREC) && got->reason >= 0x80 && p->on_refused)
        p->on_refused(p, o);
    switch (got->type) {
    case PUBACK:
        ASSERT(o && o->qos == 1);
        out_remove(p, o);
        return;
    case PUBREC:
        ASSERT(o && o->qos == 2);
        if (got->reason >= 0x80) {
            out_remove(p, o);
            return;
        }
        o->received = true;
        send_ack(p, PUBREL, o->id);
        return;
    case PUBCOMP:
        ASSERT(o && o->qos == 2 && o->received);
        out_remove(p, o);
        return;
    default: /* PUBREL */
        p->held[got->id] = 0;
        if (!p->open[got->id]) { /* sent again: of an earlier connection */
            p->open[got->id] = 1;
            p->open_count++;
        }
        owe(p, PUBCOMP, got->id);
        return;
    }
}

static void got_packet(struct player *p, const struct packet *got)
{
    ASSERT(!p->ended);                                                 /* [MQTT-3.14.4-1] */
    ASSERT(p->connected || got->type == CONNACK || got->type == AUTH); /* [MQTT-3.2.0-1] */
    if (p->version == 5 && p->options.maximum_packet)
        ASSERT(got->size <= p->options.maximum_packet); /* [MQTT-3.1.2-24] */
    switch (got->type) {
    case CONNACK:
        got_connack(p, got);
        break;
    case PUBLISH:
        got_publish(p, got);
        break;
    case PUBACK:
    case PUBREC:
    case PUBREL:
    case PUBCOMP:
        got_ack(p, got);
        break;
    case SUBACK:
        ASSERT(got->id == 77 && got->payload_len == 1);
        p->granted = got->payload[0];
        p->subacks++;
        break;
    case PINGRESP:
        p->pings++;
        break;
    case DISCONNECT:
        ASSERT(p->version == 5);
        p->ended = true;
        p->end_reason = (uint8_t)got->reason;
        break;
    default:
        ASSERT(got->type == UNSUBACK || got->type == AUTH);
        break;
    }
    if (p->on_packet)
        p->on_packet(p, got);
}

bool player_read(struct player *p)
{
    const uint8_t *bytes;
    struct packet got;

    if (!p->wire)
        return false;
    for (;;) {
        size_t len = wire_read(p->wire, &bytes);
        int whole = len ? packet_read(bytes, len, p->version, &got) : 0;
        ASSERT(whole >= 0);
        if (whole == 0)
            break;
        got_packet(p, &got);
        wire_consume(p->wire, got.size);
    }
    if (!wire_ended(p->wire))
        return true;
    p->ended = true;
    p->connected = false;
    return false;
}
