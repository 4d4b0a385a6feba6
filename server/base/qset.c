/* A slot that holds or held an object never becomes empty while one behind it in the same
 * run is alive, so that a reader's probe cannot end early: a removed object leaves REMOVED,
 * which turns into empty only in front of an empty slot. */
#include "base/qset.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

enum { REMOVED = 1, LOG_MIN = 3 };

/* Every shard starts with this table of one slot that is always empty. */
static const _Atomic uint64_t nothing[1];

static uint64_t table_word(const _Atomic uint64_t *slots, unsigned log)
{
    return (uint64_t)(uintptr_t)slots << 8 | log;
}

static _Atomic uint64_t *table_slots(uint64_t word)
{
    return (_Atomic uint64_t *)(uintptr_t)(word >> 8);
}

static uint64_t table_size(uint64_t word)
{
    return (uint64_t)1 << (word & 0xff);
}

static uint64_t slot_word(uint64_t hash, const void *object)
{
    ASSERT((uintptr_t)object >> 48 == 0);
    return (uint64_t)(uintptr_t)object << 16 | qset_tag(hash);
}

void qset_init(struct qset *set, qset_hash_fn *hash)
{
    *set = (struct qset){.hash = hash};
    for (unsigned i = 0; i < QSET_SHARDS; i++)
        atomic_init(&set->tables[i], table_word(nothing, 0));
}

void qset_fini(struct qset *set)
{
    for (unsigned i = 0; i < QSET_SHARDS; i++) {
        _Atomic uint64_t *slots = table_slots(set->tables[i]);
        if (slots != nothing)
            free((void *)slots);
    }
}

/* The fewest slots that leave a shard half empty or better. */
static unsigned log_for(uint32_t live)
{
    unsigned log = LOG_MIN;
    while (((uint64_t)1 << log) < 2 * (uint64_t)live)
        log++;
    return log;
}

static void table_put(_Atomic uint64_t *slots, uint64_t mask, uint64_t hash, uint64_t word)
{
    uint64_t at = hash & mask;
    while (atomic_load_explicit(&slots[at], memory_order_relaxed) != 0)
        at = (at + 1) & mask;
    atomic_store_explicit(&slots[at], word, memory_order_relaxed);
}

/* Moves a shard's objects to a table fit for `live` of them. */
static void shard_rebuild(struct qset *set, struct qsbr_slot *slot, unsigned shard, uint32_t live)
{
    uint64_t old = set->tables[shard];
    _Atomic uint64_t *from = table_slots(old);
    unsigned log = log_for(live);
    uint64_t size = (uint64_t)1 << log;
    _Atomic uint64_t *to = xcalloc(size, sizeof *to);

    for (uint64_t i = 0; i < table_size(old); i++) {
        /* The objects lie anywhere in memory: ask for the one eight slots ahead. */
        uint64_t ahead =
            atomic_load_explicit(&from[(i + 8) % table_size(old)], memory_order_relaxed);
        __builtin_prefetch((const void *)(uintptr_t)(ahead >> 16));
        uint64_t word = atomic_load_explicit(&from[i], memory_order_relaxed);
        if (word > REMOVED)
            table_put(to, size - 1, set->hash((const void *)(uintptr_t)(word >> 16)), word);
    }
    atomic_store_explicit(&set->tables[shard], table_word(to, log), memory_order_release);
    set->used[shard] = set->live[shard];
    set->bytes += size * sizeof *to;
    if (from != nothing) {
        set->bytes -= table_size(old) * sizeof *from;
        qsbr_retire(slot, (void *)from, free);
    }
}

void qset_reserve(struct qset *set, struct qsbr_slot *slot, uint64_t hash)
{
    unsigned shard = (unsigned)(hash >> 56);

    /* At seven tenths the average miss looks at six slots, less than a cache line. */
    if (10 * ((uint64_t)set->used[shard] + 1) > 7 * table_size(set->tables[shard]))
        shard_rebuild(set, slot, shard, set->live[shard] + 1);
}

void qset_add(struct qset *set, struct qsbr_slot *slot, uint64_t hash, void *object)
{
    unsigned shard = (unsigned)(hash >> 56);

    qset_reserve(set, slot, hash);
    uint64_t table = set->tables[shard], mask = table_size(table) - 1, at = hash & mask;
    _Atomic uint64_t *slots = table_slots(table);
    uint64_t there;
    while ((there = atomic_load_explicit(&slots[at], memory_order_relaxed)) > REMOVED)
        at = (at + 1) & mask;
    set->used[shard] += there == 0;
    set->live[shard]++;
    set->count++;
    atomic_store_explicit(&slots[at], slot_word(hash, object), memory_order_release);
}

/* Turns the marks that end a run, at and before `at`, into empty slots. */
static uint32_t run_trim(_Atomic uint64_t *slots, uint64_t mask, uint64_t at)
{
    uint32_t freed = 0;

    if (atomic_load_explicit(&slots[(at + 1) & mask], memory_order_relaxed) != 0)
        return 0;
    while (atomic_load_explicit(&slots[at], memory_order_relaxed) == REMOVED) {
        atomic_store_explicit(&slots[at], 0, memory_order_relaxed);
        at = (at - 1) & mask;
        freed++;
    }
    return freed;
}

static uint64_t table_find(uint64_t table, uint64_t hash, const void *object)
{
    uint64_t mask = table_size(table) - 1, at = hash & mask, there;
    uint64_t word = slot_word(hash, object);

    while ((there = atomic_load_explicit(&table_slots(table)[at], memory_order_relaxed)) != word) {
        ASSERT(there != 0);
        at = (at + 1) & mask;
    }
    return at;
}

void qset_replace(struct qset *set, uint64_t hash, void *object, void *by)
{
    uint64_t table = set->tables[hash >> 56];
    atomic_store_explicit(&table_slots(table)[table_find(table, hash, object)], slot_word(hash, by),
                          memory_order_release);
}

void qset_remove(struct qset *set, struct qsbr_slot *slot, uint64_t hash, void *object)
{
    unsigned shard = (unsigned)(hash >> 56);
    uint64_t table = set->tables[shard], mask = table_size(table) - 1;
    uint64_t at = table_find(table, hash, object);
    _Atomic uint64_t *slots = table_slots(table);

    atomic_store_explicit(&slots[at], REMOVED, memory_order_release);
    set->used[shard] -= run_trim(slots, mask, at);
    set->live[shard]--;
    set->count--;
    if ((uint64_t)set->live[shard] * 8 < mask && mask + 1 > (1u << LOG_MIN))
        shard_rebuild(set, slot, shard, set->live[shard]);
}

void qset_each(struct qset *set, void (*visit)(void *arg, void *object), void *arg)
{
    for (unsigned i = 0; i < QSET_SHARDS; i++) {
        uint64_t table = set->tables[i];
        for (uint64_t at = 0; at < table_size(table); at++) {
            uint64_t word = table_slots(table)[at];
            if (word > REMOVED)
                visit(arg, (void *)(uintptr_t)(word >> 16));
        }
    }
}
