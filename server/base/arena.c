#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { BLOCK_BYTES = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    *a = (struct arena){0};
}

/* Keeping only a block of the ordinary size means that one huge round does not hold its
 * memory for ever. */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;

    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        if (!keep && b->size == BLOCK_BYTES)
            keep = b;
        else
            free(b);
    }
    if (keep)
        keep->next = NULL;
    *a = (struct arena){.blocks = keep, .total_bytes = keep ? BLOCK_BYTES : 0};
}

static void add_block(struct arena *a, size_t size)
{
    struct arena_block *b;

    ASSERT(size <= SIZE_MAX - sizeof *b);
    b = xmalloc(sizeof *b + size);
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    a->used = 0;
    a->total_bytes += size;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    size_t need;
    void *p;

    ASSERT(size <= SIZE_MAX / 2);
    need = (size + align - 1) / align * align;
    if (!a->blocks || a->blocks->size - a->used < need)
        add_block(a, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    p = a->blocks->data + a->used;
    a->used += need;
    return memset(p, 0, size);
}

void *arena_array(struct arena *a, size_t size, size_t count)
{
    ASSERT(size == 0 || count <= SIZE_MAX / 2 / size);
    return arena_alloc(a, size * count);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return (struct str){copy, s.len};
}

const char *arena_cstr(struct arena *a, struct str s)
{
    return arena_str(a, s).ptr;
}

const char *arena_vprintf(struct arena *a, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ASSERT(n >= 0);
    char *text = arena_alloc(a, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    return text;
}

const char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const char *text = arena_vprintf(a, fmt, args);
    va_end(args);
    return text;
}
