#include "alloc.h"

#include <stdlib.h>
#include <string.h>

struct head {
    uint64_t owner; /* eight bytes: Lua wants its blocks aligned so */
};

void alloc_init(struct alloc *a, uint32_t scripts, size_t limit)
{
    *a = (struct alloc){.owners = scripts + 1, .limit = limit};
    a->used = calloc(a->owners, sizeof *a->used);
    if (!a->used)
        abort();
}

void alloc_fini(struct alloc *a)
{
    free(a->used);
    a->used = NULL;
}

static void block_free(struct alloc *a, void *ptr, size_t size)
{
    struct head *h = (struct head *)ptr - 1;

    a->used[h->owner] -= size + sizeof *h;
    free(h);
}

static void *block_new(struct alloc *a, size_t size)
{
    struct head *h;

    if (a->owner != ALLOC_ENGINE && a->used[a->owner] + size + sizeof *h > a->limit) {
        a->refused++;
        return NULL;
    }
    h = malloc(size + sizeof *h);
    if (!h)
        return NULL;
    h->owner = a->owner;
    a->used[a->owner] += size + sizeof *h;
    return h + 1;
}

/* A block keeps its owner when it grows: its table or stack is that script's. */
static void *block_resize(struct alloc *a, void *ptr, size_t old_size, size_t new_size)
{
    struct head *h = (struct head *)ptr - 1;
    uint64_t owner = h->owner;

    if (new_size > old_size && owner != ALLOC_ENGINE &&
        a->used[owner] + (new_size - old_size) > a->limit) {
        a->refused++;
        return NULL;
    }
    h = realloc(h, new_size + sizeof *h);
    if (!h)
        return NULL;
    a->used[owner] += new_size;
    a->used[owner] -= old_size;
    return h + 1;
}

void *alloc_lua(void *ud, void *ptr, size_t old_size, size_t new_size)
{
    struct alloc *a = ud;

    if (new_size == 0) {
        if (ptr)
            block_free(a, ptr, old_size);
        return NULL;
    }
    return ptr ? block_resize(a, ptr, old_size, new_size) : block_new(a, new_size);
}

size_t alloc_total(const struct alloc *a)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < a->owners; i++)
        sum += a->used[i];
    return sum;
}
