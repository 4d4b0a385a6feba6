/* What all workers share: the index, the retained messages, the sessions, the limits.
 *
 * core knows no thread and no loop.  What it must ask of the layer above goes through
 * `struct broker_ops`; what that layer must do for core is said at each function. */
#ifndef SKEP_CORE_BROKER_H
#define SKEP_CORE_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ledger.h"
#include "core/limits.h"
#include "core/worker.h"

struct message;
struct publication;
struct queue_read;
struct retained;
struct routed;
struct sessions;
struct session;
struct shares;
struct skep_client;
struct subs;

enum { BROKER_WORKERS_MAX = 256 };

/* Sessions that another worker shall flush; each is pinned. */
struct flush_batch {
    uint32_t count, cap;
    struct session **sessions;
};

struct broker_ops {
    /* Carry the batch to that worker's thread and call worker_flush_batch() there. */
    void (*post_flush)(void *arg, unsigned worker, struct flush_batch *batch);
    /* Carry the request to a thread that may block, call queue_read_run() there, and
     * queue_read_done() on its worker's thread.  Only asked of a broker with a store. */
    void (*read_queue)(void *arg, struct queue_read *r);
};

/* Who decides about messages under way; the layer above fills it.  Any worker. */
struct broker_guard {
    /* May the session have it?  Asked when it is about to be sent for the first time, and before a
     * member of a shared group is chosen.  The session's lock is held. */
    bool (*receive)(void *arg, struct worker *w, struct session *s, const struct message *m,
                    unsigned qos, bool retain);
    /* Publishes a will, or counts it as refused.  `by` left it; NULL: not known. */
    void (*will)(void *arg, struct worker *w, const struct skep_client *by, struct publication *p,
                 struct routed *out);
};

struct broker {
    _Atomic(const struct limits *) limits;
    struct subs *subs;
    struct retained *retained;
    struct sessions *sessions;
    struct shares *shares;
    int64_t store_offset_ms; /* store time is the monotonic clock and this */
    const struct broker_ops *ops;
    void *ops_arg;
    const struct broker_guard *guard; /* NULL: everything is allowed */
    void *guard_arg;
    _Atomic bool receive_guarded; /* somebody has an opinion about who receives what */
    _Atomic uint32_t worker_count;
    struct worker *workers[BROKER_WORKERS_MAX];
    _Atomic uint32_t events; /* kinds of core/event.h (1 << CORE_*) that the guests want */
    _Atomic bool crowded;    /* max_queued_messages is reached: a queue that waits is a full one */
    _Atomic bool squeeze;    /* memory runs short: long queues keep less of it */
    _Atomic bool pressure;   /* above the memory limit: publishers are not read from */
};

struct broker *broker_new(const struct limits *limits, const struct broker_ops *ops, void *arg);
/* All workers freed, no session attached. */
void broker_free(struct broker **b);

/* Publishes new limits; the old are retired on the caller's slot. */
void broker_limit(struct broker *b, struct qsbr_slot *slot, const struct limits *limits);

/* Whether s may have m, as far as anybody asks.  Its lock is held. */
static inline bool broker_may_receive(struct worker *w, struct session *s, const struct message *m,
                                      unsigned qos, bool retain)
{
    struct broker *b = w->broker;

    return !__builtin_expect(atomic_load_explicit(&b->receive_guarded, memory_order_relaxed), 0) ||
           b->guard->receive(b->guard_arg, w, s, m, qos, retain);
}

/* Sums every worker's ledger.  Any thread. */
void broker_ledger(struct broker *b, struct ledger_sum *out);

/* Notes that worker `to` shall flush s (pinned by the caller) when w's turn ends. */
void broker_post_flush(struct worker *w, struct session *s, unsigned to);

/* On the receiving worker: flushes and frees the batch. */
void worker_flush_batch(struct worker *w, struct flush_batch *batch);

/* Periodic housekeeping on one worker, some four times a second: ends expired sessions,
 * publishes delayed wills, sweeps expired retained messages.  True: call again next turn,
 * for more is due than one turn should carry. */
bool broker_tick(struct worker *w);

#endif
