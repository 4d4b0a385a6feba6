/* A set of packet ids: those of QoS 2 messages received and not yet released.
 * A few in an array, many in a bitmap of 8 KB.  Zero-initialised is empty. */
#ifndef SKEP_CORE_IDSET_H
#define SKEP_CORE_IDSET_H

#include <stdbool.h>
#include <stdint.h>

struct idset {
    uint32_t count;
    uint32_t cap; /* of the array; 0 with bits != NULL: a bitmap */
    uint16_t *array;
    uint64_t *bits;
};

bool idset_has(const struct idset *s, uint16_t id);
/* False when it was there already. */
bool idset_add(struct idset *s, uint16_t id);
/* False when it was not there. */
bool idset_remove(struct idset *s, uint16_t id);
void idset_fini(struct idset *s);

#endif
