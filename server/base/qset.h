/* A set of pointers by 64-bit hash, read without locks: open addressing, linear probing.
 *
 * A slot is one word, the pointer's 48 bits and 16 bits of the hash, so that a probe touches
 * an object only when it very likely is the one.  The set is cut into 256 shards by the
 * hash's top bits; each grows by itself into a new table swapped in at once, the old one
 * retired (qsbr.h).  So an insertion never moves more than 1/256 of the set: about 0.4 ms at a
 * million objects, most of it reading the objects to hash them again.
 *
 *     struct qset_probe p = qset_find(set, hash);
 *     for (struct thing *t; (t = qset_next(&p)) != NULL;)
 *         if (thing_is(t, key))
 *             return t;
 *
 * An address may carry marks in its low bits; the set hands it out as it came.
 *
 * Threads: reading needs an online QSBR slot.  Changes: one thread at a time (the owner's
 * mutex).  An object that stays in the set is found by every reader all the while. */
#ifndef SKEP_BASE_QSET_H
#define SKEP_BASE_QSET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/qsbr.h"

enum { QSET_SHARDS = 256 };

typedef uint64_t qset_hash_fn(const void *object);

struct qset {
    _Atomic uint64_t tables[QSET_SHARDS]; /* address << 8 | log2 of the number of slots */
    uint32_t live[QSET_SHARDS];
    uint32_t used[QSET_SHARDS]; /* live ones and the marks removed ones have left */
    qset_hash_fn *hash;
    uint64_t count, bytes; /* objects; memory of the tables */
};

/* hash must give for an object in the set what it was added with. */
void qset_init(struct qset *set, qset_hash_fn *hash);
/* Frees the tables, not the objects.  No reader may be left. */
void qset_fini(struct qset *set);

/* The object must not be in the set. */
void qset_add(struct qset *set, struct qsbr_slot *slot, uint64_t hash, void *object);
/* The object must be in the set.  The caller retires the object itself afterwards. */
void qset_remove(struct qset *set, struct qsbr_slot *slot, uint64_t hash, void *object);

/* Puts another object of the same hash in the place of one, at once for readers. */
void qset_replace(struct qset *set, uint64_t hash, void *object, void *by);
/* Makes room so that the next qset_add of this hash moves nothing and calls no hash. */
void qset_reserve(struct qset *set, struct qsbr_slot *slot, uint64_t hash);

/* Calls visit for every object.  No change may be under way. */
void qset_each(struct qset *set, void (*visit)(void *arg, void *object), void *arg);

/* -- Reading -- */

struct qset_probe {
    const _Atomic uint64_t *slots;
    uint64_t mask, at, tag;
};

/* The top bit keeps a tag apart from the mark of a removed object. */
static inline uint64_t qset_tag(uint64_t hash)
{
    return ((hash >> 40) & 0xffff) | 0x8000;
}

static inline struct qset_probe qset_find(const struct qset *set, uint64_t hash)
{
    uint64_t table = atomic_load_explicit(&set->tables[hash >> 56], memory_order_acquire);
    uint64_t mask = ((uint64_t)1 << (table & 0xff)) - 1;
    return (struct qset_probe){
        .slots = (const _Atomic uint64_t *)(uintptr_t)(table >> 8),
        .mask = mask,
        .at = hash & mask,
        .tag = qset_tag(hash),
    };
}

/* Fetches the slot that qset_next will read first. */
static inline void qset_prefetch(const struct qset *set, uint64_t hash)
{
    struct qset_probe p = qset_find(set, hash);
    __builtin_prefetch((const void *)(p.slots + p.at));
}

/* The next object whose hash is likely the one asked for, or NULL. */
static inline void *qset_next(struct qset_probe *p)
{
    for (;;) {
        uint64_t word = atomic_load_explicit(&p->slots[p->at], memory_order_acquire);
        if (word == 0)
            return NULL;
        p->at = (p->at + 1) & p->mask;
        if ((word & 0xffff) == p->tag)
            return (void *)(uintptr_t)(word >> 16);
    }
}

#endif
