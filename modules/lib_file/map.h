/* From strings to pointers, in a region: filled once, then read by any number of threads.  Keys are
 * the administrator's (names and topics in his files); clients can only look up, so that nobody
 * prepares keys that collide. */
#ifndef LIB_FILE_MAP_H
#define LIB_FILE_MAP_H

#include "region.h"

struct map_slot {
    struct skep_str key;
    uint64_t hash;
    void *value; /* NULL: free */
};

struct map {
    struct map_slot *slots; /* open addressing, at most half full */
    uint32_t cap, count;
};

/* NULL: not there. */
void *map_get(const struct map *m, struct skep_str key);

/* Where the value of that key goes (NULL at first, and to be set at once).  The key is not copied.
 */
void **map_put(struct map *m, struct region *region, struct skep_str key);

/* The i-th slot of cap; those without value are free. */
static inline const struct map_slot *map_at(const struct map *m, size_t i)
{
    return m->slots[i].value ? &m->slots[i] : NULL;
}

#endif
