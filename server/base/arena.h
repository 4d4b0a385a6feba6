/* Allocation by the lifetime instead of by the object: one arena per packet, per
 * connection or per config generation, emptied or freed in one step.
 *
 * Memory is zeroed and aligned for any type.  Sizes that a peer decides must be charged
 * to a budget before they get here; like xmalloc, an arena ends the process when the
 * system has no memory.  One thread at a time. */
#ifndef SKEP_BASE_ARENA_H
#define SKEP_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes of the newest that are taken */
    size_t total_bytes;         /* bytes held from the system */
};

/* Zero-initialised is empty and valid; _init exists for memory that is not zero. */
void arena_init(struct arena *a);
/* Gives everything back. */
void arena_fini(struct arena *a);
/* Forgets what was allocated and keeps one ordinary block for the next round. */
void arena_reset(struct arena *a);

void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
#define ARENA_NEW(a, type)          ((type *)arena_alloc(a, sizeof(type)))
#define ARENA_ARRAY(a, type, count) ((type *)arena_array(a, sizeof(type), count))
void *arena_array(struct arena *a, size_t size, size_t count) __attribute__((returns_nonnull));

/* Copies with a NUL behind them (not counted in len). */
struct str arena_str(struct arena *a, struct str s);
const char *arena_cstr(struct arena *a, struct str s);
const char *arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *arena_vprintf(struct arena *a, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
