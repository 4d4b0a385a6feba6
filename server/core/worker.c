#include "core/worker.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "core/share.h"

enum { CACHE_ENTRIES = 4096 };

struct worker *worker_new(struct broker *broker, struct qsbr_slot *slot, unsigned index)
{
    struct worker *w = xcalloc(1, sizeof *w);

    w->broker = broker;
    w->slot = slot;
    w->index = index;
    w->limits = atomic_load(&broker->limits);
    w->cache = subs_cache_new(CACHE_ENTRIES);
    w->remote = xcalloc(BROKER_WORKERS_MAX, sizeof *w->remote);
    broker->workers[index] = w;
    atomic_fetch_add(&broker->worker_count, 1);
    return w;
}

void worker_free(struct worker **w)
{
    if (!*w)
        return;
    subs_cache_free(&(*w)->cache);
    for (unsigned i = 0; i < BROKER_WORKERS_MAX; i++)
        ASSERT(!(*w)->remote[i]);
    free((*w)->remote);
    free((*w)->dirty);
    free((*w)->orphans);
    free((*w)->hits);
    free((*w)->hit_table);
    free((*w)->ids);
    journal_fini(*w);
    atomic_fetch_sub(&(*w)->broker->worker_count, 1);
    free(*w);
    *w = NULL;
}

void worker_turn_begin(struct worker *w, uint64_t now_ms)
{
    w->now_ms = now_ms;
    w->limits = atomic_load_explicit(&w->broker->limits, memory_order_acquire);
    w->events = atomic_load_explicit(&w->broker->events, memory_order_relaxed);
    w->deliveries = 0;
    w->turn_open = true;
}

void broker_post_flush(struct worker *w, struct session *s, unsigned to)
{
    struct flush_batch *batch = w->remote[to];

    if (!batch)
        batch = w->remote[to] = xcalloc(1, sizeof *batch);
    if (batch->count == batch->cap) {
        batch->cap = batch->cap ? batch->cap * 2 : 64;
        batch->sessions = xrealloc(batch->sessions, batch->cap * sizeof *batch->sessions);
    }
    batch->sessions[batch->count++] = s;
    if (to + 1u > w->remote_top)
        w->remote_top = to + 1u;
}

void worker_flush_batch(struct worker *w, struct flush_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        session_flush(w, batch->sessions[i], STR_NONE);
        session_unpin(w, batch->sessions[i]);
    }
    free(batch->sessions);
    free(batch);
}

static void flush_dirty(struct worker *w)
{
    journal_submit(w);
    /* A flush may make no session dirty, so the list does not grow meanwhile. */
    for (uint32_t i = 0; i < w->dirty_count; i++)
        session_flush(w, w->dirty[i], STR_NONE);
    w->dirty_count = 0;
}

void worker_turn_end(struct worker *w)
{
    flush_dirty(w);
    while (w->orphan_count > 0) {
        share_orphans(w);
        flush_dirty(w);
    }
    w->remote_dirty = 0;
    for (unsigned i = 0; i < w->remote_top; i++) {
        struct flush_batch *batch = w->remote[i];
        w->remote[i] = NULL;
        if (batch)
            w->broker->ops->post_flush(w->broker->ops_arg, i, batch);
    }
    w->remote_top = 0;
    journal_submit(w); /* what a flush found expired, or too large */
}
