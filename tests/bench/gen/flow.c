/* The hot part of the generator; flow_open.c sets it up. */
#include "flow.h"

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
    return (f->offline || (after - f->window) * f->plan->subscribers <= p->delivered) &&
           (f->plan->qos == 0 || after - f->window <= p->acked);
}

/* How many this publisher may send in one write now: a whole batch or nothing.  With nobody there
 * to receive, whatever has been acknowledged makes room, up to a batch, and the count is exact. */
static uint64_t flow_room(const struct flow *f, size_t publisher)
{
    const struct flow_publisher *p = &f->state[publisher];

    if (!f->offline)
        return flow_open_window(f, publisher, f->batch) ? f->batch : 0;
    uint64_t room = f->window - (p->sent - p->acked);
    if (f->plan->count && room > f->plan->count - f->sent)
        room = f->plan->count - f->sent;
    return room < f->batch ? room : f->batch;
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
    if (!p->queued && !f->timed && flow_room(f, publisher)) {
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
        for (uint64_t n; (n = flow_room(f, p)) && f->pubs[p].state == CHAN_UP;)
            flow_send(f, p, n, f->offline ? FLOW_MARK : 0);
    }
    if (!f->stopping)
        f->ready_count = 0;
}

/* PUBACK, PUBREC and PUBCOMP; each PUBREC of a read is answered in one write. */
size_t flow_publisher_bytes(struct chan *c, const uint8_t *p, size_t n)
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

size_t flow_subscriber_bytes(struct chan *c, const uint8_t *p, size_t n)
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

bool flow_settled(const struct flow *f)
{
    return f->delivered >= f->sent * f->plan->subscribers &&
           (f->plan->qos == 0 || f->acked >= f->sent);
}
