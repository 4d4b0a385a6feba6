/* Allocation and assertions that stay in release builds.
 *
 * xmalloc and friends are for small allocations whose size no peer decides:
 * on failure they log and end the process, so the untestable branches vanish.
 * What a peer sizes is charged to a budget first and allocated with malloc. */
#ifndef SKEP_BASE_MEM_H
#define SKEP_BASE_MEM_H

#include <stddef.h>
#include <stdnoreturn.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t size) __attribute__((returns_nonnull));

noreturn void assert_failed(const char *expr, const char *file, int line);

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* A broken promise inside Skep itself: say where and stop. */
#define ASSERT(expr) (LIKELY(expr) ? (void)0 : assert_failed(#expr, __FILE__, __LINE__))

/* Long-lived structs begin with `unsigned magic`; CHECK where a void * returns. */
#define CHECK(obj, MAGIC) ASSERT((obj) != NULL && (obj)->magic == (MAGIC))

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))

#endif
