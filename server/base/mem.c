#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

static noreturn void out_of_memory(size_t size)
{
    fprintf(stderr, "skep: out of memory asking for %zu bytes; stopping\n", size);
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory(count * size);
    return p;
}

void *xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

char *str_dup(struct str s)
{
    char *copy = xmalloc(s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

void assert_failed(const char *expr, const char *file, int line)
{
    fprintf(stderr, "skep: %s:%d: broken promise: %s\n", file, line, expr);
    abort();
}
