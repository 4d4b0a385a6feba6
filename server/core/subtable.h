/* The subscriptions of one session: a small hash by what they hang on (a filter's node in
 * the index, or a shared group).  16 bytes a slot.  The owner changes it under its lock;
 * other workers take the lock to look up a subscription identifier. */
#ifndef SKEP_CORE_SUBTABLE_H
#define SKEP_CORE_SUBTABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"

struct subscription {
    void *key;       /* struct sub_node, or struct share_group if options has SUB_GROUP */
    uint32_t id;     /* subscription identifier, 0: none */
    uint8_t options; /* SUB_* */
    uint8_t retain_handling;
    uint16_t reserved;
};

struct subtable {
    struct subscription *slots;
    uint32_t count, cap; /* cap: power of two or 0 */
    struct lock lock;
    _Atomic uint32_t connected_s; /* not of the table, but where a hole would be: see session.h */
};

/* Lock held by the caller if it is not the owner. */
struct subscription *subtable_find(const struct subtable *t, const void *key);

/* Owner, lock held.  The key must not be there. */
void subtable_put(struct subtable *t, const struct subscription *sub);
bool subtable_remove(struct subtable *t, const void *key);
void subtable_fini(struct subtable *t);

/* Any worker: the identifier of a subscription, 0 if none. */
uint32_t subtable_id(struct subtable *t, const void *key);

#endif
