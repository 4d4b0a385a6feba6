#include "core/journal.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "core/subscribe.h"
#include "core/will.h"
#include "store/store.h"

/* Finished while the record of a message was open. */
struct late {
    uint64_t number, counter;
    unsigned flags;
};

/* A run of counters of one session, queued by one turn of this worker. */
struct hold {
    struct session *session; /* pinned */
    uint64_t first;
    uint64_t lsn; /* 0: not handed over yet */
    uint32_t count;
};

enum { HOLDS_FIRST = 64, TURN_NS = 200000 };

static bool writing(const struct worker *w)
{
    return w->journal.store != NULL;
}

static uint64_t store_time(const struct worker *w, uint64_t mono_ms)
{
    return mono_ms + (uint64_t)w->broker->store_offset_ms;
}

void journal_fini(struct worker *w)
{
    ASSERT(w->journal.hold_count == 0);
    batch_fini(&w->journal.batch);
    free(w->journal.holds);
    free(w->journal.late);
}

/* -- Messages -- */

void journal_begin(struct worker *w, const struct message *m, unsigned flags, uint64_t origin,
                   uint16_t packet_id)
{
    struct journal *j = &w->journal;

    j->message = m;
    j->flags = flags;
    j->origin = origin;
    j->packet_id = packet_id;
    j->begun = false;
}

static void begin_pub(struct worker *w)
{
    struct journal *j = &w->journal;
    const struct message *m = j->message;
    struct record_message record = {
        .topic = message_topic(m),
        .payload = message_payload(m),
        .props = message_props(m),
        .expires_ms = m->expires_ms ? store_time(w, m->expires_ms) : 0,
        .publisher = serial_stored(m->publisher) ? m->publisher : 0,
        .qos = m->qos,
        .retain = m->retain,
    };

    batch_pub_begin(&j->batch, &record, j->flags, j->origin, j->packet_id);
    j->begun = true;
}

static struct hold *hold_at(const struct journal *j, uint32_t i)
{
    return &j->holds[(j->hold_head + i) & (j->hold_cap - 1)];
}

static void holds_grow(struct journal *j)
{
    uint32_t cap = j->hold_cap ? j->hold_cap * 2 : HOLDS_FIRST;
    struct hold *holds = xmalloc(cap * sizeof *holds);

    for (uint32_t i = 0; i < j->hold_count; i++)
        holds[i] = *hold_at(j, i);
    free(j->holds);
    j->holds = holds;
    j->hold_cap = cap;
    j->hold_head = 0;
}

static void hold(struct journal *j, struct session *s, uint64_t counter)
{
    if (j->hold_fresh > 0) {
        struct hold *last = hold_at(j, j->hold_count - 1);
        if (last->session == s && last->first + last->count == counter) {
            last->count++;
            return;
        }
    }
    if (j->hold_count == j->hold_cap)
        holds_grow(j);
    session_pin(s);
    j->hold_count++;
    j->hold_fresh++;
    *hold_at(j, j->hold_count - 1) = (struct hold){.session = s, .first = counter, .count = 1};
}

void journal_target(struct worker *w, struct session *s, uint64_t counter, struct entry *e)
{
    struct journal *j = &w->journal;
    struct record_target target = {.session = s->serial,
                                   .counter = counter,
                                   .sub_id = e->sub_id,
                                   .qos = e->qos,
                                   .retain = e->retain};

    if (!writing(w))
        return;
    ASSERT(e->message == j->message);
    if (!j->begun)
        begin_pub(w);
    atomic_store_explicit(&j->open, true, memory_order_relaxed); /* seen with the session's lock */
    batch_pub_target(&j->batch, &target);
    if (e->qos == 2) {
        e->held = 1;
        hold(j, s, counter);
    }
}

static void write_late(struct journal *j)
{
    for (uint32_t i = 0; i < j->late_count; i++)
        batch_ack(&j->batch, j->late[i].number, j->late[i].counter, j->late[i].flags);
    j->late_count = 0;
}

static bool end_pub(struct journal *j)
{
    bool wrote = j->begun && batch_pub_end(&j->batch);

    j->message = NULL;
    j->begun = false;
    return wrote;
}

bool journal_end(struct worker *w)
{
    struct journal *j = &w->journal;

    if (!j->begun && writing(w) && ((j->flags & RECORD_KEEP) || j->joined))
        begin_pub(w);
    bool wrote = end_pub(j);
    j->joined = false;
    write_late(j);
    return wrote;
}

/* Without a target there is nothing to write, and the message may be gone already. */
bool journal_end_joined(struct worker *w)
{
    struct journal *j = &w->journal;
    bool wrote = end_pub(j);

    if (wrote) {
        batch_join(&j->batch);
        j->joined = true;
    }
    return wrote;
}

/* -- Queues -- */

/* A full queue drops its oldest in the middle of a message's record or chain. */
static void note_late(struct journal *j, struct late late)
{
    if (j->late_count == j->late_cap) {
        j->late_cap = j->late_cap ? j->late_cap * 2 : 16;
        j->late = xrealloc(j->late, j->late_cap * sizeof *j->late);
    }
    j->late[j->late_count++] = late;
}

void journal_done(struct worker *w, const struct session *s, uint64_t counter, unsigned flags)
{
    struct journal *j = &w->journal;

    if (!session_written(w, s))
        return;
    if (j->begun || j->joined)
        note_late(j, (struct late){s->serial, counter, flags});
    else
        batch_ack(&j->batch, s->serial, counter, flags);
}

void journal_released(struct worker *w, const struct session *s, uint64_t counter)
{
    if (session_written(w, s))
        batch_release(&w->journal.batch, s->serial, counter);
}

/* -- Sessions -- */

static void write_will(struct worker *w, struct session *s)
{
    const struct will *will = s->will;
    struct record_will record = {.number = s->serial};

    if (will) {
        record.delay = will->delay;
        record.expiry = will->expiry;
        record.message = (struct record_message){
            .topic = {will->topic, will->topic_len},
            .payload = {will->payload, will->payload_len},
            .props = {will->props, will->props_len},
            .publisher = s->serial,
            .qos = will->qos,
            .retain = will->retain,
        };
    } else if (!s->will_written) {
        return;
    }
    batch_will(&w->journal.batch, &record);
    s->will_written = will != NULL;
}

void journal_session(struct worker *w, struct session *s)
{
    struct record_session record = {
        .client_id = session_id(s),
        .expiry = s->expiry,
        .realm = s->realm,
        .version = s->version,
        .has_username = s->username != NULL,
        .username = s->username ? str_of(s->username) : STR_NONE,
    };

    if (!session_stored(s))
        s->serial = store_number(w->journal.store);
    if (s->will)
        s->will->publisher = s->serial;
    record.number = s->serial;
    batch_session(&w->journal.batch, &record);
    if (s->will || s->will_written) /* or the session could come back with the will before */
        batch_join(&w->journal.batch);
    write_will(w, s);
}

/* What an earlier process may have sent is not forgotten with this one. */
static uint64_t sent_below(struct session *s)
{
    uint64_t sent = 0;

    lock_take(&s->lock);
    if (s->out)
        sent = s->out->q1.fresh > s->out->stored ? s->out->q1.fresh : s->out->stored;
    lock_drop(&s->lock);
    return sent;
}

void journal_away(struct worker *w, struct session *s, uint64_t ends_ms, uint64_t will_ms)
{
    if (!session_written(w, s))
        return;
    struct record_away record = {
        .number = s->serial,
        .ends_ms = ends_ms == UINT64_MAX ? UINT64_MAX : store_time(w, ends_ms),
        .will_ms = will_ms ? store_time(w, will_ms) : 0,
        .sent = sent_below(s),
    };
    batch_away(&w->journal.batch, &record);
}

void journal_ended(struct worker *w, uint64_t number)
{
    if (serial_stored(number) && writing(w))
        batch_end(&w->journal.batch, number);
}

void journal_will_gone(struct worker *w, uint64_t number)
{
    if (serial_stored(number) && writing(w))
        batch_will(&w->journal.batch, &(struct record_will){.number = number});
}

void journal_received(struct worker *w, const struct session *s, uint16_t packet_id, bool gone)
{
    if (session_written(w, s))
        batch_received(&w->journal.batch, s->serial, packet_id, gone);
}

void journal_subscribed(struct worker *w, const struct session *s,
                        const struct subscribe_request *r)
{
    struct record_sub record = {.number = s->serial,
                                .filter = r->filter,
                                .id = r->id,
                                .options = (uint8_t)r->options,
                                .retain_handling = r->retain_handling};

    if (session_written(w, s))
        batch_sub(&w->journal.batch, &record);
}

void journal_unsubscribed(struct worker *w, const struct session *s, struct str filter)
{
    if (session_written(w, s))
        batch_unsub(&w->journal.batch, s->serial, filter);
}

void journal_unretained(struct worker *w, struct str topic)
{
    struct record_message none = {.topic = topic, .retain = true};

    batch_pub_begin(&w->journal.batch, &none, RECORD_KEEP, 0, 0);
    batch_pub_end(&w->journal.batch);
}

/* -- The turn -- */

uint64_t journal_submit(struct worker *w)
{
    struct journal *j = &w->journal;

    if (batch_empty(&j->batch) || !writing(w))
        return j->end;
    j->end = store_submit(j->store, w->index, &j->batch);
    atomic_store_explicit(&j->open, false, memory_order_release);
    atomic_fetch_add_explicit(&j->submits, 1, memory_order_release);
    for (; j->hold_fresh > 0; j->hold_fresh--)
        hold_at(j, j->hold_count - j->hold_fresh)->lsn = j->end;
    return j->end;
}

void journal_await_submits(struct broker *b)
{
    unsigned n = atomic_load(&b->worker_count);

    for (unsigned i = 0; i < n; i++) {
        struct journal *j = &b->workers[i]->journal;
        uint64_t submits = atomic_load_explicit(&j->submits, memory_order_acquire);
        while (atomic_load_explicit(&j->open, memory_order_acquire) &&
               atomic_load_explicit(&j->submits, memory_order_acquire) == submits)
            nanosleep(&(struct timespec){.tv_nsec = TURN_NS}, NULL);
    }
}

/* The session may have ended meanwhile, or some of the entries. */
static void hold_release(struct worker *w, const struct hold *h)
{
    struct session *s = h->session;

    lock_take(&s->lock);
    if (s->out) {
        for (uint32_t i = 0; i < h->count; i++) {
            struct entry *e = outbox_entry(s->out, h->first + i);
            if (e)
                e->held = 0;
        }
        session_mark_dirty(w, s);
    }
    lock_drop(&s->lock);
    session_unpin(w, s);
}

void journal_settled(struct worker *w, uint64_t settled)
{
    struct journal *j = &w->journal;

    while (j->hold_count > j->hold_fresh && hold_at(j, 0)->lsn <= settled) {
        struct hold h = *hold_at(j, 0);
        j->hold_head++;
        j->hold_count--;
        hold_release(w, &h);
    }
}

uint64_t journal_backlog(const struct worker *w)
{
    if (!writing(w))
        return 0;
    uint64_t settled = store_settled(w->journal.store);
    return w->journal.end > settled ? w->journal.end - settled : 0;
}

void journal_stop(struct worker *w)
{
    journal_submit(w);
    journal_settled(w, UINT64_MAX);
    w->journal.store = NULL;
}

bool journal_refusing(const struct worker *w)
{
    return writing(w) && store_refusing(w->journal.store);
}
