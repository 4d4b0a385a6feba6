#include "region.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 64 * 1024 };

struct region_block {
    struct region_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

static struct region_block *block_new(struct region *a, size_t need)
{
    size_t size = need > BLOCK / 4 ? need : BLOCK;
    struct region_block *b = calloc(1, sizeof *b + size);

    if (!b) {
        fputs("skep: out of memory while a file was parsed\n", stderr);
        abort();
    }
    b->size = size;
    a->total += sizeof *b + size;
    /* A large one goes behind the first, which may still have room. */
    if (a->blocks && size != BLOCK) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        b->next = a->blocks;
        a->blocks = b;
    }
    return b;
}

void *region_get(struct region *a, size_t size)
{
    size_t need = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    struct region_block *b = a->blocks;

    if (!b || b->size - b->used < need)
        b = block_new(a, need);
    b->used += need;
    return b->bytes + b->used - need;
}

struct skep_str region_copy(struct region *a, struct skep_str s)
{
    char *copy = region_get(a, s.len + 1);

    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return skep_bytes(copy, s.len);
}

void *region_grow(struct region *a, void *array, uint32_t count, uint32_t *cap, size_t member)
{
    void *grown;

    if (count < *cap)
        return array;
    *cap = *cap ? *cap * 2 : 4;
    grown = region_get(a, (size_t)*cap * member);
    if (count)
        memcpy(grown, array, count * member);
    return grown;
}

void region_fini(struct region *a)
{
    while (a->blocks) {
        struct region_block *b = a->blocks;

        a->blocks = b->next;
        free(b);
    }
    a->total = 0;
}
