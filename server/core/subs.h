/* The index of subscriptions: topic filter -> who wants it.
 *
 * Exact filters live in an open-addressing hash, wildcard filters in an edge table
 * (parent, level) -> child.  A subscriber entry is one 64-bit word, so that it is read
 * and written atomically: the target's address and sixteen bits of options.
 *
 * Threads: matching is lock-free for threads that own a QSBR slot and are online;
 * pointers obtained stay good until their next quiescent state.  Changes take the
 * index's own mutex and retire what they unlink.  Filters are checked beforehand
 * (mqtt/topic.h) and carry no $share prefix: a shared group is itself a target. */
#ifndef SKEP_CORE_SUBS_H
#define SKEP_CORE_SUBS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/qsbr.h"
#include "base/str.h"

enum {
    SUB_QOS = 0x03, /* mask */
    SUB_NO_LOCAL = 0x04,
    SUB_RETAIN_AS_PUBLISHED = 0x08,
    SUB_HAS_ID = 0x10, /* the target's own table knows the subscription identifier */
    SUB_GROUP = 0x20,  /* the target is a struct share_group, not a session */
};

struct subs;
struct sub_node; /* one filter with at least one subscriber (while held by one) */

struct subs *subs_new(void);
/* No reader may be left. */
void subs_free(struct subs **subs);

/* Adds target, or replaces its options if it is there already (*existed).  The target's
 * address must fit 48 bits.  The node stays valid while the target stays subscribed:
 * keep it for subs_remove.  (MQTT-3.8.4-3) */
struct sub_node *subs_add(struct subs *subs, struct qsbr_slot *slot, struct str filter,
                          void *target, unsigned options, bool *existed);

/* Removes target from node; false when it was not there. */
bool subs_remove(struct subs *subs, struct qsbr_slot *slot, struct sub_node *node, void *target);

/* The node of exactly this filter, or NULL.  For UNSUBSCRIBE and tools. */
struct sub_node *subs_find(struct subs *subs, struct str filter);
/* Valid as long as the node is. */
struct str sub_node_filter(const struct sub_node *node);

/* -- Matching -- */

/* A loop's own cache of the wildcard nodes that match a topic.  One thread. */
struct subs_cache;
struct subs_cache *subs_cache_new(unsigned entries);
void subs_cache_free(struct subs_cache **cache);

/* Collects the nodes that match a (checked) topic name, the $ rule included
 * [MQTT-4.7.2-1].  Returns how many stand in *nodes, an array that belongs to the cache
 * and lives until its next use. */
unsigned subs_match(struct subs *subs, struct subs_cache *cache, struct str topic,
                    struct sub_node *const **nodes);

/* Starts to fetch what subs_match of this topic reads first: call it for a whole batch of
 * topics before matching them. */
void subs_prefetch(struct subs *subs, struct subs_cache *cache, struct str topic);

/* Walking a node's subscribers:
 *
 *     struct sub_walk w = sub_walk_begin(node);
 *     for (uint64_t e; (e = sub_walk_next(&w)) != 0;)
 *         deliver(sub_entry_target(e), sub_entry_options(e));
 */
struct sub_chunk {
    _Atomic(struct sub_chunk *) next;
    _Atomic uint64_t entries[7];
};

struct sub_walk {
    _Atomic uint64_t *entry, *end;
    struct sub_chunk *next;
};

struct sub_walk sub_walk_begin(struct sub_node *node);

static inline uint64_t sub_walk_next(struct sub_walk *w)
{
    for (;;) {
        while (w->entry != w->end) {
            uint64_t e = atomic_load_explicit(w->entry++, memory_order_acquire);
            if (e)
                return e;
        }
        if (!w->next)
            return 0;
        w->entry = w->next->entries;
        w->end = w->entry + 7;
        w->next = atomic_load_explicit(&w->next->next, memory_order_acquire);
    }
}

static inline void *sub_entry_target(uint64_t entry)
{
    return (void *)(uintptr_t)(entry >> 16);
}

static inline unsigned sub_entry_options(uint64_t entry)
{
    return (unsigned)(entry & 0xffff);
}

/* How many subscribers (targets) a node has; exact when no change is under way. */
uint32_t sub_node_count(const struct sub_node *node);

/* -- Figures, for $SYS and the benchmark -- */
struct subs_stats {
    uint64_t filters, wildcard_filters, subscriptions, bytes;
};
struct subs_stats subs_stats(struct subs *subs);

#endif
