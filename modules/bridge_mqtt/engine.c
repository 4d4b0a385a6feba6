/* The connection itself, and what comes in. */
#include "engine.h"

#include <stdlib.h>

void engine_init(struct engine *e, const struct engine_conf *conf, const struct engine_calls *calls,
                 void *arg)
{
    *e = (struct engine){.conf = conf, .calls = calls, .arg = arg};
    e->acks_last = &e->acks;
}

/* Those that are being handed on learn that nobody waits for their acknowledgement. */
static void orphan_incoming(struct engine *e)
{
    for (struct incoming *in = e->acks, *next; in; in = next) {
        next = in->next;
        if (in->taken)
            free(in);
        else
            in->engine = NULL;
    }
    e->acks = NULL;
    e->acks_last = &e->acks;
}

void engine_fini(struct engine *e)
{
    orphan_incoming(e);
    items_fini(&e->fast);
    items_fini(&e->queue);
    items_fini(&e->slow);
    items_fini(&e->flight);
    free(e->subs);
    free(e->unsubs);
    buf_fini(&e->in);
    buf_fini(&e->out);
}

void engine_open(struct engine *e, uint64_t now_ms, bool bridge)
{
    struct wire_connect c = e->conf->connect;

    c.bridge = bridge && c.version == WIRE_311;
    e->state = ENGINE_ASKED;
    e->why = NULL;
    e->reason = 0;
    e->temporary = false;
    e->heard_ms = e->sent_ms = now_ms;
    e->ping_ms = 0;
    wire_connect(&e->out, &c);
}

void engine_lost(struct engine *e)
{
    e->state = ENGINE_IDLE;
    e->waiting = false;
    e->retry_ms = 0;
    buf_clear(&e->in);
    buf_clear(&e->out);
    orphan_incoming(e);
    for (struct item *i; (i = items_take(&e->fast));) {
        e->calls->left(e->arg, i, OUTCOME_OVERFLOW, 0);
        free(i);
    }
}

void engine_leave(struct engine *e)
{
    if (e->state != ENGINE_IDLE)
        wire_disconnect(&e->out, e->conf->connect.version, 0);
}

static int give_up(struct engine *e, const char *why)
{
    if (!e->why)
        e->why = why;
    return -1;
}

/* -- Beginning -- */

static void learn(struct engine *e, const struct wire_props *p)
{
    uint32_t keep_alive = e->conf->connect.keep_alive_s;

    e->maximum_packet = p->has >> 39 & 1 ? p->maximum_packet : UINT32_MAX;
    if (e->conf->most_out && e->conf->most_out < e->maximum_packet)
        e->maximum_packet = e->conf->most_out;
    e->quota = p->has >> 33 & 1 && p->receive_maximum < e->conf->window ? p->receive_maximum
                                                                        : e->conf->window;
    e->quota2 = e->conf->window2 < e->quota ? e->conf->window2 : e->quota;
    e->maximum_qos = p->maximum_qos;
    e->retain = p->retain_available;
    e->wildcard = p->wildcard;
    if (p->has >> 19 & 1)
        keep_alive = p->keep_alive;
    e->keep_alive_ms = keep_alive * 1000;
}

/* Ends and makes subscriptions, one packet at a time. */
static void subscribe_on(struct engine *e)
{
    enum wire_version version = e->conf->connect.version;
    size_t left;

    if ((left = e->unsub_count - e->unsub_done)) {
        e->asked = left < ENGINE_FILTERS ? left : ENGINE_FILTERS;
        wire_unsubscribe(&e->out, version, ENGINE_OWN_ID, e->unsubs + e->unsub_done, e->asked);
    } else if ((left = e->sub_count - e->sub_done)) {
        e->asked = left < ENGINE_FILTERS ? left : ENGINE_FILTERS;
        wire_subscribe(&e->out, version, ENGINE_OWN_ID, e->subs + e->sub_done, e->asked);
    } else {
        e->state = ENGINE_LIVE;
        e->calls->live(e->arg);
    }
}

static int got_connack(struct engine *e, const struct wire_packet *p)
{
    bool session = p->session_present && !e->conf->connect.clean;

    if (e->state != ENGINE_ASKED)
        return give_up(e, "it sent CONNACK twice");
    if (p->reason) {
        e->reason = p->reason;
        return give_up(e, wire_reason_text(e->conf->connect.version, WIRE_CONNACK, p->reason));
    }
    learn(e, &p->props);
    engine_rewind(e, session);
    e->state = ENGINE_SUBSCRIBING;
    e->sub_count = e->sub_done = e->unsub_count = e->unsub_done = 0;
    e->calls->up(e->arg, session);
    subscribe_on(e);
    return 0;
}

static int got_suback(struct engine *e, const struct wire_packet *p)
{
    bool unsubscribed = e->unsub_done < e->unsub_count;

    if (e->state != ENGINE_SUBSCRIBING || p->id != ENGINE_OWN_ID || e->asked == 0 ||
        unsubscribed != (p->type == WIRE_UNSUBACK))
        return give_up(e, "it acknowledged a subscription that nobody asked for");
    if (!unsubscribed && p->codes.len != e->asked)
        return give_up(e, "its SUBACK has not one code for each filter");
    for (size_t i = 0; !unsubscribed && i < e->asked; i++) {
        unsigned code = (uint8_t)p->codes.ptr[i];
        if (code >= 0x80)
            e->calls->refused(e->arg, e->subs[e->sub_done + i].filter, code);
    }
    *(unsubscribed ? &e->unsub_done : &e->sub_done) += e->asked;
    e->asked = 0;
    subscribe_on(e);
    return 0;
}

/* -- Messages -- */

static void flush_acks(struct engine *e)
{
    struct incoming *in;

    while ((in = e->acks) && in->taken) {
        e->acks = in->next;
        if (!e->acks)
            e->acks_last = &e->acks;
        wire_ack(&e->out, e->conf->connect.version, in->qos == 1 ? WIRE_PUBACK : WIRE_PUBREC,
                 in->packet_id, in->reason);
        free(in);
    }
}

void engine_taken(struct incoming *in, unsigned reason)
{
    struct engine *e = in->engine;

    if (!e) {
        free(in);
        return;
    }
    in->taken = true;
    in->reason = (uint8_t)reason;
    flush_acks(e);
}

void engine_complete(struct engine *e, uint16_t packet_id)
{
    if (e->state != ENGINE_IDLE)
        wire_ack(&e->out, e->conf->connect.version, WIRE_PUBCOMP, packet_id, 0);
}

/* 1: it has to be tried again. */
static int got_publish(struct engine *e, const struct wire_packet *p)
{
    struct incoming *in = NULL;

    if (!skep_topic_valid(p->topic, true))
        return give_up(e, "it sent a topic name that is none");
    if (p->qos) {
        in = bridge_alloc(sizeof *in);
        *in = (struct incoming){.engine = e, .packet_id = p->id, .qos = p->qos};
        *e->acks_last = in;
        struct incoming **before = e->acks_last;
        e->acks_last = &in->next;
        enum handing handing = e->calls->message(e->arg, p, in);
        if (handing == HANDED)
            return 0;
        *before = NULL; /* nobody was told of it, and it is still the last */
        e->acks_last = before;
        free(in);
        return handing == HAND_LATER ? 1 : give_up(e, "a message of its could not be published");
    }
    switch (e->calls->message(e->arg, p, NULL)) {
    case HANDED:
        return 0;
    case HAND_LATER:
        return 1;
    default:
        return give_up(e, "a message of its could not be published");
    }
}

static int got_disconnect(struct engine *e, const struct wire_packet *p)
{
    e->reason = p->reason;
    return give_up(e, p->reason == 0 ? "it said goodbye"
                                     : wire_reason_text(WIRE_5, WIRE_DISCONNECT, p->reason));
}

static int got_packet(struct engine *e, const struct wire_packet *p)
{
    if (e->state == ENGINE_ASKED && p->type != WIRE_CONNACK && p->type != WIRE_DISCONNECT)
        return give_up(e, "its first packet is no CONNACK");
    switch (p->type) {
    case WIRE_CONNACK:
        return got_connack(e, p);
    case WIRE_PUBLISH:
        return got_publish(e, p);
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBCOMP:
        engine_answered(e, p);
        return e->why ? -1 : 0;
    case WIRE_PUBREL:
        e->calls->forget(e->arg, p->id);
        return 0;
    case WIRE_SUBACK:
    case WIRE_UNSUBACK:
        return got_suback(e, p);
    case WIRE_PINGRESP:
        e->ping_ms = 0;
        return 0;
    case WIRE_DISCONNECT:
        return got_disconnect(e, p);
    default:
        return give_up(e, "it asks for an authentication exchange");
    }
}

static int take_packets(struct engine *e)
{
    size_t most = e->conf->connect.maximum_packet ? e->conf->connect.maximum_packet : SIZE_MAX;
    enum wire_taken taken = WIRE_TAKEN;
    struct wire_packet p;

    while (!e->waiting && buf_len(&e->in) &&
           (taken = wire_take(e->conf->connect.version, buf_data(&e->in), buf_len(&e->in), most,
                              &p)) == WIRE_TAKEN) {
        int got = got_packet(e, &p);
        if (got < 0)
            return -1;
        if (e->state == ENGINE_IDLE)
            return 0; /* given up meanwhile */
        if (got > 0)
            e->waiting = true;
        else
            buf_drop(&e->in, p.size);
    }
    if (taken == WIRE_TOO_LARGE)
        return give_up(e, "it sent a packet larger than max_packet");
    return taken == WIRE_MALFORMED ? give_up(e, "it sent a malformed packet") : 0;
}

int engine_input(struct engine *e, const void *data, size_t len, uint64_t now_ms)
{
    if (len) {
        buf_put(&e->in, data, len);
        e->heard_ms = now_ms;
    }
    return take_packets(e);
}

int engine_tick(struct engine *e, uint64_t now_ms)
{
    if (e->state != ENGINE_LIVE || e->keep_alive_ms == 0)
        return 0;
    if (e->ping_ms && now_ms - e->ping_ms >= e->conf->ping_timeout_ms)
        return give_up(e, "it does not answer pings");
    /* Early enough that a turn's delay does no harm. */
    bool due = now_ms - e->sent_ms + 1000 >= e->keep_alive_ms ||
               now_ms - e->heard_ms + 1000 >= e->keep_alive_ms;
    if (due && !e->ping_ms && !e->waiting) {
        wire_ping(&e->out);
        e->ping_ms = e->sent_ms = now_ms;
    }
    return 0;
}
