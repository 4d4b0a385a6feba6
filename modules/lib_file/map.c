#include "map.h"

static uint64_t hash_of(struct skep_str key)
{
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (unsigned char)key.ptr[i]) * 0x100000001b3;
    return h ^ h >> 29;
}

static struct map_slot *slot_of(const struct map *m, struct skep_str key, uint64_t hash)
{
    size_t at = hash & (m->cap - 1);

    while (m->slots[at].value && (m->slots[at].hash != hash || !skep_str_eq(m->slots[at].key, key)))
        at = (at + 1) & (m->cap - 1);
    return &m->slots[at];
}

void *map_get(const struct map *m, struct skep_str key)
{
    return m->count ? slot_of(m, key, hash_of(key))->value : NULL;
}

static void grow(struct map *m, struct region *region)
{
    struct map old = *m;

    m->cap = old.cap ? old.cap * 2 : 4;
    m->slots = REGION_ARRAY(region, struct map_slot, m->cap);
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].value)
            *slot_of(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
    }
}

void **map_put(struct map *m, struct region *region, struct skep_str key)
{
    uint64_t hash = hash_of(key);
    struct map_slot *slot;

    if (m->count * 2 >= m->cap)
        grow(m, region);
    slot = slot_of(m, key, hash);
    if (!slot->value) {
        slot->key = key;
        slot->hash = hash;
        m->count++;
    }
    return &slot->value;
}
