#include "core/subs.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/subs_node.h"
#include "mqtt/topic.h"

static struct str exact_text(const struct sub_node *node)
{
    return (struct str){((const struct exact_node *)node)->text, node->len};
}

static uint64_t exact_hash(const void *object)
{
    struct str text = exact_text(object);
    return hash_bytes(text.ptr, text.len);
}

static struct sub_node *exact_find(const struct subs *s, uint64_t hash, struct str filter)
{
    struct qset_probe p = qset_find(&s->exact, hash);
    for (struct sub_node *n; (n = qset_next(&p)) != NULL;)
        if (str_eq(exact_text(n), filter))
            return n;
    return NULL;
}

struct subs *subs_new(void)
{
    struct subs *s = xcalloc(1, sizeof *s);
    qset_init(&s->exact, exact_hash);
    sub_tree_init(s);
    atomic_init(&s->generation, 1); /* 0 is that of an empty cache entry */
    return s;
}

static void exact_free(void *arg, void *object)
{
    sub_list_free(object);
    free(object);
}

void subs_free(struct subs **subs)
{
    struct subs *s = *subs;

    *subs = NULL;
    if (!s)
        return;
    qset_each(&s->exact, exact_free, NULL);
    qset_fini(&s->exact);
    sub_tree_fini(s);
    free(s);
}

static struct sub_node *exact_new(struct subs *s, struct str filter)
{
    struct exact_node *exact = xcalloc(1, sizeof *exact + filter.len);

    ASSERT(filter.len <= UINT16_MAX);
    exact->node.kind = SUB_EXACT;
    exact->node.len = (uint16_t)filter.len;
    memcpy(exact->text, filter.ptr, filter.len);
    s->bytes += sub_block_bytes(exact);
    return &exact->node;
}

static struct sub_node *exact_add(struct subs *s, struct qsbr_slot *slot, struct str filter,
                                  uint64_t entry, bool *existed)
{
    uint64_t hash = hash_bytes(filter.ptr, filter.len);
    struct sub_node *node = exact_find(s, hash, filter);

    if (node) {
        *existed = !sub_list_put(node, slot, entry, &s->bytes);
        return node;
    }
    /* Whole before a reader can find it. */
    node = exact_new(s, filter);
    *existed = !sub_list_put(node, slot, entry, &s->bytes);
    qset_add(&s->exact, slot, hash, node);
    return node;
}

/* The set of wildcard filters has changed. */
static void wild_changed(struct subs *s, int by)
{
    atomic_fetch_add_explicit(&s->wild_filters, (uint64_t)(int64_t)by, memory_order_release);
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

static struct sub_node *wild_add(struct subs *s, struct qsbr_slot *slot, struct str filter,
                                 uint64_t entry, bool *existed)
{
    struct sub_node *node = sub_tree_ensure(s, slot, filter);
    bool first = node->count == 0;

    *existed = !sub_list_put(node, slot, entry, &s->bytes);
    if (first)
        wild_changed(s, 1);
    return node;
}

struct sub_node *subs_add(struct subs *subs, struct qsbr_slot *slot, struct str filter,
                          void *target, unsigned options, bool *existed)
{
    uint64_t entry = (uint64_t)(uintptr_t)target << 16 | (options & 0xffff);
    struct sub_node *node;

    ASSERT(target && (uintptr_t)target >> 48 == 0);
    lock_take(&subs->lock);
    if (topic_filter_has_wildcard(filter))
        node = wild_add(subs, slot, filter, entry, existed);
    else
        node = exact_add(subs, slot, filter, entry, existed);
    subs->subscriptions += !*existed;
    lock_drop(&subs->lock);
    return node;
}

/* The last subscriber has left. */
static void node_drop(struct subs *s, struct qsbr_slot *slot, struct sub_node *node)
{
    if (node->kind != SUB_EXACT) {
        sub_tree_remove(s, slot, node);
        wild_changed(s, -1);
        return;
    }
    qset_remove(&s->exact, slot, exact_hash(node), node);
    s->bytes -= sub_block_bytes(node);
    qsbr_retire(slot, node, free);
}

bool subs_remove(struct subs *subs, struct qsbr_slot *slot, struct sub_node *node, void *target)
{
    lock_take(&subs->lock);
    bool removed = sub_list_remove(node, slot, target, &subs->bytes);
    if (removed) {
        subs->subscriptions--;
        if (node->count == 0)
            node_drop(subs, slot, node);
    }
    lock_drop(&subs->lock);
    return removed;
}

struct sub_node *subs_find(struct subs *subs, struct str filter)
{
    struct sub_node *node;

    if (topic_filter_has_wildcard(filter))
        node = sub_tree_find(subs, filter);
    else
        node = exact_find(subs, hash_bytes(filter.ptr, filter.len), filter);
    return node && sub_node_wanted(node) ? node : NULL;
}

struct str sub_node_filter(const struct sub_node *node)
{
    if (node->kind == SUB_EXACT)
        return exact_text(node);
    return (struct str){((const struct wild_filter *)node)->text, node->len};
}

void subs_prefetch(struct subs *subs, struct subs_cache *cache, struct str topic)
{
    uint64_t hash = hash_bytes(topic.ptr, topic.len);

    qset_prefetch(&subs->exact, hash);
    if (atomic_load_explicit(&subs->wild_filters, memory_order_relaxed) != 0)
        sub_cache_prefetch(cache, hash);
}

unsigned subs_match(struct subs *subs, struct subs_cache *cache, struct str topic,
                    struct sub_node *const **nodes)
{
    uint64_t hash = hash_bytes(topic.ptr, topic.len);
    struct sub_node **found = cache->found;
    unsigned count = 0;

    if (atomic_load_explicit(&subs->wild_filters, memory_order_acquire) != 0)
        count = sub_cache_match(subs, cache, hash, topic, &found);

    /* Place 0 of either array is kept for the exact node. */
    struct sub_node *exact = exact_find(subs, hash, topic);
    if (!exact) {
        *nodes = found + 1;
        return count;
    }
    found[0] = exact;
    *nodes = found;
    return count + 1;
}

struct subs_stats subs_stats(struct subs *subs)
{
    lock_take(&subs->lock);
    struct subs_stats stats = {
        .filters = subs->exact.count + subs->wild_filters,
        .wildcard_filters = subs->wild_filters,
        .subscriptions = subs->subscriptions,
        .bytes = subs->bytes + subs->exact.bytes + subs->edges.bytes + sizeof *subs,
    };
    lock_drop(&subs->lock);
    return stats;
}
