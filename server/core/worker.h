/* What one thread needs to do the broker's work: its counters, clock, caches and lists.
 * Everything here belongs to that thread; nothing is locked. */
#ifndef SKEP_CORE_WORKER_H
#define SKEP_CORE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/qsbr.h"
#include "core/journal.h"
#include "core/ledger.h"
#include "core/limits.h"
#include "core/subs.h"

struct broker;
struct core_event;
struct flush_batch;
struct session;
struct message;

enum {
    WORKER_SCRATCH = 64 * 1024,
    WORKER_TURN_DELIVERIES = 16 * 1024, /* after so many a turn yields */
    WORKER_REMOTE_FLUSHES = 32,         /* other workers' sessions flushed from here in one turn */
};

/* One target of the message in hand. */
struct hit {
    void *target;      /* struct session, or struct share_group if options has SUB_GROUP */
    uint32_t options;  /* SUB_*, the highest QoS of those that overlap */
    uint32_t sub_id;   /* the first subscription identifier, 0: none */
    uint32_t more_ids; /* further ones: index + 1 into worker.ids; 0: none */
};

struct hit_id {
    uint32_t id;
    uint32_t next; /* index + 1 */
};

struct hit_slot {
    uint32_t stamp; /* worker.hit_stamp, or the slot is free */
    uint32_t index;
};

/* Somebody above core who works with this worker, on its thread: the module host. */
struct worker_guest {
    /* Everything of the turn was flushed.  True: something was done that has to be flushed, too;
     * then it is called again. */
    bool (*turn)(struct worker_guest *guest);
    /* The log has settled up to there. */
    void (*settled)(struct worker_guest *guest, uint64_t lsn);
    /* Something happened that broker->events asks for; see core/event.h.  May be NULL. */
    void (*event)(struct worker_guest *guest, const struct core_event *event);
};

struct worker {
    struct broker *broker;
    struct worker_guest *guest; /* NULL: none */
    struct qsbr_slot *slot;
    const struct limits *limits; /* re-read once a turn */
    struct subs_cache *cache;
    uint64_t now_ms; /* monotonic */
    uint32_t index;
    uint32_t deliveries; /* entries made in this turn */
    uint32_t events;     /* kinds of core/event.h that are wanted; re-read once a turn */
    bool turn_open;      /* it knows this turn's time and limits */

    struct session **dirty; /* sessions to flush at the end of the turn */
    uint32_t dirty_count, dirty_cap;
    struct orphan *orphans; /* see share_orphan() */
    uint32_t orphan_count, orphan_cap;
    uint32_t remote_dirty;       /* of those, how many another worker owns */
    struct flush_batch **remote; /* per worker: sessions it shall flush */
    unsigned remote_top;         /* workers below this may have a batch */

    struct hit *hits;
    uint32_t hit_count, hit_cap;
    struct hit_slot *hit_table; /* session -> hit, for overlapping subscriptions */
    uint32_t hit_table_cap, hit_stamp;
    struct hit_id *ids;
    uint32_t id_count, id_cap;

    struct journal journal;
    struct ledger ledger;
    uint8_t scratch[WORKER_SCRATCH];
};

/* slot belongs to the caller's thread and outlives the worker. */
struct worker *worker_new(struct broker *broker, struct qsbr_slot *slot, unsigned index);
void worker_free(struct worker **w);

/* Start of a turn: the clock and the limits now in force. */
void worker_turn_begin(struct worker *w, uint64_t now_ms);
/* The same for whoever comes first in a turn of its thread. */
static inline void worker_turn(struct worker *w, uint64_t now_ms)
{
    if (!w->turn_open)
        worker_turn_begin(w, now_ms);
}
/* Nothing more is done in this turn: what it read is out of date from here on. */
static inline void worker_turn_over(struct worker *w)
{
    w->turn_open = false;
}
/* End of a turn, or of a part of it: hands over its records, then flushes every session made dirty
 * by this worker. */
void worker_turn_end(struct worker *w);

#define COUNT(w, name)      ledger_add(&(w)->ledger.name, 1)
#define COUNT_N(w, name, n) ledger_add(&(w)->ledger.name, (n))

#endif
