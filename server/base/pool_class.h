/* The size classes of pool.h, shared by its two implementations.
 *
 *     class  1 .. 32   24, 40, ... 520        (16 * class + 8)
 *     class 33 .. 64   632, 760, 888, 1016, 1272, ... 131064
 *
 * glibc adds 8 bytes and rounds up to 16, so a size of 16 n + 8 wastes nothing. */
#ifndef SKEP_BASE_POOL_CLASS_H
#define SKEP_BASE_POOL_CLASS_H

#include <stddef.h>
#include <stdint.h>

enum { POOL_FINE = 32, POOL_CLASSES = 65, POOL_FINE_MAX = 520, POOL_MAX = 131064 };

static inline unsigned pool_class_of(size_t size)
{
    if (size <= 24)
        return 1;
    if (size <= POOL_FINE_MAX)
        return (unsigned)((size + 7) >> 4);
    /* chunk - 1 lies in [2^log, 2^(log+1)): its two bits below the top one pick the quarter */
    size_t top = size + 8 - 1;
    unsigned log = 63 - (unsigned)__builtin_clzll(top);
    unsigned quarter = (unsigned)(top >> (log - 2)) & 3;
    return POOL_FINE + 1 + (log - 9) * 4 + quarter;
}

static inline size_t pool_size_of(unsigned size_class)
{
    if (size_class <= POOL_FINE)
        return 16 * (size_t)size_class + 8;
    unsigned step = size_class - POOL_FINE - 1;
    return ((size_t)(5 + step % 4) << (7 + step / 4)) - 8;
}

#endif
