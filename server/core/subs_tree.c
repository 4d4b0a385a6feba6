/* Filters with wildcards: the tree that subs_node.h draws.
 *
 * Matching keeps the set of nodes reached so far and takes it down the topic level by level; it
 * can hold no more nodes than exist, so that a filter bomb costs its maker's share of the
 * tree and not an exponential.  A filter that hangs alone is compared as a whole.
 *
 * When a second filter comes along the way of a lone one, that moves down below a new
 * node.  Its sub_node stays where it is (sessions hold it), only its home changes, and a reader
 * that came to it by its old place must not lose it: hence home_leads_from. */
#include <malloc.h>
#include <stdlib.h>

#include "base/mem.h"
#include "core/levels.h"
#include "core/subs_node.h"
#include "mqtt/topic.h"

/* -- Children and their keys -- */

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
    return (struct str){n->text, n->len};
}

static struct str filter_text(const struct wild_filter *f)
{
    return (struct str){f->text, f->node.len};
}

static struct wild_node *home_parent(uint64_t home)
{
    return (struct wild_node *)(uintptr_t)((home & ~HOME_OWN) >> 16);
}

/* The level of its text by which the filter hangs at home. */
static struct str home_level(const struct wild_filter *f, uint64_t home)
{
    struct levels l = levels_from(filter_text(f), home & 0xffff);
    struct str level = STR_NONE;

    level_next(&l, &level);
    return level;
}

static void home_set(struct wild_filter *f, struct wild_node *parent, struct str level)
{
    uint64_t offset = level.ptr ? (uint64_t)(level.ptr - f->text) : 0;
    uint64_t home = (uint64_t)(uintptr_t)parent << 16 | offset | (level.ptr ? 0 : HOME_OWN);
    atomic_store_explicit(&f->home, home, memory_order_release);
}

static uint64_t child_hash(const void *object)
{
    const struct wild_node *n = child_node((uintptr_t)object);
    if (n)
        return edge_hash(n->parent, level_hash(node_text(n)));

    const struct wild_filter *f = object;
    uint64_t home = atomic_load_explicit(&f->home, memory_order_relaxed);
    return edge_hash(home_parent(home), level_hash(home_level(f, home)));
}

/* Whether a filter met in the edges is one that hung at parent by level when it was met: it
 * does so still, or has moved below a node that hangs there instead. */
static bool home_leads_from(const struct wild_filter *f, const struct wild_node *parent,
                            struct str level)
{
    uint64_t home = atomic_load_explicit(&f->home, memory_order_acquire);
    const struct wild_node *n = home_parent(home);

    if (n == parent)
        return !(home & HOME_OWN) && str_eq(home_level(f, home), level);
    while (n && n->parent != parent)
        n = n->parent;
    return n && str_eq(node_text(n), level);
}

static uintptr_t edge_find(const struct subs *s, const struct wild_node *parent, uint64_t hash,
                           struct str level)
{
    struct qset_probe p = qset_find(&s->edges, hash);
    for (void *object; (object = qset_next(&p)) != NULL;) {
        const struct wild_node *n = child_node((uintptr_t)object);
        if (n ? n->parent == parent && str_eq(node_text(n), level)
              : home_leads_from(object, parent, level))
            return (uintptr_t)object;
    }
    return 0;
}

static uintptr_t plus_of(const struct wild_node *n)
{
    return atomic_load_explicit(&n->plus, memory_order_acquire);
}

static struct wild_filter *hash_of(const struct wild_node *n)
{
    return atomic_load_explicit(&n->hash, memory_order_acquire);
}

static struct wild_filter *own_of(const struct wild_node *n)
{
    return atomic_load_explicit(&n->own, memory_order_acquire);
}

static uintptr_t child_find(const struct subs *s, const struct wild_node *parent, struct str level)
{
    if (level_is(level, '#'))
        return (uintptr_t)hash_of(parent);
    if (level_is(level, '+'))
        return plus_of(parent);
    return edge_find(s, parent, edge_hash(parent, level_hash(level)), level);
}

struct sub_node *sub_tree_find(struct subs *s, struct str filter)
{
    struct levels l = levels_of(filter);
    const struct wild_node *n = s->root;
    struct wild_filter *f = NULL;
    struct str level;

    while (n && level_next(&l, &level)) {
        uintptr_t child = child_find(s, n, level);
        n = child_node(child);
        f = n ? NULL : (struct wild_filter *)child;
    }
    if (n)
        f = own_of(n);
    return f && str_eq(filter_text(f), filter) ? &f->node : NULL;
}

/* -- Making -- */

static struct wild_node *node_new(struct subs *s, struct wild_node *parent, struct str text)
{
    struct wild_node *n = xcalloc(1, sizeof *n + text.len);

    n->parent = parent;
    n->len = (uint16_t)text.len;
    if (text.len)
        memcpy(n->text, text.ptr, text.len);
    s->bytes += sub_block_bytes(n);
    return n;
}

static struct wild_filter *filter_new(struct subs *s, struct str text)
{
    struct wild_filter *f = xcalloc(1, sizeof *f + text.len);

    ASSERT(text.len <= UINT16_MAX);
    f->node.kind = SUB_WILD;
    f->node.len = (uint16_t)text.len;
    memcpy(f->text, text.ptr, text.len);
    s->bytes += sub_block_bytes(f);
    return f;
}

/* Hangs a filter (its home says where) into its parent. */
static void filter_link(struct subs *s, struct qsbr_slot *slot, struct wild_filter *f)
{
    struct wild_node *parent = home_parent(f->home);
    struct str level = home_level(f, f->home);

    if (f->home & HOME_OWN) {
        atomic_store_explicit(&parent->own, f, memory_order_release);
    } else if (level_is(level, '#')) {
        atomic_store_explicit(&parent->hash, f, memory_order_release);
    } else if (level_is(level, '+')) {
        atomic_store_explicit(&parent->plus, (uintptr_t)f, memory_order_release);
    } else {
        qset_add(&s->edges, slot, child_hash(f), f);
        atomic_fetch_add_explicit(&parent->edges, 1, memory_order_release);
    }
}

/* Puts a new node between parent and the filter that hangs there by level, and hangs the filter
 * into it by its next level. */
static struct wild_node *filter_push_down(struct subs *s, struct qsbr_slot *slot,
                                          struct wild_node *parent, struct wild_filter *f,
                                          struct str level)
{
    struct wild_node *n = node_new(s, parent, level);
    struct levels l = levels_from(filter_text(f), (f->home & 0xffff) + level.len + 1u);
    uint64_t old_hash = child_hash(f);
    struct str next = STR_NONE;

    /* While the filter stands in the edges twice nothing may move them: its hash is that of
     * the new place from home_set on.  The new place is reached only by what comes last. */
    if (level_next(&l, &next))
        qset_reserve(&s->edges, slot, edge_hash(n, level_hash(next)));
    home_set(f, n, next);
    filter_link(s, slot, f);
    if (level_is(level, '+'))
        atomic_store_explicit(&parent->plus, (uintptr_t)n | 1, memory_order_release);
    else
        qset_replace(&s->edges, old_hash, f, (void *)((uintptr_t)n | 1));
    return n;
}

struct sub_node *sub_tree_ensure(struct subs *s, struct qsbr_slot *slot, struct str filter)
{
    struct levels l = levels_of(filter);
    struct wild_node *n = s->root;
    struct wild_filter *f;
    struct str level = STR_NONE;

    while (level_next(&l, &level)) {
        uintptr_t child = child_find(s, n, level);
        if (!child)
            break;
        f = child_node(child) ? NULL : (struct wild_filter *)child;
        if (f && str_eq(filter_text(f), filter))
            return &f->node;
        n = f ? filter_push_down(s, slot, n, f, level) : child_node(child);
        level = STR_NONE;
    }
    if (!level.ptr && (f = own_of(n)) != NULL)
        return &f->node;

    f = filter_new(s, filter);
    home_set(f, n, level.ptr ? (struct str){f->text + (level.ptr - filter.ptr), level.len} : level);
    filter_link(s, slot, f);
    return &f->node;
}

void sub_tree_init(struct subs *s)
{
    qset_init(&s->edges, child_hash);
    s->root = node_new(s, NULL, STR_NONE);
}

/* -- Taking away -- */

/* Takes what hangs in parent by level out of it. */
static void child_unlink(struct subs *s, struct qsbr_slot *slot, struct wild_node *parent,
                         struct str level, uintptr_t child)
{
    if (level_is(level, '#')) {
        atomic_store_explicit(&parent->hash, NULL, memory_order_release);
    } else if (level_is(level, '+')) {
        atomic_store_explicit(&parent->plus, 0, memory_order_release);
    } else {
        qset_remove(&s->edges, slot, child_hash((void *)child), (void *)child);
        atomic_fetch_sub_explicit(&parent->edges, 1, memory_order_release);
    }
}

static void block_retire(struct subs *s, struct qsbr_slot *slot, void *block)
{
    s->bytes -= sub_block_bytes(block);
    /* Between unlinking and retiring: a reader that goes on after the retirement has seen the new
     * generation, so no cache entry of an older one leads it here. */
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
    qsbr_retire(slot, block, free);
}

void sub_tree_remove(struct subs *s, struct qsbr_slot *slot, struct sub_node *node)
{
    struct wild_filter *f = (struct wild_filter *)node;
    struct wild_node *n = home_parent(f->home);

    if (f->home & HOME_OWN)
        atomic_store_explicit(&n->own, NULL, memory_order_release);
    else
        child_unlink(s, slot, n, home_level(f, f->home), (uintptr_t)f);
    block_retire(s, slot, f);

    /* A node that is left with one filter stays: to lift that up again would need a reader who
     * comes by the old way to find it, too. */
    while (n->parent && !n->own && !n->hash && !n->plus && !n->edges) {
        struct wild_node *parent = n->parent;
        child_unlink(s, slot, parent, node_text(n), (uintptr_t)n | 1);
        block_retire(s, slot, n);
        n = parent;
    }
}

static void filter_fini(struct wild_filter *f)
{
    if (f)
        sub_list_free(&f->node);
    free(f);
}

/* A node and what hangs in it, but for the edges; the '+' below '+' below '+' not by recursion. */
static void node_fini(struct wild_node *n)
{
    while (n) {
        uintptr_t plus = n->plus;
        struct wild_node *next = child_node(plus);
        filter_fini(n->own);
        filter_fini(n->hash);
        if (!next)
            filter_fini((struct wild_filter *)plus);
        free(n);
        n = next;
    }
}

static void edge_fini(void *arg, void *object)
{
    struct wild_node *n = child_node((uintptr_t)object);
    if (n)
        node_fini(n);
    else
        filter_fini(object);
}

void sub_tree_fini(struct subs *s)
{
    qset_each(&s->edges, edge_fini, NULL);
    qset_fini(&s->edges);
    node_fini(s->root);
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

static void filter_found(struct subs_cache *c, struct wild_filter *f)
{
    if (f && sub_node_wanted(&f->node))
        sub_cache_found(c, &f->node);
}

static bool has_edges(const struct wild_node *n)
{
    return atomic_load_explicit(&n->edges, memory_order_acquire) != 0;
}

/* A child the topic leads to: a node is one more to go on from, a lone filter is compared. */
static unsigned child_reach(struct subs_cache *c, unsigned reached, uintptr_t child,
                            struct str topic)
{
    struct wild_node *n = child_node(child);
    struct wild_filter *f = (struct wild_filter *)child;

    if (n)
        c->below[reached++] = n;
    else if (f && topic_matches(filter_text(f), topic))
        filter_found(c, f);
    return reached;
}

/* From the `count` nodes in c->level to those one level on, in c->below; returns how many. */
static unsigned level_step(struct subs *s, struct subs_cache *c, unsigned count, struct str topic,
                           struct str level, bool wildcards)
{
    uint64_t h = level_hash(level);
    unsigned reached = 0;

    for (unsigned i = 0; count > 1 && i < count; i++)
        if (has_edges(c->level[i]))
            qset_prefetch(&s->edges, edge_hash(c->level[i], h));

    for (unsigned i = 0; i < count; i++) {
        struct wild_node *n = c->level[i];
        if (wildcards) {
            filter_found(c, hash_of(n));
            reached = child_reach(c, reached, plus_of(n), topic);
        }
        if (has_edges(n))
            reached = child_reach(c, reached, edge_find(s, n, edge_hash(n, h), level), topic);
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
        count = level_step(s, c, count, topic, level, wildcards);
        struct wild_node **swap = c->level;
        c->level = c->below;
        c->below = swap;
    }
    for (unsigned i = 0; i < count; i++) {
        filter_found(c, own_of(c->level[i]));
        /* "a/#" matches "a" as well (4.7.1.2) */
        filter_found(c, hash_of(c->level[i]));
    }
}
