/* Filters with wildcards: a tree of levels.
 *
 * All children by plain text stand in one set keyed by (parent, level); '+' and '#'
 * hang in their parent.  Matching keeps the set of nodes reached so far and takes it down
 * the topic level by level; it can hold no more nodes than exist, so that a filter bomb
 * costs its maker's share of the tree and not an exponential.
 *
 * A change links new nodes from the top down and unlinks from the bottom up, then moves
 * the generation on: what a cache noted under an older one is void (subs_cache.c). */
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/levels.h"
#include "core/subs_node.h"

/* -- Edges -- */

static uint64_t level_hash(struct str level)
{
    return hash_bytes(level.ptr, level.len);
}

static uint64_t edge_hash(const struct wild_node *parent, uint64_t level)
{
    return hash_fold(level ^ (uint64_t)(uintptr_t)parent, hash_key[1]);
}

static struct str node_text(const struct wild_node *n)
{
    return (struct str){n->text, n->leaf.node.len};
}

static uint64_t node_hash(const void *object)
{
    const struct wild_node *n = object;
    return edge_hash(n->leaf.parent, level_hash(node_text(n)));
}

static struct wild_node *edge_find(const struct subs *s, const struct wild_node *parent,
                                   uint64_t hash, struct str level)
{
    struct qset_probe p = qset_find(&s->edges, hash);
    for (struct wild_node *n; (n = qset_next(&p)) != NULL;)
        if (n->leaf.parent == parent && str_eq(node_text(n), level))
            return n;
    return NULL;
}

static struct wild_node *plus_of(const struct wild_node *n)
{
    return atomic_load_explicit(&n->plus, memory_order_acquire);
}

static struct wild_leaf *hash_of(const struct wild_node *n)
{
    return atomic_load_explicit(&n->hash, memory_order_acquire);
}

/* -- Finding and making -- */

static struct wild_leaf *child_find(const struct subs *s, const struct wild_node *parent,
                                    struct str level)
{
    struct wild_node *n;

    if (level_is(level, '#'))
        return hash_of(parent);
    if (level_is(level, '+'))
        n = plus_of(parent);
    else
        n = edge_find(s, parent, edge_hash(parent, level_hash(level)), level);
    return n ? &n->leaf : NULL;
}

static struct wild_leaf *node_new(struct subs *s, struct wild_node *parent, enum sub_kind kind,
                                  struct str text)
{
    size_t size =
        kind == SUB_HASH ? sizeof(struct wild_leaf) : offsetof(struct wild_node, text) + text.len;
    struct wild_leaf *leaf = xcalloc(1, size < sizeof *leaf ? sizeof *leaf : size);

    leaf->node.kind = (uint8_t)kind;
    leaf->parent = parent;
    if (text.len) {
        leaf->node.len = (uint16_t)text.len;
        memcpy(((struct wild_node *)leaf)->text, text.ptr, text.len);
    }
    s->bytes += sub_block_bytes(leaf);
    return leaf;
}

static struct wild_leaf *child_make(struct subs *s, struct qsbr_slot *slot,
                                    struct wild_node *parent, struct str level)
{
    struct wild_leaf *leaf;

    if (level_is(level, '#')) {
        leaf = node_new(s, parent, SUB_HASH, STR_NONE);
        atomic_store_explicit(&parent->hash, leaf, memory_order_release);
    } else if (level_is(level, '+')) {
        leaf = node_new(s, parent, SUB_PLUS, STR_NONE);
        atomic_store_explicit(&parent->plus, (struct wild_node *)leaf, memory_order_release);
    } else {
        leaf = node_new(s, parent, SUB_PLAIN, level);
        qset_add(&s->edges, slot, edge_hash(parent, level_hash(level)), leaf);
        atomic_fetch_add_explicit(&parent->edges, 1, memory_order_release);
    }
    return leaf;
}

void sub_tree_init(struct subs *s)
{
    qset_init(&s->edges, node_hash);
    s->root = (struct wild_node *)node_new(s, NULL, SUB_ROOT, STR_NONE);
}

/* '#' comes last in a filter, so every step but the last is to a node with children. */
struct sub_node *sub_tree_find(struct subs *s, struct str filter)
{
    struct levels l = levels_of(filter);
    struct wild_leaf *at = &s->root->leaf;

    for (struct str level; at && level_next(&l, &level);)
        at = child_find(s, (struct wild_node *)at, level);
    return at ? &at->node : NULL;
}

struct sub_node *sub_tree_ensure(struct subs *s, struct qsbr_slot *slot, struct str filter)
{
    struct levels l = levels_of(filter);
    struct wild_leaf *at = &s->root->leaf;

    for (struct str level; level_next(&l, &level);) {
        struct wild_node *parent = (struct wild_node *)at;
        at = child_find(s, parent, level);
        if (!at)
            at = child_make(s, slot, parent, level);
    }
    return &at->node;
}

/* -- Taking away -- */

static bool node_useless(const struct wild_leaf *leaf)
{
    if (leaf->node.kind == SUB_ROOT || leaf->node.count)
        return false;
    if (leaf->node.kind == SUB_HASH)
        return true;
    const struct wild_node *n = (const struct wild_node *)leaf;
    return !n->edges && !n->plus && !n->hash;
}

static void node_unlink(struct subs *s, struct qsbr_slot *slot, struct wild_leaf *leaf)
{
    struct wild_node *parent = leaf->parent;

    if (leaf->node.kind == SUB_HASH) {
        atomic_store_explicit(&parent->hash, NULL, memory_order_release);
    } else if (leaf->node.kind == SUB_PLUS) {
        atomic_store_explicit(&parent->plus, NULL, memory_order_release);
    } else {
        qset_remove(&s->edges, slot, node_hash(leaf), leaf);
        atomic_fetch_sub_explicit(&parent->edges, 1, memory_order_release);
    }
    s->bytes -= sub_block_bytes(leaf);
}

void sub_tree_prune(struct subs *s, struct qsbr_slot *slot, struct sub_node *node)
{
    struct wild_leaf *leaf = (struct wild_leaf *)node;

    while (node_useless(leaf)) {
        struct wild_node *parent = leaf->parent;
        node_unlink(s, slot, leaf);
        /* Between unlinking and retiring: a reader that goes on after the retirement has
         * seen the new generation, so no cache entry of an older one leads it here. */
        atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
        qsbr_retire(slot, leaf, free);
        leaf = &parent->leaf;
    }
}

static void node_free(struct wild_leaf *leaf)
{
    if (!leaf)
        return;
    sub_list_free(&leaf->node);
    if (leaf->node.kind != SUB_HASH) {
        struct wild_node *n = (struct wild_node *)leaf;
        node_free(n->hash);
        node_free(n->plus ? &n->plus->leaf : NULL);
    }
    free(leaf);
}

static void edge_free(void *arg, void *object)
{
    struct wild_node *n = object;
    sub_list_free(&n->leaf.node);
    free(n);
}

/* Plain nodes are all in the set, and what hangs in them goes first: depth is bounded by the
 * levels a filter may have, between two plain ones. */
static void edge_free_wild(void *arg, void *object)
{
    struct wild_node *n = object;
    node_free(n->hash);
    node_free(n->plus ? &n->plus->leaf : NULL);
}

void sub_tree_fini(struct subs *s)
{
    qset_each(&s->edges, edge_free_wild, NULL);
    qset_each(&s->edges, edge_free, NULL);
    qset_fini(&s->edges);
    node_free(&s->root->leaf);
}

/* -- Matching -- */

static void level_reserve(struct subs_cache *c, unsigned count)
{
    if (count <= c->level_room)
        return;
    while (c->level_room < count)
        c->level_room *= 2;
    c->level = xrealloc(c->level, c->level_room * sizeof *c->level);
    c->below = xrealloc(c->below, c->level_room * sizeof *c->below);
}

static void found_if_wanted(struct subs_cache *c, struct wild_leaf *leaf)
{
    if (leaf && sub_node_wanted(&leaf->node))
        sub_cache_found(c, &leaf->node);
}

static bool has_edges(const struct wild_node *n)
{
    return atomic_load_explicit(&n->edges, memory_order_acquire) != 0;
}

/* From the `count` nodes in c->level to those one level on, in c->below; returns how many. */
static unsigned level_step(struct subs *s, struct subs_cache *c, unsigned count, struct str level,
                           bool wildcards)
{
    uint64_t h = level_hash(level);
    unsigned reached = 0;

    for (unsigned i = 0; count > 1 && i < count; i++)
        if (has_edges(c->level[i]))
            qset_prefetch(&s->edges, edge_hash(c->level[i], h));

    for (unsigned i = 0; i < count; i++) {
        struct wild_node *n = c->level[i], *child;
        if (wildcards) {
            found_if_wanted(c, hash_of(n));
            if ((child = plus_of(n)) != NULL)
                c->below[reached++] = child;
        }
        if (has_edges(n) && (child = edge_find(s, n, edge_hash(n, h), level)) != NULL)
            c->below[reached++] = child;
    }
    return reached;
}

void sub_tree_match(struct subs *s, struct subs_cache *c, struct str topic)
{
    struct levels l = levels_of(topic);
    /* A leading wildcard does not reach topics that begin with $ [MQTT-4.7.2-1]. */
    bool wildcards = topic.len == 0 || topic.ptr[0] != '$';
    unsigned count = 1;

    c->level[0] = s->root;
    for (struct str level; count > 0 && level_next(&l, &level); wildcards = true) {
        level_reserve(c, 2 * count);
        count = level_step(s, c, count, level, wildcards);
        struct wild_node **swap = c->level;
        c->level = c->below;
        c->below = swap;
    }
    for (unsigned i = 0; i < count; i++) {
        found_if_wanted(c, &c->level[i]->leaf);
        /* "a/#" matches "a" as well (4.7.1.2) */
        found_if_wanted(c, hash_of(c->level[i]));
    }
}
