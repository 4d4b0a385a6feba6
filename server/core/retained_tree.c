#include <stdlib.h>

#include "base/mem.h"
#include "core/retained_tree.h"

static uint64_t link_to_node(const struct tree_node *n)
{
    return (uint64_t)(uintptr_t)n << 16 | LINK_NODE;
}

static uint64_t link_to_message(const struct message *m)
{
    ASSERT((uintptr_t)m >> 48 == 0 && ((uintptr_t)m & 7) == 0);
    return (uint64_t)(uintptr_t)m << 16;
}

static struct tree_node *node_new(struct retained *r, struct tree_node *parent, struct str text)
{
    struct tree_node *n = tree_alloc(r, sizeof *n + text.len);

    *n = (struct tree_node){.parent = parent, .len = (uint16_t)text.len};
    if (text.len)
        memcpy(n->text, text.ptr, text.len);
    return n;
}

static void node_release(struct retained *r, struct qsbr_slot *slot, struct tree_node *n)
{
    links_free(r, slot, n);
    tree_release(r, slot, n);
}

void retained_tree_init(struct retained *r)
{
    r->root = node_new(r, NULL, STR_NONE);
}

/* -- Finding -- */

struct tree_place tree_find(const struct retained *r, struct str topic)
{
    struct tree_node *n = r->root;
    struct levels l = levels_of(topic);

    for (struct str level; level_next(&l, &level);) {
        size_t offset = (size_t)(level.ptr - topic.ptr);
        _Atomic uint64_t *link = links_find(n, offset, level_hash(level), level);
        if (!link)
            return (struct tree_place){0};
        uint64_t word = atomic_load_explicit(link, memory_order_acquire);
        struct message *m = link_message(word);
        if (m && !str_eq(message_topic(m), topic))
            return (struct tree_place){0};
        if (m)
            return (struct tree_place){.link = link, .message = m};
        n = link_node(word);
    }
    return (struct tree_place){.node = n, .message = own_message(n)};
}

static struct message *own_exchange(struct tree_node *n, struct message *m)
{
    uintptr_t own = atomic_load_explicit(&n->own, memory_order_acquire);

    while (own && !(own & OWN_FROZEN))
        if (atomic_compare_exchange_weak_explicit(&n->own, &own, (uintptr_t)m, memory_order_acq_rel,
                                                  memory_order_acquire))
            return (struct message *)own;
    return NULL;
}

struct message *place_exchange(struct tree_place place, struct message *m)
{
    if (place.node)
        return own_exchange(place.node, m);
    if (!place.link)
        return NULL;

    /* The word may have led to a node meanwhile and then to another topic's message. */
    uint64_t word = atomic_load_explicit(place.link, memory_order_acquire);
    while (!(word & (LINK_NODE | LINK_FROZEN)) &&
           str_eq(message_topic(link_message(word)), message_topic(m))) {
        uint64_t fresh = link_to_message(m) | (word & 0xffff);
        if (atomic_compare_exchange_weak_explicit(place.link, &word, fresh, memory_order_acq_rel,
                                                  memory_order_acquire))
            return link_message(word);
    }
    return NULL;
}

/* -- Adding -- */

/* Hangs a message of a topic that shares the way up to and with level (and no more nodes)
 * into a new node; it belongs to nobody else yet. */
static struct tree_node *node_around(struct retained *r, struct tree_node *parent, struct str level,
                                     size_t offset, struct message *m)
{
    struct tree_node *n = node_new(r, parent, level);
    size_t below = offset + level.len + 1;
    struct levels l = levels_from(message_topic(m), below);
    struct str next;

    if (level_next(&l, &next))
        links_add(r, NULL, n, below, level_hash(next), link_to_message(m));
    else
        atomic_store_explicit(&n->own, (uintptr_t)m, memory_order_relaxed);
    return n;
}

/* Makes way for a second topic: the message at link moves one level down into a new node. */
static struct tree_node *link_split(struct retained *r, struct tree_node *parent,
                                    _Atomic uint64_t *link, struct str level, size_t offset)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(link, memory_order_acquire);
        struct tree_node *n = node_around(r, parent, level, offset, link_message(word));
        uint64_t fresh = link_to_node(n) | (word & 0xffff);
        if (atomic_compare_exchange_strong_explicit(link, &word, fresh, memory_order_acq_rel,
                                                    memory_order_acquire))
            return n;
        node_release(r, NULL, n); /* the message was exchanged meanwhile */
    }
}

struct message *tree_put(struct retained *r, struct qsbr_slot *slot, struct message *m)
{
    struct str topic = message_topic(m);
    struct levels l = levels_of(topic);
    struct tree_node *n = r->root;

    for (struct str level; level_next(&l, &level);) {
        size_t offset = (size_t)(level.ptr - topic.ptr);
        uint64_t hash = level_hash(level);
        _Atomic uint64_t *link = links_find(n, offset, hash, level);
        if (!link) {
            links_add(r, slot, n, offset, hash, link_to_message(m));
            return NULL;
        }
        uint64_t word = atomic_load_explicit(link, memory_order_acquire);
        struct tree_node *child = link_node(word);
        if (!child && str_eq(message_topic(link_message(word)), topic))
            return place_exchange((struct tree_place){.link = link}, m);
        n = child ? child : link_split(r, n, link, level, offset);
    }
    struct message *old = own_exchange(n, m);
    if (!old)
        atomic_store_explicit(&n->own, (uintptr_t)m, memory_order_release);
    return old;
}

/* -- Removing -- */

static size_t node_offset(const struct tree_node *n)
{
    size_t offset = 0;
    for (; n->parent; n = n->parent)
        offset += n->len + 1u;
    return offset;
}

/* The message that is all there is below n, frozen; NULL when there is more. */
static struct message *node_only(struct tree_node *n)
{
    if (n->count == 0)
        return (
            struct message *)(atomic_fetch_or_explicit(&n->own, OWN_FROZEN, memory_order_acq_rel) &
                              ~(uintptr_t)OWN_FROZEN);
    if (n->count > 1 || n->own)
        return NULL;
    struct links_walk w = links_walk(n, 0, 0);
    if (links_next(&w, n, 0) & LINK_NODE)
        return NULL;
    return link_message(links_freeze_only(n));
}

/* Takes away nodes that stand for one topic or none, upwards from n. */
static void tree_prune(struct retained *r, struct qsbr_slot *slot, struct tree_node *n)
{
    while (n->parent) {
        struct tree_node *parent = n->parent;
        bool empty = n->count == 0 && !n->own;
        struct message *only = empty ? NULL : node_only(n);
        if (!empty && !only)
            return;

        uint64_t hash = level_hash(node_text(n));
        _Atomic uint64_t *link = links_find(parent, node_offset(parent), hash, node_text(n));
        if (empty) {
            links_remove(r, slot, parent, hash, link);
        } else {
            /* Nobody exchanges a word that leads to a node. */
            uint64_t piece = atomic_load_explicit(link, memory_order_relaxed) & 0xffff;
            atomic_store_explicit(link, link_to_message(only) | piece, memory_order_release);
        }
        node_release(r, slot, n);
        n = parent;
    }
}

/* Whether link still holds this message; then it will until it is copied or thawed. */
static bool link_freeze_if(_Atomic uint64_t *link, const struct message *m)
{
    uint64_t word = atomic_fetch_or_explicit(link, LINK_FROZEN, memory_order_acq_rel);
    if (link_message(word) == m)
        return true;
    atomic_fetch_and_explicit(link, ~LINK_FROZEN, memory_order_release);
    return false;
}

static struct message *own_take(struct tree_node *n, const struct message *only)
{
    uintptr_t own = (uintptr_t)only;

    if (!only)
        return (struct message *)atomic_exchange_explicit(&n->own, 0, memory_order_acq_rel);
    if (!atomic_compare_exchange_strong_explicit(&n->own, &own, 0, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return NULL;
    return (struct message *)own;
}

struct message *tree_remove(struct retained *r, struct qsbr_slot *slot, struct str topic,
                            const struct message *only)
{
    struct tree_node *n = r->root, *child;
    struct levels l = levels_of(topic);
    struct message *removed = NULL;

    for (struct str level; level_next(&l, &level); n = child) {
        size_t offset = (size_t)(level.ptr - topic.ptr);
        uint64_t hash = level_hash(level);
        _Atomic uint64_t *link = links_find(n, offset, hash, level);
        if (!link)
            return NULL;
        uint64_t word = atomic_load_explicit(link, memory_order_acquire);
        if ((child = link_node(word)) != NULL)
            continue;
        if (!str_eq(message_topic(link_message(word)), topic))
            return NULL;
        if (only && !link_freeze_if(link, only))
            return NULL;
        removed = link_message(links_remove(r, slot, n, hash, link));
        tree_prune(r, slot, n);
        return removed;
    }
    removed = own_take(n, only);
    if (removed)
        tree_prune(r, slot, n);
    return removed;
}

/* -- The end -- */

void retained_tree_fini(struct retained *r)
{
    /* Nodes to do, chained by their parent pointers: the depth is the peers' choice. */
    struct tree_node *todo = r->root;

    while (todo) {
        struct tree_node *n = todo, *child;
        struct message *own = own_message(n);
        struct links_walk w = links_walk(n, 0, 0);

        todo = n->parent;
        for (uint64_t link; (link = links_next(&w, n, 0)) != 0;) {
            if ((child = link_node(link)) != NULL) {
                child->parent = todo;
                todo = child;
            } else {
                message_unref(link_message(link));
            }
        }
        if (own)
            message_unref(own);
        node_release(r, NULL, n);
    }
    r->root = NULL;
}
