/* The hot part of the generator. */
#include "flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- publishing --------------------------------------------------------------------------- */

static void digits_put(uint8_t *p, uint32_t v)
{
    for (int i = 5; i >= 0; i--, v /= 10)
        p[i] = (uint8_t)('0' + v % 10);
}

bool flow_open_window(const struct flow *f, size_t publisher, uint64_t n)
{
    const struct flow_publisher *p = &f->state[publisher];
    uint64_t after = p->sent + n;

    if (after <= f->window)
        return true;
    return (after - f->window) * f->plan->subscribers <= p->delivered &&
           (f->plan->qos == 0 || after - f->window <= p->acked);
}

void flow_send(struct flow *f, size_t publisher, uint64_t n, uint64_t due_ns)
{
    const struct wire_publish *l = &f->layout;
    struct flow_publisher *p = &f->state[publisher];
    uint8_t group[6], *frame = f->frames;
    uint32_t name = (uint32_t)publisher;

    digits_put(group, f->group_of[publisher / f->plan->publishers]);
    for (uint64_t i = 0; i < n; i++, frame += l->size) {
        uint32_t seq = (uint32_t)p->sent++;
        memcpy(frame + l->topic_at + FLOW_TOPIC - 6, group, 6);
        if (l->qos) {
            uint32_t id = seq % 65535 + 1;
            frame[l->id_at] = (uint8_t)(id >> 8);
            frame[l->id_at + 1] = (uint8_t)id;
        }
        memcpy(frame + l->payload_at, &name, 4);
        memcpy(frame + l->payload_at + 4, &seq, 4);
        memcpy(frame + l->payload_at + 8, &due_ns, 8);
    }
    f->sent += n;
    chan_send(&f->pubs[publisher], f->frames, n * l->size);
}

static void publisher_check(struct flow *f, size_t publisher)
{
    struct flow_publisher *p = &f->state[publisher];
    if (!p->queued && !f->timed && flow_open_window(f, publisher, f->batch)) {
        p->queued = true;
        f->ready[f->ready_count++] = (uint32_t)publisher;
    }
}

void flow_kick(struct flow *f)
{
    for (size_t i = 0; i < f->publishers; i++)
        publisher_check(f, i);
}

void flow_turn(struct flow *f)
{
    turn_run(f->turn, f->ready_count ? 0 : 50000000);
    for (size_t i = 0; i < f->ready_count && !f->stopping; i++) {
        uint32_t p = f->ready[i];
        f->state[p].queued = false;
        while (flow_open_window(f, p, f->batch) && f->pubs[p].state == CHAN_UP)
            flow_send(f, p, f->batch, 0);
    }
    if (!f->stopping)
        f->ready_count = 0;
}

/* PUBACK, PUBREC and PUBCOMP; each PUBREC of a read is answered in one write. */
static size_t publisher_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct flow *f = c->scenario;
    size_t publisher = c->index - f->subscribers, used = 0, acks = 0;
    uint8_t *out = turn_scratch(f->turn, n + WIRE_ACK);
    struct wire_frame frame;
    int whole;

    while ((whole = wire_next(p + used, n - used, &frame)) > 0) {
        int type = frame.head >> 4;
        used += frame.total;
        if (frame.len >= 3 && frame.body[2] >= 0x80) {
            turn_fail(f->turn, "a publish was refused, reason 0x%02x", frame.body[2]);
            return used;
        }
        if (type == WIRE_PUBREC && frame.len >= 2) {
            wire_ack(out + acks, WIRE_PUBREL, frame.body);
            acks += WIRE_ACK;
        } else if (type == WIRE_PUBACK || type == WIRE_PUBCOMP) {
            f->state[publisher].acked++;
            f->acked++;
        } else if (type == WIRE_DISCONNECT) {
            turn_fail(f->turn, "publisher %zu: DISCONNECT, reason 0x%02x", publisher,
                      frame.len ? frame.body[0] : 0);
        }
    }
    if (whole < 0)
        turn_fail(f->turn, "publisher %zu: received what is not MQTT", publisher);
    if (acks)
        chan_send(c, out, acks);
    publisher_check(f, publisher);
    return used;
}

/* --- receiving ---------------------------------------------------------------------------- */

static void message_note(struct flow *f, size_t subscriber, const struct wire_message *m,
                         uint64_t now)
{
    size_t each = f->plan->publishers, group = subscriber / f->plan->subscribers;
    uint32_t publisher, seq;
    uint64_t due;

    memcpy(&publisher, m->payload, 4);
    memcpy(&seq, m->payload + 4, 4);
    if (publisher >= f->publishers || f->group_of[publisher / each] != group) {
        f->foreign++;
        return;
    }
    if (!track_note(&f->tracks[subscriber * each + publisher % each], seq, &f->sums))
        return;
    f->delivered++;
    f->state[publisher].delivered++;
    if (f->timed) {
        memcpy(&due, m->payload + 8, 8);
        if (due >= f->count_from && due < f->count_until)
            hdr_add(&f->hdr, now > due ? now - due : 0);
    }
    publisher_check(f, publisher);
}

static void message_take(struct flow *f, struct chan *c, const struct wire_frame *frame,
                         uint64_t now, uint8_t **acks)
{
    struct wire_message m;

    if (!wire_message(&m, frame, f->layout.version) || m.payload_len != f->plan->payload ||
        m.topic_len != FLOW_TOPIC) {
        f->foreign++;
        return;
    }
    message_note(f, c->index, &m, now);
    if (m.packet_id) {
        wire_ack(*acks, frame->head & 4 ? WIRE_PUBREC : WIRE_PUBACK, m.packet_id);
        *acks += WIRE_ACK;
    }
}

static size_t subscriber_bytes(struct chan *c, const uint8_t *p, size_t n)
{
    struct flow *f = c->scenario;
    uint8_t *out = turn_scratch(f->turn, n + WIRE_ACK), *acks = out;
    uint64_t now = f->timed ? turn_now() : 0;
    struct wire_frame frame;
    size_t used = 0;
    int whole;

    while ((whole = wire_next(p + used, n - used, &frame)) > 0) {
        used += frame.total;
        switch (frame.head >> 4) {
        case WIRE_PUBLISH:
            message_take(f, c, &frame, now, &acks);
            break;
        case WIRE_PUBREL:
            wire_ack(acks, WIRE_PUBCOMP, frame.body);
            acks += WIRE_ACK;
            break;
        case WIRE_SUBACK:
            if (wire_suback(&frame, f->layout.version) != 0)
                turn_fail(f->turn, "subscriber %u: the subscription was refused", c->index);
            f->subscribed++;
            break;
        default:
            turn_fail(f->turn, "subscriber %u: unexpected packet type %d", c->index,
                      frame.head >> 4);
        }
    }
    if (whole < 0)
        turn_fail(f->turn, "subscriber %u: received what is not MQTT", c->index);
    if (acks > out)
        chan_send(c, out, (size_t)(acks - out));
    return used;
}

/* --- setting up --------------------------------------------------------------------------- */

static void topic_print(const struct flow *f, char *out, size_t group)
{
    snprintf(out, FLOW_TOPIC + 1, "b/%04x/%06zu", f->turn->run_id, group % 1000000);
}

static void subscriber_up(struct chan *c)
{
    struct flow *f = c->scenario;
    char topic[FLOW_TOPIC + 1];
    uint8_t packet[WIRE_SMALL];

    if (f->plan->relay) {
        f->subscribed++;
        return;
    }
    topic_print(f, topic, c->index / f->plan->subscribers);
    chan_send(
        c, packet,
        wire_subscribe(packet, f->layout.version, 1, topic, 1, FLOW_TOPIC, (int)f->plan->qos));
}

static const struct chan_owner publisher_owner = {.bytes = publisher_bytes};
static const struct chan_owner subscriber_owner = {.up = subscriber_up, .bytes = subscriber_bytes};

static bool frames_make(struct flow *f)
{
    static char topic[FLOW_TOPIC + 1];
    topic_print(f, topic, 0);
    f->layout = (struct wire_publish){.version = (int)f->plan->version,
                                      .qos = (int)f->plan->qos,
                                      .topic = topic,
                                      .topic_len = FLOW_TOPIC,
                                      .payload_len = f->plan->payload};
    wire_publish_layout(&f->layout);
    f->frames = malloc(f->batch * f->layout.size);
    for (uint64_t i = 0; f->frames && i < f->batch; i++)
        wire_publish(f->frames + i * f->layout.size, &f->layout);
    return f->frames != NULL;
}

static bool memory_take(struct flow *f)
{
    f->pubs = calloc(f->publishers, sizeof *f->pubs);
    f->subs = calloc(f->subscribers, sizeof *f->subs);
    f->state = calloc(f->publishers, sizeof *f->state);
    f->tracks = calloc(f->subscribers * f->plan->publishers, sizeof *f->tracks);
    f->group_of = calloc(f->plan->groups, sizeof *f->group_of);
    f->ready = calloc(f->publishers, sizeof *f->ready);
    f->greetings = calloc(f->publishers + f->subscribers, sizeof *f->greetings);
    return f->pubs && f->subs && f->state && f->tracks && f->group_of && f->ready && f->greetings &&
           frames_make(f);
}

/* Publishers open in another order than their subscribers: a broker that deals connections to its
 * threads in turn must not find every pair on one thread, as if messages never had to cross. */
static void groups_mix(struct flow *f)
{
    uint64_t random = 0x9e3779b97f4a7c15u;

    for (uint32_t i = 0; i < f->plan->groups; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t other = (uint32_t)((random >> 11) % (i + 1));
        f->group_of[i] = f->group_of[other];
        f->group_of[other] = i;
    }
}

/* The relay learns who is who from one line instead of CONNECT: role and group. */
static void greetings_make(struct flow *f)
{
    for (size_t i = 0; i < f->subscribers; i++) {
        snprintf(f->greetings[i], 16, "S %06u\n", (unsigned)(i / f->plan->subscribers) % 1000000);
        f->subs[i].greeting = f->greetings[i];
    }
    for (size_t i = 0; i < f->publishers; i++) {
        snprintf(f->greetings[f->subscribers + i], 16, "P %06u\n",
                 f->group_of[i / f->plan->publishers] % 1000000);
        f->pubs[i].greeting = f->greetings[f->subscribers + i];
    }
}

/* A broker may allow less in flight than we planned. */
static void window_fit(struct flow *f)
{
    uint64_t most = f->pubs[0].receive_maximum;
    if (f->plan->relay || f->plan->qos == 0 || most == 0)
        return;
    if (f->window > most)
        f->window = most;
    if (f->batch > f->window)
        f->batch = f->window;
}

bool flow_open(struct flow *f, struct turn *t)
{
    const struct plan *plan = t->plan;
    *f = (struct flow){.turn = t,
                       .plan = plan,
                       .batch = plan->batch,
                       .window = plan->window,
                       .publishers = plan->groups * plan->publishers,
                       .subscribers = plan->groups * plan->subscribers};
    if (!memory_take(f)) {
        turn_fail(t, "out of memory");
        return false;
    }
    groups_mix(f);
    if (plan->relay)
        greetings_make(f);
    if (!chan_open_all(f->subs, f->subscribers, t, &subscriber_owner, f, 0) ||
        !chan_open_all(f->pubs, f->publishers, t, &publisher_owner, f, (uint32_t)f->subscribers))
        return false;
    uint64_t deadline = turn_now() + 10000000000u;
    while (!t->failed && f->subscribed < f->subscribers && turn_now() < deadline)
        turn_run(t, 100000000);
    if (f->subscribed < f->subscribers)
        turn_fail(t, "%zu subscriptions got no SUBACK", f->subscribers - f->subscribed);
    window_fit(f);
    return !t->failed;
}

void flow_close(struct flow *f)
{
    for (size_t i = 0; f->pubs && i < f->publishers; i++)
        chan_leave(&f->pubs[i]);
    for (size_t i = 0; f->subs && i < f->subscribers; i++)
        chan_leave(&f->subs[i]);
    free(f->pubs);
    free(f->subs);
    free(f->state);
    free(f->tracks);
    free(f->group_of);
    free(f->ready);
    free(f->greetings);
    free(f->frames);
}

bool flow_settled(const struct flow *f)
{
    return f->delivered >= f->sent * f->plan->subscribers &&
           (f->plan->qos == 0 || f->acked >= f->sent);
}
