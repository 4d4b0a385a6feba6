#include "core/fifo.h"

#include <stdlib.h>

#include "base/mem.h"

enum { FIFO_FIRST = 16, FIFO_KEEP = 64 };

static void grow(struct fifo *f)
{
    uint32_t cap = f->cap ? f->cap * 2 : FIFO_FIRST;
    struct entry *slots = xmalloc(cap * sizeof *slots);

    for (uint64_t i = f->head; i != f->tail; i++)
        slots[i & (cap - 1)] = *fifo_at(f, i);
    free(f->slots);
    f->slots = slots;
    f->cap = cap;
}

struct entry *fifo_push(struct fifo *f)
{
    if (f->tail - f->head == f->cap)
        grow(f);
    return fifo_at(f, f->tail++);
}

void fifo_trim(struct fifo *f)
{
    if (f->cap > FIFO_KEEP && fifo_empty(f)) {
        free(f->slots);
        f->slots = NULL;
        f->cap = 0;
    }
}

void fifo_fini(struct fifo *f)
{
    free(f->slots);
    *f = (struct fifo){0};
}

struct entry *fifo_find(const struct fifo *f, uint16_t packet_id, uint64_t *counter)
{
    /* The window is narrower than 65535, so that an id names one entry at most. */
    uint64_t ahead = (packet_id + 65535u - fifo_packet_id(f->head)) % 65535u;
    uint64_t at = f->head + ahead;

    if (packet_id == 0 || at >= f->next)
        return NULL;
    *counter = at;
    return fifo_at(f, at);
}
