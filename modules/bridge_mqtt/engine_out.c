/* What goes out. */
#include <stdlib.h>

#include "engine.h"

/* -- In flight -- */

static struct item **bucket_of(struct engine *e, uint16_t packet_id)
{
    return &e->by_id[packet_id % ENGINE_BUCKETS];
}

static struct item *in_flight(const struct engine *e, uint16_t packet_id)
{
    struct item *i = e->by_id[packet_id % ENGINE_BUCKETS];

    while (i && i->packet_id != packet_id)
        i = i->same;
    return i;
}

static void take_off(struct engine *e, struct item *item)
{
    struct item **at = bucket_of(e, item->packet_id);

    while (*at != item)
        at = &(*at)->same;
    *at = item->same;
    e->slow_flight -= item->slow;
    e->qos2_flight -= item->m.qos == 2;
    items_remove(&e->flight, item);
}

static void put_on(struct engine *e, struct item *item)
{
    struct item **at = bucket_of(e, item->packet_id);

    item->same = *at;
    *at = item;
    e->slow_flight += item->slow;
    e->qos2_flight += item->m.qos == 2;
    items_add(&e->flight, item);
}

static void leave(struct engine *e, struct item *item, enum outcome outcome, unsigned reason)
{
    e->calls->left(e->arg, item, outcome, reason);
    free(item);
}

/* -- Queueing -- */

void engine_put(struct engine *e, struct item *item, bool released)
{
    if (item->m.qos == 0) {
        items_add(&e->fast, item);
        while (e->fast.bytes > e->conf->q0_bytes && e->fast.first != item)
            leave(e, items_take(&e->fast), OUTCOME_OVERFLOW, 0);
        return;
    }
    item->packet_id = engine_packet_id(item->id);
    item->state = released ? ITEM_RELEASED : ITEM_WAITING;
    item->sent = released || item->m.duplicate;
    items_add(item->slow ? &e->slow : &e->queue, item);
}

void engine_pace(struct engine *e, double rate, uint64_t count, uint64_t now_ms)
{
    bucket_init(&e->pace, rate, now_ms);
    e->pace_left = rate > 0 ? count : 0;
}

static void rewind_one(struct engine *e, struct item *i, bool session)
{
    bool noted = i->state == ITEM_NOTING || i->state == ITEM_RELEASED;

    if ((!session && noted) || i->state == ITEM_CLEARING) {
        i->state = ITEM_CLEARING;
        e->calls->clear(e->arg, i);
    } else if (i->state == ITEM_SENT) {
        i->state = ITEM_WAITING;
    }
    i->sent = i->sent && session;
}

/* Everything in flight goes back to the head of its queue, in order.  A remote broker without our
 * session knows nothing of it: then each message begins anew. */
void engine_rewind(struct engine *e, bool session)
{
    struct items lists[] = {{0}, {0}};

    for (struct item *i; (i = items_take(&e->flight));)
        items_add(&lists[i->slow], i);
    for (struct item *i; (i = items_take(&e->queue));)
        items_add(&lists[0], i);
    for (struct item *i; (i = items_take(&e->slow));)
        items_add(&lists[1], i);
    memset(e->by_id, 0, sizeof e->by_id);
    e->slow_flight = e->qos2_flight = 0;
    for (unsigned slow = 0; slow < 2; slow++) {
        for (struct item *i; (i = items_take(&lists[slow]));) {
            rewind_one(e, i, session);
            items_add(slow ? &e->slow : &e->queue, i);
        }
    }
}

/* -- Sending -- */

/* False: it is not to be sent at all, and has left. */
static bool fit(struct engine *e, struct item *item, uint64_t now_ms)
{
    if (item->state != ITEM_WAITING)
        return true;
    if (item->ends_ms) {
        if (now_ms >= item->ends_ms) {
            leave(e, item, OUTCOME_EXPIRED, 0);
            return false;
        }
        item->m.expiry_s = (uint32_t)((item->ends_ms - now_ms + 999) / 1000);
    }
    if (item->m.qos > e->maximum_qos)
        item->m.qos = e->maximum_qos;
    if (!e->retain)
        item->m.retain = false;
    if (wire_publish_size(e->conf->connect.version, &item->m) > e->maximum_packet) {
        leave(e, item, OUTCOME_TOO_LARGE, 0);
        return false;
    }
    return true;
}

static void send_fast(struct engine *e, uint64_t now_ms)
{
    while (e->fast.first && buf_len(&e->out) < ENGINE_OUT_MOST) {
        struct item *item = items_take(&e->fast);

        if (!fit(e, item, now_ms))
            continue;
        wire_publish(&e->out, e->conf->connect.version, &item->m, 0, false);
        leave(e, item, OUTCOME_DONE, 0);
    }
}

static bool paced(struct engine *e, const struct item *item, uint64_t now_ms)
{
    uint64_t wait_ms;

    if (!item->slow && e->pace_left == 0)
        return true;
    if (!bucket_take(&e->pace, now_ms, &wait_ms)) {
        e->retry_ms = now_ms + wait_ms;
        return false;
    }
    e->pace_left -= !item->slow;
    return true;
}

static void send_one(struct engine *e, struct item *item)
{
    enum wire_version version = e->conf->connect.version;

    if (item->state == ITEM_RELEASED) {
        wire_ack(&e->out, version, WIRE_PUBREL, item->packet_id, 0);
    } else if (item->state == ITEM_WAITING) {
        wire_publish(&e->out, version, &item->m, item->packet_id, item->sent);
        item->state = ITEM_SENT;
        item->sent = true;
    } else { /* ITEM_NOTING, of a lost connection: PUBREL goes out when it is noted */
        e->calls->note(e->arg, item);
    }
    if (item->m.qos == 0) /* lowered: the remote broker takes no more */
        leave(e, item, OUTCOME_DONE, 0);
    else
        put_on(e, item);
}

static void send_queue(struct engine *e, struct items *queue, uint64_t now_ms)
{
    while (queue->first && e->flight.count < e->quota && buf_len(&e->out) < ENGINE_OUT_MOST) {
        struct item *item = queue->first;

        /* Half of the quota at most, so that live messages find a place; one at least. */
        if (item->slow && e->slow_flight && e->slow_flight >= e->quota / 2u)
            break;
        if (item->m.qos == 2 && e->qos2_flight >= e->quota2)
            break;
        /* Of two ids with the same packet id the second waits: tens of thousands are between. */
        if (item->state == ITEM_CLEARING || in_flight(e, item->packet_id) ||
            !paced(e, item, now_ms))
            break;
        items_remove(queue, item);
        if (fit(e, item, now_ms))
            send_one(e, item);
    }
}

void engine_pump(struct engine *e, uint64_t now_ms)
{
    size_t before = buf_len(&e->out);

    if (e->state != ENGINE_LIVE)
        return;
    e->retry_ms = 0;
    send_fast(e, now_ms);
    send_queue(e, &e->queue, now_ms);
    send_queue(e, &e->slow, now_ms);
    if (buf_len(&e->out) > before)
        e->sent_ms = now_ms;
}

/* -- Acknowledgements -- */

/* Refusals that time may heal: the message is kept, and the connection made anew after a while. */
static bool may_heal(unsigned reason)
{
    return reason == SKEP_RC_UNSPECIFIED || reason == SKEP_RC_IMPLEMENTATION ||
           reason == SKEP_RC_QUOTA || reason == SKEP_RC_MESSAGE_RATE;
}

static void refused(struct engine *e, struct item *item, unsigned reason)
{
    if (may_heal(reason)) {
        e->why = "it refuses messages";
        e->reason = reason;
        e->temporary = true;
        return;
    }
    take_off(e, item);
    leave(e, item, OUTCOME_REFUSED, reason);
}

static void got_pubrec(struct engine *e, struct item *item, const struct wire_packet *p)
{
    if (!item) {
        /* Nothing of ours; in MQTT 5 that is what PUBREL tells. */
        wire_ack(&e->out, e->conf->connect.version, WIRE_PUBREL, p->id, 0x92);
    } else if (p->reason >= 0x80) {
        refused(e, item, p->reason);
    } else if (item->state == ITEM_SENT) {
        item->state = ITEM_NOTING;
        e->calls->note(e->arg, item);
    } else if (item->state == ITEM_RELEASED) {
        wire_ack(&e->out, e->conf->connect.version, WIRE_PUBREL, p->id, 0);
    }
}

void engine_answered(struct engine *e, const struct wire_packet *p)
{
    struct item *item = in_flight(e, p->id);

    if (p->type == WIRE_PUBREC) {
        got_pubrec(e, item && item->m.qos == 2 ? item : NULL, p);
    } else if (p->type == WIRE_PUBACK && item && item->m.qos == 1) {
        if (p->reason >= 0x80) {
            refused(e, item, p->reason);
            return;
        }
        take_off(e, item);
        leave(e, item, OUTCOME_DONE, p->reason);
    } else if (p->type == WIRE_PUBCOMP && item && item->state == ITEM_RELEASED) {
        take_off(e, item);
        leave(e, item, OUTCOME_DONE, 0);
    }
}

static struct item *find_in(const struct items *queue, uint64_t id)
{
    struct item *item = queue->first;

    while (item && item->id != id)
        item = item->next;
    return item;
}

/* In flight, or back in its queue since the line was lost. */
static struct item *find(const struct engine *e, uint64_t id)
{
    struct item *item = in_flight(e, engine_packet_id(id));

    if (!item || item->id != id)
        item = find_in(&e->queue, id);
    return item ? item : find_in(&e->slow, id);
}

bool engine_has(const struct engine *e, uint64_t id)
{
    return find(e, id) != NULL;
}

void engine_noted(struct engine *e, uint64_t id)
{
    struct item *item = find(e, id);

    if (!item || item->state != ITEM_NOTING)
        return;
    item->state = ITEM_RELEASED;
    if (e->state == ENGINE_LIVE && in_flight(e, item->packet_id) == item)
        wire_ack(&e->out, e->conf->connect.version, WIRE_PUBREL, item->packet_id, 0);
}

void engine_cleared(struct engine *e, uint64_t id)
{
    struct item *item = find(e, id);

    if (item && item->state == ITEM_CLEARING)
        item->state = ITEM_WAITING;
}
