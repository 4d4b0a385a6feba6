#include "core/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/alias.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/share.h"
#include "core/spill.h"
#include "mqtt/reason.h"

struct session *session_new(struct str id, uint64_t serial)
{
    struct session *s = xcalloc(1, sizeof *s + id.len + 1);

    s->magic = SESSION_MAGIC;
    s->serial = serial;
    s->id_len = (uint16_t)id.len;
    s->hash = (uint32_t)hash_bytes(id.ptr, id.len);
    memcpy(s->id, id.ptr, id.len);
    return s;
}

static void session_release(void *object)
{
    struct session *s = object;

    CHECK(s, SESSION_MAGIC);
    s->magic = 0;
    ASSERT(!s->out); /* buried */
    if (s->received)
        idset_fini(s->received);
    free(s->received);
    subtable_fini(&s->subs);
    identity_unref(s->identity);
    free(s->username);
    free(s);
}

void session_pin(struct session *s)
{
    s->pins++;
}

void session_unpin(struct worker *w, struct session *s)
{
    lock_take(&s->lock);
    bool last = --s->pins == 0 && s->dead;
    lock_drop(&s->lock);
    if (last)
        qsbr_retire(w->slot, s, session_release);
}

/* -- Who it is -- */

void session_identify(struct session *s, struct skep_client *who)
{
    lock_take(&s->lock);
    struct skep_client *before = s->identity;
    s->identity = who;
    lock_drop(&s->lock);
    identity_unref(before);
}

/* All that is left of a client after a restart. */
static struct skep_client *identity_away(const struct session *s)
{
    return identity_new(&(struct identity_facts){.id = session_id(s),
                                                 .username = str_of(s->username),
                                                 .has_username = s->username != NULL,
                                                 .protocol = s->version},
                        NULL);
}

static struct skep_client *identity_made(struct session *s)
{
    struct link *link = session_link(s);

    return link && link->ops->identify ? link->ops->identify(link) : identity_away(s);
}

const struct skep_client *session_identity_locked(struct session *s)
{
    if (!s->identity)
        s->identity = identity_made(s);
    return s->identity;
}

struct skep_client *session_describe(struct session *s)
{
    return s->identity ? identity_ref(s->identity) : identity_made(s);
}

struct skep_client *session_identity(struct session *s)
{
    lock_take(&s->lock);
    struct skep_client *who = identity_ref(session_identity_locked(s));
    lock_drop(&s->lock);
    return who;
}

/* -- Delivery -- */

static struct outbox *outbox_of(struct session *s)
{
    if (!s->out)
        s->out = xcalloc(1, sizeof *s->out);
    return s->out;
}

void session_mark_dirty(struct worker *w, struct session *s)
{
    struct link *link = session_link(s);

    if (s->dirty || !link || link->blocked)
        return;
    if (link->worker != w->index) {
        /* A few are flushed from here (cheaper than waking their owner); a large
         * fan-out is left to the owners so that they work in parallel. */
        if (!link->shareable || w->remote_dirty >= WORKER_REMOTE_FLUSHES) {
            s->dirty = true;
            session_pin(s);
            broker_post_flush(w, s, link->worker);
            return;
        }
        w->remote_dirty++;
    }
    s->dirty = true;
    if (w->dirty_count == w->dirty_cap) {
        w->dirty_cap = w->dirty_cap ? w->dirty_cap * 2 : 256;
        w->dirty = xrealloc(w->dirty, w->dirty_cap * sizeof *w->dirty);
    }
    w->dirty[w->dirty_count++] = s;
}

static enum delivery drop(struct message *m, enum delivery how)
{
    message_unref(m);
    return how;
}

static enum delivery deliver_qos0(struct worker *w, struct session *s, const struct entry *entry)
{
    size_t cost = message_size(entry->message);

    if (!session_link(s)) {
        DROPPED(w, s, entry->message, 0, offline);
        return drop(entry->message, DELIVERY_DROPPED);
    }
    struct outbox *out = outbox_of(s);
    if (out->q0_bytes + cost > w->limits->qos0_queue_bytes && session_link(s)->blocked) {
        DROPPED(w, s, entry->message, 0, slow_consumer);
        if (w->limits->slow_consumer == SLOW_CLOSE)
            session_link(s)->ops->kick(session_link(s), RC_QUOTA_EXCEEDED);
        return drop(entry->message, DELIVERY_DROPPED);
    }
    out->q0_bytes += cost;
    *fifo_push(&out->q0) = *entry;
    session_mark_dirty(w, s);
    return DELIVERY_QUEUED;
}

struct entry *outbox_entry(const struct outbox *out, uint64_t counter)
{
    const struct fifo *f = &out->q1;

    if (counter >= f->tail && out->spill)
        f = &out->spill->last;
    return counter >= f->head && counter < f->tail ? fifo_at(f, counter) : NULL;
}

/* Messages that were never sent, and the bytes of all. */
static uint64_t waiting(const struct outbox *out)
{
    return fifo_waiting(&out->q1) + spill_waiting(out);
}

static uint64_t queued_bytes(const struct outbox *out)
{
    return out->q1_bytes + spill_bytes(out);
}

static bool queue_has_room(const struct worker *w, const struct session *s, size_t cost)
{
    const struct outbox *out = s->out;
    uint64_t window = session_link(s) && session_link(s)->quota > out->in_flight
                          ? session_link(s)->quota - out->in_flight
                          : 0;

    if (UNLIKELY(atomic_load_explicit(&w->broker->crowded, memory_order_relaxed)) &&
        waiting(out) > window)
        return false;
    return waiting(out) < w->limits->max_queue_messages + window &&
           (queued_bytes(out) + cost <= w->limits->max_queue_bytes || queued_bytes(out) == 0);
}

static void entry_forget(struct outbox *out, struct entry *e)
{
    if (e->message) {
        out->q1_bytes -= message_size(e->message);
        message_unref(e->message);
        e->message = NULL;
    }
}

/* Makes the oldest message that was never sent give way. */
static bool drop_oldest(struct worker *w, struct session *s)
{
    struct outbox *out = s->out;
    struct fifo *f = &out->q1;

    if (fifo_waiting(f) == 0) {
        if (!spill_drop_oldest(w, s))
            return false;
        DROPPED(w, s, NULL, 1, queue_full);
        return true;
    }
    struct entry *e = fifo_at(f, f->fresh);
    DROPPED(w, s, e->message, e->qos, queue_full);
    entry_forget(out, e);
    e->state = ENTRY_DONE;
    journal_done(w, s, f->fresh, RECORD_DROPPED);
    fifo_skip(f, !session_stored(s));
    return true;
}

static enum delivery deliver_qos12(struct worker *w, struct session *s, const struct entry *entry)
{
    struct outbox *out = outbox_of(s);
    size_t cost = message_size(entry->message);

    while (UNLIKELY(!queue_has_room(w, s, cost))) {
        if (w->limits->queue_full == QUEUE_DROP_NEW || !drop_oldest(w, s)) {
            COUNT(w, dropped_queue_full); /* told by who offered it: another may take it */
            return drop(entry->message, DELIVERY_FULL);
        }
    }
    uint64_t counter;
    struct entry *e;
    if (UNLIKELY(spill_wanted(w, s))) {
        e = spill_push(w, s, entry, &counter);
    } else {
        counter = out->q1.tail;
        *(e = fifo_push(&out->q1)) = *entry;
        out->q1_bytes += cost;
    }
    if (session_stored(s))
        journal_target(w, s, counter, e);
    session_mark_dirty(w, s);
    return DELIVERY_QUEUED;
}

enum delivery session_deliver(struct worker *w, struct session *s, struct message *m, unsigned qos,
                              bool retain, uint32_t sub_id, uint16_t share)
{
    struct entry entry = {.message = m,
                          .sub_id = sub_id,
                          .share = share,
                          .qos = (uint8_t)qos & 3,
                          .retain = retain,
                          .state = ENTRY_WAITING};
    enum delivery how;

    w->deliveries++;
    COUNT(w, routed);
    lock_take(&s->lock);
    if (UNLIKELY(s->dead)) {
        DROPPED(w, s, m, qos, session_ended);
        how = drop(m, DELIVERY_DROPPED);
    } else if (qos == 0) {
        how = deliver_qos0(w, s, &entry);
    } else {
        how = deliver_qos12(w, s, &entry);
    }
    lock_drop(&s->lock);
    return how;
}

static uint64_t outbox_count(const struct outbox *out)
{
    uint64_t n = out->q0.tail - out->q0.head + waiting(out);

    for (uint64_t i = out->q1.head; i != out->q1.fresh; i++)
        n += fifo_at(&out->q1, i)->state != ENTRY_DONE;
    return n;
}

uint64_t session_queued(struct session *s)
{
    lock_take(&s->lock);
    uint64_t n = s->out ? outbox_count(s->out) : 0;
    lock_drop(&s->lock);
    return n;
}

uint32_t session_in_flight(struct session *s)
{
    lock_take(&s->lock);
    uint32_t n = s->out ? s->out->in_flight : 0;
    lock_drop(&s->lock);
    return n;
}

uint64_t session_room(struct worker *w, struct session *s)
{
    uint64_t room = w->limits->max_queue_messages;

    lock_take(&s->lock);
    if (s->out) {
        uint64_t there = waiting(s->out);
        bool heavy = queued_bytes(s->out) + s->out->q0_bytes > w->limits->qos0_queue_bytes / 2;
        room = heavy || there >= room ? 0 : room - there;
    }
    if (session_link(s) && session_link(s)->blocked)
        room = 0;
    lock_drop(&s->lock);
    return room;
}

/* -- Connection -- */

/* What was in flight waits again: the next connection gets it from the start, in order.
 * RELEASED entries stay RELEASED and get their PUBREL again. */
static void rewind_in_flight(struct outbox *out)
{
    struct fifo *f = &out->q1;

    for (uint64_t i = f->head; i != f->next; i++) {
        struct entry *e = fifo_at(f, i);
        if (e->state == ENTRY_SENT)
            e->state = ENTRY_WAITING;
        e->in_flight = 0;
    }
    fifo_rewind(f);
    out->in_flight = 0;
}

void session_detach(struct worker *w, struct session *s)
{
    lock_take(&s->lock);
    if (session_link(s))
        alias_table_free(&session_link(s)->aliases);
    if (s->identity)
        atomic_store(&s->identity->presence->connected, false);
    atomic_store_explicit(&s->link, NULL, memory_order_relaxed);
    if (s->out) {
        struct fifo *q0 = &s->out->q0;
        for (uint64_t i = q0->head; i != q0->tail; i++) {
            DROPPED(w, s, fifo_at(q0, i)->message, 0, connection_lost);
            message_unref(fifo_at(q0, i)->message);
        }
        fifo_fini(q0);
        s->out->q0_bytes = 0;
        rewind_in_flight(s->out);
        fifo_trim(&s->out->q1);
    }
    lock_drop(&s->lock);
}

/* -- Acknowledgements -- */

static void entry_finish(struct worker *w, struct session *s, struct entry *e)
{
    struct fifo *f = &s->out->q1;

    entry_forget(s->out, e);
    e->state = ENTRY_DONE;
    journal_done(w, s, fifo_counter(f, e), 0);
    if (e->in_flight) {
        e->in_flight = 0;
        s->out->in_flight--;
    }
    fifo_settle(f);
    fifo_trim(f);
    if (f->next != f->tail || s->out->spill)
        session_mark_dirty(w, s);
}

/* Also finds what was sent on the connection before and has yet to go again: the client may
 * be about to answer that. */
static struct entry *find_sent(struct session *s, uint16_t packet_id, int *err)
{
    struct entry *e = s->out ? fifo_find(&s->out->q1, packet_id) : NULL;

    *err = e ? 0 : RC_PACKET_ID_NOT_FOUND;
    return e;
}

int session_puback(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason)
{
    int err;

    lock_take(&s->lock);
    struct entry *e = find_sent(s, packet_id, &err);
    if (e && e->qos != 1)
        err = RC_PROTOCOL_ERROR;
    else if (e) {
        if (reason >= 0x80) {
            DROPPED(w, s, e->message, 1, refused_by_client);
        } else {
            COUNT(w, delivered_qos1);
            DELIVERED(w, s, e->message, 1);
        }
        entry_finish(w, s, e);
    }
    lock_drop(&s->lock);
    return err;
}

int session_pubrec(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason,
                   bool *release)
{
    int err;

    *release = false;
    lock_take(&s->lock);
    struct entry *e = find_sent(s, packet_id, &err);
    if (e && e->qos != 2) {
        err = RC_PROTOCOL_ERROR;
    } else if (e && reason >= 0x80 && e->state != ENTRY_RELEASED) {
        DROPPED(w, s, e->message, 2, refused_by_client); /* [MQTT-4.4.0-2] */
        entry_finish(w, s, e);
    } else if (e) {
        if (e->state != ENTRY_RELEASED) {
            journal_released(w, s, fifo_counter(&s->out->q1, e));
            DELIVERED(w, s, e->message, 2);
        }
        entry_forget(s->out, e);
        e->state = ENTRY_RELEASED;
        *release = true;
    }
    lock_drop(&s->lock);
    return err;
}

int session_pubcomp(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason)
{
    int err;

    lock_take(&s->lock);
    struct entry *e = find_sent(s, packet_id, &err);
    if (e && (e->qos != 2 || e->state != ENTRY_RELEASED))
        err = RC_PROTOCOL_ERROR;
    else if (e) {
        COUNT(w, delivered_qos2);
        entry_finish(w, s, e);
    }
    lock_drop(&s->lock);
    return err;
}

bool session_took(struct worker *w, struct session *s, uint64_t counter)
{
    lock_take(&s->lock);
    const struct fifo *f = s->out ? &s->out->q1 : NULL;
    struct entry *e = f && counter >= f->head && counter < f->next ? fifo_at(f, counter) : NULL;
    bool in_flight = e && e->state != ENTRY_DONE;
    if (in_flight) {
        if (e->qos == 1)
            COUNT(w, delivered_qos1);
        else
            COUNT(w, delivered_qos2);
        if (e->state != ENTRY_RELEASED)
            DELIVERED(w, s, e->message, e->qos);
        entry_finish(w, s, e);
    }
    lock_drop(&s->lock);
    return in_flight;
}

/* -- The end -- */

/* Queued messages that came through a shared group go to another member, if the
 * protocol lets them [MQTT-4.8.2-5]: a QoS 2 message once sent does not. */
static void bury_entry(struct worker *w, struct session *s, struct entry *e)
{
    bool may_move = e->share != 0 && e->message && (e->qos == 1 || !e->sent_before);

    if (may_move && share_redeliver(w, s, e))
        return; /* the reference went along */
    if (e->state == ENTRY_RELEASED)
        COUNT(w, delivered_qos2); /* the client has it; only its PUBCOMP is missing */
    else
        DROPPED_UNLOCKED(w, s, e->message, e->qos, session_ended);
    if (e->message)
        message_unref(e->message);
}

struct burial {
    struct worker *w;
    struct session *s;
};

static void bury_last(void *arg, struct entry *e)
{
    struct burial *b = arg;
    bury_entry(b->w, b->s, e);
}

static void bury_outbox(struct worker *w, struct session *s, struct outbox *out)
{
    struct burial b = {w, s};

    for (uint64_t i = out->q0.head; i != out->q0.tail; i++) {
        DROPPED_UNLOCKED(w, s, fifo_at(&out->q0, i)->message, 0, session_ended);
        message_unref(fifo_at(&out->q0, i)->message);
    }
    for (uint64_t i = out->q1.head; i != out->q1.tail; i++) {
        if (fifo_at(&out->q1, i)->state != ENTRY_DONE)
            bury_entry(w, s, fifo_at(&out->q1, i));
    }
    if (out->spill) {
        uint64_t unread = spill_fini(&out->spill, bury_last, &b);
        lock_take(&s->lock);
        DROPPED_MANY(w, s, unread, session_ended);
        lock_drop(&s->lock);
    }
    fifo_fini(&out->q0);
    fifo_fini(&out->q1);
    free(out);
}

void session_bury(struct worker *w, struct session *s)
{
    struct outbox *out;

    lock_take(&s->lock);
    ASSERT(!s->dead);
    s->dead = true;
    atomic_store_explicit(&s->link, NULL, memory_order_relaxed);
    out = s->out;
    s->out = NULL;
    bool last = s->pins == 0;
    lock_drop(&s->lock);

    if (out)
        bury_outbox(w, s, out);
    if (last)
        qsbr_retire(w->slot, s, session_release);
}
