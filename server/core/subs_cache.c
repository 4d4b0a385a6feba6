/* A loop's cache: topic -> the wildcard nodes that match it.
 *
 * An entry is good while the set of wildcard filters is what it was: the generation,
 * which exact filters and further subscribers of a known filter do not move.  The order
 * makes it sound: a change moves the generation after it is visible, a reader notes
 * the generation before it looks.  Nodes that an entry of the present generation names
 * have not been retired before the reader's last quiescent state.
 *
 * Very long topics and results are not kept, so that a cache is bounded: about 3 KB an
 * entry at worst. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/subs_node.h"

enum { TOPIC_MAX = 512, NODES_MAX = 256 };

struct subs_cache *subs_cache_new(unsigned entries)
{
    unsigned sets = 1;
    while (sets * CACHE_WAYS < entries)
        sets *= 2;

    struct subs_cache *c = xcalloc(1, sizeof *c + (size_t)sets * CACHE_WAYS * sizeof c->entries[0]);
    c->mask = sets - 1;
    c->found_room = c->level_room = 16;
    c->found = xcalloc(c->found_room, sizeof *c->found);
    c->level = xcalloc(c->level_room, sizeof *c->level);
    c->below = xcalloc(c->level_room, sizeof *c->below);
    return c;
}

void subs_cache_free(struct subs_cache **cache)
{
    struct subs_cache *c = *cache;

    *cache = NULL;
    if (!c)
        return;
    for (unsigned i = 0; i < (c->mask + 1) * CACHE_WAYS; i++)
        free(c->entries[i].nodes);
    free(c->found);
    free(c->level);
    free(c->below);
    free(c);
}

void sub_cache_found(struct subs_cache *c, struct sub_node *node)
{
    if (c->found_count + 1 == c->found_room) {
        c->found_room *= 2;
        c->found = xrealloc(c->found, c->found_room * sizeof *c->found);
    }
    c->found[++c->found_count] = node;
}

static bool entry_is(const struct cache_entry *e, uint64_t hash, uint64_t generation,
                     struct str topic)
{
    return e->hash == hash && e->generation == generation && e->topic_len == topic.len &&
           memcmp(e->nodes + 1 + e->count, topic.ptr, topic.len) == 0;
}

static void entry_fill(struct cache_entry *e, uint64_t hash, uint64_t generation,
                       const struct subs_cache *c, struct str topic)
{
    size_t nodes = (1 + c->found_count) * sizeof *e->nodes;

    if (e->room < nodes + topic.len) {
        e->room = (uint32_t)((nodes + topic.len + 63) & ~(size_t)63);
        free(e->nodes);
        e->nodes = xmalloc(e->room);
    }
    memcpy(e->nodes, c->found, nodes);
    memcpy((char *)e->nodes + nodes, topic.ptr, topic.len);
    e->hash = hash;
    e->generation = generation;
    e->count = c->found_count;
    e->topic_len = (uint32_t)topic.len;
}

unsigned sub_cache_match(struct subs *s, struct subs_cache *c, uint64_t hash, struct str topic,
                         struct sub_node ***nodes)
{
    /* Acquire: what moved the generation is seen by the walk below. */
    uint64_t generation = atomic_load_explicit(&s->generation, memory_order_acquire);
    struct cache_entry *e = &c->entries[(hash & c->mask) * CACHE_WAYS];

    for (unsigned way = 0; way < CACHE_WAYS; way++) {
        if (entry_is(&e[way], hash, generation, topic)) {
            *nodes = e[way].nodes;
            return e[way].count;
        }
    }
    c->found_count = 0;
    sub_tree_match(s, c, topic);
    if (topic.len <= TOPIC_MAX && c->found_count <= NODES_MAX) {
        /* A void entry makes room first. */
        unsigned way = e[0].generation != generation ? 0 : c->turn++ % CACHE_WAYS;
        entry_fill(&e[way], hash, generation, c, topic);
    }
    *nodes = c->found;
    return c->found_count;
}
