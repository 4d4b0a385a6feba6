/* Memory for small objects made and dropped at message rate.
 *
 * Every thread keeps freelists of size classes; an object freed by another thread than the
 * one that made it simply joins the freelist of that thread.  What a thread keeps is bounded
 * (POOL_THREAD_BYTES); the rest goes back to malloc.  Classes are 16 bytes apart up to 520
 * bytes and a quarter of a power of two above, sized so that malloc rounds none of them up.
 *
 * Threads: any.  A thread's freelists are emptied when it ends.  Built with sanitizers,
 * pool_malloc.c takes the place of pool.c, so that a use after free is seen. */
#ifndef SKEP_BASE_POOL_H
#define SKEP_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    POOL_LARGE = 255,            /* the class of what malloc serves alone */
    POOL_CLASS_BYTES = 1 << 20,  /* kept by one thread in one class */
    POOL_THREAD_BYTES = 8 << 20, /* kept by one thread in all */
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
/* Gives all of it back to malloc. */
void pool_trim(void);

#endif
