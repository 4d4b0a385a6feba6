/* Memory for small objects made and dropped at message rate.
 *
 * Every thread keeps two batches of free objects of each size class; more goes to a depot all
 * threads share, and what that cannot hold back to malloc.  Who frees need not be who
 * made.  Classes are 16 bytes apart up to 520 bytes and a quarter of a power of two above,
 * sized so that malloc rounds none of them up.
 *
 * Threads: any.  What a thread keeps is freed when it ends.  Built with sanitizers,
 * pool_malloc.c takes the place of pool.c, so that a use after free is seen. */
#ifndef SKEP_BASE_POOL_H
#define SKEP_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_LARGE = 255,            /* the class of what malloc serves alone */
    POOL_BATCH_BYTES = 32 << 10, /* a batch is up to 64 objects within this, at least two */
    POOL_THREAD_BYTES = 6 << 20, /* more than one thread can keep: two batches of each class */
    POOL_DEPOT_BYTES = 16 << 20, /* kept by the depot */
};

/* size bytes, not cleared, aligned for any type up to 8 bytes; NULL when memory is refused.
 * *size_class must be handed to pool_free. */
void *pool_alloc(size_t size, uint8_t *size_class);

void pool_free(void *object, uint8_t size_class);

/* The class that serves size, for objects whose size is known again when they are freed. */
uint8_t pool_class(size_t size);
/* Bytes an object of the class can hold; 0 for POOL_LARGE. */
size_t pool_class_size(uint8_t size_class);

/* What the calling thread keeps free right now. */
size_t pool_kept_bytes(void);
/* Gives all of it, and all that the depot keeps, back to malloc. */
void pool_trim(void);

#endif
