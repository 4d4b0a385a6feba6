/* The parts of the subscription index, private to subs*.c.
 *
 * Filters without wildcards stand in a set of their own.  Those with wildcards hang in a tree of
 * levels, in which a node stands for a prefix that at least two filters have shared; a filter
 * that goes its way alone hangs where that begins, whatever levels follow:
 *
 *     site/1/+/x, site/2/#, site/2/+/y       root -- site -- 1: site/1/+/x
 *                                                     \\- 2 -- #: site/2/#
 *                                                          \\- +: site/2/+/y
 *
 *   struct subs
 *     exact: set of exact_node
 *     root:  wild_node
 *       own, hash, plus -> the filter that ends here, that ends with '#', the child '+'
 *       edges: set (parent, level) -> child, one for the whole tree
 *
 * Everything a reader touches is atomic or does not change after it is linked. */
#ifndef SKEP_CORE_SUBS_NODE_H
#define SKEP_CORE_SUBS_NODE_H

#include "base/hash.h"
#include "base/lock.h"
#include "base/qset.h"
#include "core/subs.h"

struct sub_list;

enum sub_kind { SUB_EXACT, SUB_WILD };

struct sub_node {
    _Atomic uint64_t entry;          /* the first subscriber, 0: none */
    _Atomic(struct sub_list *) list; /* the others */
    _Atomic uint32_t count;
    uint16_t len; /* of the filter behind it */
    uint8_t kind;
};

/* 24 bytes and the text: with up to 32 of those it fits the 56 bytes of a 64-byte block. */
struct exact_node {
    struct sub_node node;
    char text[];
};

struct wild_filter {
    struct sub_node node;
    /* Where it hangs: parent's address << 16 | offset in the text of the level that leads
     * from the parent to it; with HOME_OWN it is the parent's own and the offset 0. */
    _Atomic uint64_t home;
    char text[];
};

#define HOME_OWN ((uint64_t)1 << 16)

struct wild_node {
    struct wild_node *parent; /* NULL in the root */
    _Atomic(struct wild_filter *) own;
    _Atomic(struct wild_filter *) hash;
    _Atomic uintptr_t plus; /* a child_* */
    _Atomic uint32_t edges; /* children by plain text */
    uint16_t len;
    char text[]; /* the level */
};

/* What leads down from a node, in plus and in the edges: a wild_filter's address, or a
 * wild_node's | 1; 0: nothing. */
static inline struct wild_node *child_node(uintptr_t child)
{
    return (child & 1) ? (struct wild_node *)(child & ~(uintptr_t)1) : NULL;
}

struct subs {
    struct lock lock; /* all changes */
    struct qset exact, edges;
    struct wild_node *root;
    _Atomic uint64_t wild_filters; /* with a subscriber */
    _Atomic uint64_t generation;   /* changes after the set of those has */
    uint64_t subscriptions, bytes;
};

/* -- subs_list.c: the subscribers of one node.  Under the lock. -- */

/* False when target was there and only its options changed. */
bool sub_list_put(struct sub_node *node, struct qsbr_slot *slot, uint64_t entry, uint64_t *bytes);
bool sub_list_remove(struct sub_node *node, struct qsbr_slot *slot, const void *target,
                     uint64_t *bytes);
/* For subs_free. */
void sub_list_free(struct sub_node *node);

/* -- subs_tree.c: filters with wildcards -- */

void sub_tree_init(struct subs *s);
void sub_tree_fini(struct subs *s);
struct sub_node *sub_tree_find(struct subs *s, struct str filter);
/* Under the lock: the filter's node, made if it is missing. */
struct sub_node *sub_tree_ensure(struct subs *s, struct qsbr_slot *slot, struct str filter);
/* Under the lock: takes away a filter without subscribers and what only led to it. */
void sub_tree_remove(struct subs *s, struct qsbr_slot *slot, struct sub_node *node);
/* Appends to the cache's results all nodes that match. */
void sub_tree_match(struct subs *s, struct subs_cache *c, struct str topic);

/* -- subs_cache.c -- */

struct cache_entry {
    uint64_t hash, generation;
    struct sub_node **nodes; /* [0] is left free for the exact node, then `count`, then the topic */
    uint32_t count, room;    /* room: bytes behind nodes */
    uint32_t topic_len;
};

enum { CACHE_WAYS = 2 };

struct subs_cache {
    /* What a match collects: [0] is left free for the exact node. */
    struct sub_node **found;
    unsigned found_count, found_room;
    /* Nodes reached at one level, and at the next. */
    struct wild_node **level, **below;
    unsigned level_room;
    uint64_t turn; /* picks the way to replace */
    unsigned mask; /* sets - 1; each has two ways */
    struct cache_entry entries[];
};

void sub_cache_found(struct subs_cache *c, struct sub_node *node);
/* The wildcard nodes for topic, from the cache or else by sub_tree_match: *nodes is one before
 * the first. */
unsigned sub_cache_match(struct subs *s, struct subs_cache *c, uint64_t hash, struct str topic,
                         struct sub_node ***nodes);

static inline void sub_cache_prefetch(const struct subs_cache *c, uint64_t hash)
{
    __builtin_prefetch(&c->entries[(hash & c->mask) * CACHE_WAYS]);
}

/* Whether a match should hand the node out; the answer may be old by the time it is used. */
static inline bool sub_node_wanted(struct sub_node *node)
{
    return atomic_load_explicit(&node->count, memory_order_relaxed) != 0;
}

/* What malloc takes for a block, its own 8 bytes included. */
uint64_t sub_block_bytes(void *block);

#endif
