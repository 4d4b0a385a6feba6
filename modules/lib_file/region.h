/* Memory that is freed as one: what was parsed from one version of a file.
 * One thread while it is filled, any number of readers afterwards. */
#ifndef LIB_FILE_REGION_H
#define LIB_FILE_REGION_H

#include <skep/base.h>

struct region {
    struct region_block *blocks;
    size_t total; /* bytes asked of the system */
};

/* Zeroed and aligned for anything; never NULL (ends the process when there is no memory: files are
 * bounded before they are parsed). */
void *region_get(struct region *a, size_t size) __attribute__((returns_nonnull));

/* A copy with a NUL behind it. */
struct skep_str region_copy(struct region *a, struct skep_str s);

/* The array with room for `count + 1` members; the old one stays in the region until the end.
 * cap is kept by the caller and grows by doubling. */
void *region_grow(struct region *a, void *array, uint32_t count, uint32_t *cap, size_t member);

void region_fini(struct region *a);

#define REGION_NEW(a, type)          ((type *)region_get(a, sizeof(type)))
#define REGION_ARRAY(a, type, count) ((type *)region_get(a, sizeof(type) * (count)))

#endif
