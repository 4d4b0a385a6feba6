/* The parts of the subscription index, private to subs*.c.
 *
 *     struct subs
 *       exact: qset of exact_node        "a/b/c" in one piece behind the node
 *       root:  wild_node                 one node a level, linked upwards by parent
 *         plus, hash -> child            the levels '+' and '#'
 *         edges: qset (parent, level) -> child, one for the whole tree
 *
 * Everything a reader touches is atomic or does not change after the node is linked. */
#ifndef SKEP_CORE_SUBS_NODE_H
#define SKEP_CORE_SUBS_NODE_H

#include "base/hash.h"
#include "base/lock.h"
#include "base/qset.h"
#include "core/subs.h"

struct sub_list;

enum sub_kind {
    SUB_EXACT, /* a whole filter without wildcards */
    SUB_PLAIN, /* a level of a filter with wildcards: ordinary text */
    SUB_PLUS,  /* '+' */
    SUB_HASH,  /* '#', never has children: allocated as a wild_leaf */
    SUB_ROOT,
};

struct sub_node {
    _Atomic uint64_t entry;          /* the first subscriber, 0: none */
    _Atomic(struct sub_list *) list; /* the others */
    _Atomic uint32_t count;
    uint16_t len; /* of the text behind it, in exact_node or wild_node */
    uint8_t kind;
};

/* 24 bytes and the text: with up to 32 of those it fits the 56 bytes of a 64-byte block. */
struct exact_node {
    struct sub_node node;
    char text[];
};

struct wild_leaf {
    struct sub_node node;
    struct wild_node *parent; /* NULL in the root */
};

struct wild_node {
    struct wild_leaf leaf;
    _Atomic(struct wild_node *) plus;
    _Atomic(struct wild_leaf *) hash;
    _Atomic uint32_t edges; /* children by plain text */
    char text[];            /* SUB_PLAIN: the level */
};

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
/* Under the lock: makes the path where it is missing. */
struct sub_node *sub_tree_ensure(struct subs *s, struct qsbr_slot *slot, struct str filter);
/* Under the lock: takes away the node if it is of no use, and then what only led to it. */
void sub_tree_prune(struct subs *s, struct qsbr_slot *slot, struct sub_node *node);
/* Appends to the cache's results all nodes with a subscriber that match. */
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
