#include "core/retained.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/retained_tree.h"

struct retained *retained_new(void)
{
    struct retained *r = xcalloc(1, sizeof *r);
    retained_tree_init(r);
    return r;
}

void retained_free(struct retained **r)
{
    struct retained *old = *r;

    *r = NULL;
    if (!old)
        return;
    retained_tree_fini(old);
    retained_cursor_free(&old->sweep);
    free(old);
}

void retained_limit(struct retained *r, const struct retained_limits *limits)
{
    lock_take(&r->lock);
    atomic_store_explicit(&r->max_messages, limits->max_messages, memory_order_relaxed);
    atomic_store_explicit(&r->max_bytes, limits->max_bytes, memory_order_relaxed);
    lock_drop(&r->lock);
}

/* -- Accounts -- */

static uint64_t figure(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Leaves a line shared by all threads alone when nothing changes, as when sensors replace
 * values by values of the same length. */
static void account_add(_Atomic uint64_t *value, uint64_t by)
{
    if (by)
        atomic_fetch_add_explicit(value, by, memory_order_relaxed);
}

/* old or fresh may be NULL. */
static void account_change(struct retained *r, const struct message *old,
                           const struct message *fresh)
{
    uint64_t before = old ? message_cost(old) : 0, after = fresh ? message_cost(fresh) : 0;
    uint64_t expired = old && old->expires_ms, expires = fresh && fresh->expires_ms;

    account_add(&r->message_bytes, after - before);
    account_add(&r->expiring, expires - expired);
    account_add(&r->messages, (uint64_t)(fresh != NULL) - (uint64_t)(old != NULL));
}

static bool limit_forbids(struct retained *r, const struct message *old,
                          const struct message *fresh)
{
    uint64_t max_messages = figure(&r->max_messages), max_bytes = figure(&r->max_bytes);
    uint64_t before = old ? message_cost(old) : 0, after = message_cost(fresh);

    if (!old && max_messages && figure(&r->messages) >= max_messages)
        return true;
    if (!max_bytes || after <= before)
        return false;
    return figure(&r->message_bytes) + figure(&r->tree_bytes) + (after - before) > max_bytes;
}

/* -- Changes -- */

static void message_drop(void *m)
{
    message_unref(m);
}

/* The usual case, no lock: the topic is there.  True when that did it or must not be done. */
static bool put_exchange(struct retained *r, struct qsbr_slot *slot, struct message *m, int *err)
{
    struct tree_place place = tree_find(r, message_topic(m));
    struct message *old = place.message;

    *err = 0;
    if (!old)
        return false;
    if (limit_forbids(r, old, m)) {
        *err = ERR_LIMIT;
        return true;
    }
    old = place_exchange(place, m);
    if (!old)
        return false;
    account_change(r, old, m);
    qsbr_retire(slot, old, message_drop);
    return true;
}

static int put_locked(struct retained *r, struct qsbr_slot *slot, struct message *m)
{
    if (limit_forbids(r, tree_find(r, message_topic(m)).message, m))
        return ERR_LIMIT;
    struct message *old = tree_put(r, slot, m);
    account_change(r, old, m);
    if (old)
        qsbr_retire(slot, old, message_drop);
    return 0;
}

int retained_put(struct retained *r, struct qsbr_slot *slot, struct message *m)
{
    int err;

    message_ref(m, 1); /* before another thread can replace and drop it */
    if (!put_exchange(r, slot, m, &err)) {
        lock_take(&r->lock);
        err = put_locked(r, slot, m);
        lock_drop(&r->lock);
    }
    if (err)
        message_unref(m);
    return err;
}

static bool remove_if(struct retained *r, struct qsbr_slot *slot, struct str topic,
                      const struct message *only)
{
    lock_take(&r->lock);
    struct message *old = tree_remove(r, slot, topic, only);
    if (old) {
        account_change(r, old, NULL);
        qsbr_retire(slot, old, message_drop);
    }
    lock_drop(&r->lock);
    return old != NULL;
}

bool retained_remove(struct retained *r, struct qsbr_slot *slot, struct str topic)
{
    return remove_if(r, slot, topic, NULL);
}

struct message *retained_get(struct retained *r, struct str topic, uint64_t now_ms)
{
    struct message *m = tree_find(r, topic).message;
    return m && !message_expired(m, now_ms) ? m : NULL;
}

/* -- Expiry -- */

enum { SWEEP_BATCH = 256 };

struct sweep {
    uint64_t now_ms;
    unsigned count;
    struct message *expired[SWEEP_BATCH]; /* good until the next quiescent state */
};

static bool sweep_look(void *arg, struct message *m)
{
    struct sweep *s = arg;

    if (message_expired(m, s->now_ms))
        s->expired[s->count++] = m;
    return true;
}

unsigned retained_sweep(struct retained *r, struct qsbr_slot *slot, uint64_t now_ms, unsigned most)
{
    unsigned dropped = 0;

    while (most > 0 && figure(&r->expiring) > 0) {
        struct sweep s = {.now_ms = now_ms};
        unsigned slice = most < SWEEP_BATCH ? most : SWEEP_BATCH;
        if (!r->sweep)
            r->sweep = retained_cursor_new(STR("#"));
        bool more = retained_walk_all(r, r->sweep, slice, sweep_look, &s);
        /* Only the very message: a fresh one may have taken its place. */
        for (unsigned i = 0; i < s.count; i++)
            dropped += remove_if(r, slot, message_topic(s.expired[i]), s.expired[i]);
        most -= slice;
        if (!more) {
            retained_cursor_free(&r->sweep); /* from the start next time */
            break;
        }
    }
    return dropped;
}

struct retained_stats retained_stats(struct retained *r)
{
    return (struct retained_stats){
        .messages = figure(&r->messages),
        .bytes = figure(&r->message_bytes) + figure(&r->tree_bytes) + sizeof *r,
    };
}
