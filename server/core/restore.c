#include "core/restore.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/spill.h"
#include "core/subscribe.h"
#include "core/will.h"
#include "store/store.h"

/* One message in several queues is one message again. */
struct shared {
    uint64_t key; /* 0: free */
    struct message *message;
};

struct restore {
    struct worker *w;
    struct restore_stats *stats;
    uint64_t now_ms;   /* store time */
    struct session *s; /* whose parts come now */
    uint64_t tail;     /* of its queue */
    uint64_t sent;     /* those below may have been sent */
    uint32_t open;     /* entries that may be open at the client: they must not give way */
    struct shared *shared;
    uint32_t shared_count, shared_cap;
};

/* Store time to the monotonic clock; what is past is 1, since 0 has a meaning of its own. */
static uint64_t mono_of(uint64_t store_ms, uint64_t now_ms, int64_t offset_ms)
{
    uint64_t store_now = now_ms + (uint64_t)offset_ms;

    if (store_ms >= store_now)
        return now_ms + (store_ms - store_now);
    uint64_t ago = store_now - store_ms;
    return ago < now_ms ? now_ms - ago : 1;
}

static uint64_t mono(const struct restore *r, uint64_t store_ms)
{
    return mono_of(store_ms, r->w->now_ms, r->w->broker->store_offset_ms);
}

/* -- Messages -- */

struct message *restored_message(const struct record_message *m, uint64_t now_ms, int64_t offset_ms)
{
    struct message *out = message_new(m->topic, m->payload, m->props, m->qos, m->retain);

    if (!out)
        return NULL;
    out->expires_ms = m->expires_ms ? mono_of(m->expires_ms, now_ms, offset_ms) : MESSAGE_NO_EXPIRY;
    out->publisher = m->publisher;
    return out;
}

static struct message *message_of(const struct restore *r, const struct record_message *m)
{
    return restored_message(m, r->w->now_ms, r->w->broker->store_offset_ms);
}

static struct shared *shared_place(const struct restore *r, uint64_t key)
{
    uint32_t at = (uint32_t)hash_fold(key, hash_key[1]) & (r->shared_cap - 1);

    while (r->shared[at].key && r->shared[at].key != key)
        at = (at + 1) & (r->shared_cap - 1);
    return &r->shared[at];
}

static void shared_grow(struct restore *r)
{
    struct shared *old = r->shared;
    uint32_t cap = r->shared_cap;

    r->shared_cap = cap ? cap * 2 : 1024;
    r->shared = xcalloc(r->shared_cap, sizeof *r->shared);
    for (uint32_t i = 0; i < cap; i++) {
        if (old[i].key)
            *shared_place(r, old[i].key) = old[i];
    }
    free(old);
}

/* With a reference for the caller. */
static struct message *message_shared(struct restore *r, const struct load_entry *e)
{
    if (e->shared == 0)
        return message_of(r, &e->message);
    if (r->shared_count * 2 >= r->shared_cap)
        shared_grow(r);
    struct shared *place = shared_place(r, e->shared);
    if (!place->key) {
        struct message *m = message_of(r, &e->message);
        if (!m)
            return NULL;
        *place = (struct shared){e->shared, m};
        r->shared_count++;
    }
    message_ref(place->message, 1);
    return place->message;
}

static void shared_fini(struct restore *r)
{
    for (uint32_t i = 0; i < r->shared_cap; i++) {
        if (r->shared[i].key)
            message_unref(r->shared[i].message);
    }
    free(r->shared);
}

/* -- Sessions -- */

static void give_will(struct session *s, const struct record_will *will)
{
    struct mqtt_will from = {.topic = will->message.topic,
                             .payload = will->message.payload,
                             .qos = will->message.qos,
                             .retain = will->message.retain,
                             .delay = will->delay,
                             .expiry = will->expiry};

    will_set(s, &from, will->message.props);
}

/* Its client was connected: its absence begins now, and that is written down, or each further
 * start would begin it anew. */
static void begin_absence(struct restore *r, const struct load_session *l, struct restored *out)
{
    uint32_t expiry = l->head.expiry;
    struct record_away away = {.number = l->head.number,
                               .ends_ms = expiry == EXPIRY_NEVER ? UINT64_MAX
                                                                 : r->now_ms + expiry * 1000ull,
                               .will_ms = l->has_will ? r->now_ms + l->will.delay * 1000ull : 0,
                               .sent = l->tail};

    batch_away(&r->w->journal.batch, &away);
    out->end_ms = away.ends_ms == UINT64_MAX ? UINT64_MAX : mono(r, away.ends_ms);
    out->will_ms = away.will_ms ? mono(r, away.will_ms) : 0;
}

/* The newest messages may be the ones that are done. */
static void finish_queue(struct restore *r)
{
    struct outbox *out = r->s ? r->s->out : NULL;

    if (!out || out->spill || out->q1.tail >= r->tail)
        return;
    while (out->q1.tail < r->tail)
        *fifo_push(&out->q1) = (struct entry){.state = ENTRY_DONE};
    out->q1.fresh = out->q1.tail;
}

static int on_session(void *arg, const struct load_session *l)
{
    struct restore *r = arg;
    struct session *old;
    struct restored restored = {
        .client_id = l->head.client_id,
        .username = l->head.username,
        .has_username = l->head.has_username,
        .serial = l->head.number,
        .realm = l->head.realm,
        .expiry = l->head.expiry,
        .version = l->head.version,
        .end_ms = l->ends_ms == UINT64_MAX ? UINT64_MAX : mono(r, l->ends_ms),
        .will_ms = l->will_ms && l->has_will ? mono(r, l->will_ms) : 0,
    };

    finish_queue(r);
    if (!l->away)
        begin_absence(r, l, &restored);
    r->s = sessions_restore(r->w, &restored, &old);
    if (old) {
        batch_end(&r->w->journal.batch, old->serial);
        sessions_restore_end(r->w, old);
    }
    r->tail = l->tail;
    r->open = 0;
    r->sent = l->away ? l->sent : l->tail;
    r->s->will_written = l->has_will; /* also where DISCONNECT took it back */
    if (restored.will_ms)
        give_will(r->s, &l->will);
    if (l->tail) {
        struct outbox *out = r->s->out = xcalloc(1, sizeof *out);
        out->q1.head = out->q1.next = out->q1.fresh = out->q1.tail = l->tail;
        out->stored = r->sent;
    }
    r->stats->sessions++;
    return 0;
}

static int on_subscription(void *arg, const struct record_sub *sub)
{
    struct restore *r = arg;
    struct subscribe_request request = {.filter = sub->filter,
                                        .options = sub->options,
                                        .id = sub->id,
                                        .retain_handling = sub->retain_handling};
    bool existed;

    r->stats->subscriptions++;
    return session_subscribe(r->w, r->s, &request, &existed);
}

static int on_received(void *arg, uint64_t session, uint16_t packet_id)
{
    struct session *s = ((struct restore *)arg)->s;

    if (!s->received)
        s->received = xcalloc(1, sizeof *s->received);
    idset_add(s->received, packet_id);
    return 0;
}

/* -- Queues -- */

/* The entry at that counter; what is missing before it was finished out of order. */
static struct entry *place_at(struct fifo *f, uint64_t counter)
{
    if (f->head == f->tail)
        f->head = f->next = f->fresh = f->tail = counter;
    while (f->tail < counter)
        *fifo_push(f) = (struct entry){.state = ENTRY_DONE};
    return fifo_push(f);
}

static bool may_have_been_sent(const struct restore *r, const struct load_entry *e)
{
    if (e->released)
        return true;
    /* At QoS 1 a message that has expired is not sent again; at QoS 2 its id may be in use. */
    bool expired = e->message.expires_ms && e->message.expires_ms <= r->now_ms;
    return e->target.counter < r->sent && !(expired && e->target.qos == 1);
}

static int on_entry(void *arg, const struct load_entry *e)
{
    struct restore *r = arg;
    struct outbox *out = r->s->out;
    struct message *m = NULL;

    if (!out)
        return ERR_DAMAGED;
    if (!e->released && !(m = message_shared(r, e)))
        return ERR_LIMIT;
    bool sent = may_have_been_sent(r, e), gap = e->target.counter > out->q1.tail;
    *place_at(&out->q1, e->target.counter) =
        (struct entry){.message = m,
                       .sub_id = e->target.sub_id,
                       .qos = e->released ? 2 : e->target.qos & 3,
                       .retain = e->target.retain,
                       .state = e->released ? ENTRY_RELEASED : ENTRY_WAITING,
                       .restored = sent};
    if (sent && (e->released || e->target.qos == 2 || r->open < r->w->limits->max_inflight)) {
        out->q1.fresh = out->q1.tail;
        r->open++;
    }
    if (gap && out->q1.fresh <= e->target.counter) /* what is DONE lies below `fresh` */
        out->q1.fresh = e->target.counter;
    if (m)
        out->q1_bytes += message_size(m);
    COUNT(r->w, routed);
    r->stats->messages++;
    return 0;
}

/* The rest of a long queue stays where it is.  How large it is, what came before it tells. */
static int on_rest(void *arg, uint64_t session, uint64_t first, uint64_t count)
{
    struct restore *r = arg;
    struct outbox *out = r->s->out;
    uint64_t here = out->q1.tail - out->q1.head;

    spill_restore(r->s, first, count, r->tail, here ? out->q1_bytes / here * count : 0);
    out->spill->sent = r->sent;
    COUNT_N(r->w, routed, count);
    r->stats->messages += count;
    return 0;
}

/* What may have been sent must be in memory: below it entries may be missing. */
static uint32_t queue_most(const struct limits *l)
{
    return l->queue_memory_messages > l->max_inflight ? l->queue_memory_messages : l->max_inflight;
}

static int on_retained(void *arg, const struct record_message *m)
{
    struct restore *r = arg;
    struct broker *b = r->w->broker;
    bool over = m->expires_ms && m->expires_ms <= r->now_ms;
    struct message *kept = over ? NULL : message_of(r, m);

    if (!over && !kept)
        return ERR_LIMIT;
    if (over || retained_put(b->retained, r->w->slot, kept) < 0)
        journal_unretained(r->w, m->topic);
    else
        r->stats->retained++;
    if (kept)
        message_unref(kept);
    return 0;
}

int restore_run(struct worker *w, struct store *store, struct restore_stats *stats, char *why,
                size_t why_size)
{
    const struct limits *in_force = w->limits;
    struct limits unbounded = *in_force;
    struct restore r = {
        .w = w, .stats = stats, .now_ms = w->now_ms + (uint64_t)w->broker->store_offset_ms};
    struct loader loader = {.session = on_session,
                            .subscription = on_subscription,
                            .received = on_received,
                            .entry = on_entry,
                            .rest = on_rest,
                            .queue_most = queue_most(in_force),
                            .retained = on_retained,
                            .arg = &r};

    *stats = (struct restore_stats){0};
    unbounded.max_subscriptions = 0; /* what was granted stays, whatever the limit is now */
    w->limits = &unbounded;
    int err = store_load(store, &loader, why, why_size);
    w->limits = in_force;
    finish_queue(&r);
    shared_fini(&r);
    return err;
}
