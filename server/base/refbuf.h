/* A counted, immutable run of bytes that several owners on several threads share:
 * one publish, one buffer, N references.  Embedded at the head of core's messages,
 * so that net can hold on to bytes a socket has not taken yet without knowing what
 * they are. */
#ifndef SKEP_BASE_REFBUF_H
#define SKEP_BASE_REFBUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct refbuf {
    _Atomic uint32_t refs;
    uint32_t reserved;
    void (*release)(struct refbuf *self); /* called by whoever drops the last reference */
};

static inline void refbuf_ref(struct refbuf *r, uint32_t count)
{
    atomic_fetch_add_explicit(&r->refs, count, memory_order_relaxed);
}

static inline void refbuf_unref(struct refbuf *r)
{
    if (atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        r->release(r);
}

/* A piece of output.  owner NULL: the bytes live only until the call returns. */
struct out_vec {
    const void *ptr;
    size_t len;
    struct refbuf *owner;
};

#endif
