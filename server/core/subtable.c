#include "core/subtable.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

static uint32_t home(const struct subtable *t, const void *key)
{
    return (uint32_t)hash_fold((uintptr_t)key ^ hash_key[0], hash_key[1]) & (t->cap - 1);
}

struct subscription *subtable_find(const struct subtable *t, const void *key)
{
    if (t->cap == 0)
        return NULL;
    for (uint32_t i = home(t, key); t->slots[i].key; i = (i + 1) & (t->cap - 1)) {
        if (t->slots[i].key == key)
            return &t->slots[i];
    }
    return NULL;
}

static void place(struct subtable *t, const struct subscription *sub)
{
    uint32_t i = home(t, sub->key);
    while (t->slots[i].key)
        i = (i + 1) & (t->cap - 1);
    t->slots[i] = *sub;
}

static void resize(struct subtable *t, uint32_t cap)
{
    struct subtable old = *t;

    t->cap = cap;
    t->slots = xcalloc(cap, sizeof *t->slots);
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i].key)
            place(t, &old.slots[i]);
    }
    free(old.slots);
}

void subtable_put(struct subtable *t, const struct subscription *sub)
{
    if (t->cap == 0)
        resize(t, 2);
    else if ((t->count + 1) * 8 > t->cap * 7)
        resize(t, t->cap * 2);
    place(t, sub);
    t->count++;
}

bool subtable_remove(struct subtable *t, const void *key)
{
    struct subscription *gone = subtable_find(t, key);
    if (!gone)
        return false;

    /* Close the gap: move back whoever was pushed past it. */
    uint32_t hole = (uint32_t)(gone - t->slots), mask = t->cap - 1;
    for (uint32_t i = (hole + 1) & mask; t->slots[i].key; i = (i + 1) & mask) {
        uint32_t wanted = home(t, t->slots[i].key);
        if (((i - wanted) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].key = NULL;
    if (--t->count == 0) {
        free(t->slots);
        t->slots = NULL;
        t->cap = 0;
    }
    return true;
}

void subtable_fini(struct subtable *t)
{
    free(t->slots);
    t->slots = NULL;
    t->count = t->cap = 0;
}

uint32_t subtable_id(struct subtable *t, const void *key)
{
    lock_take(&t->lock);
    struct subscription *sub = subtable_find(t, key);
    uint32_t id = sub ? sub->id : 0;
    lock_drop(&t->lock);
    return id;
}
