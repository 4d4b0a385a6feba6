#include "core/fifo.h"

#include <stdlib.h>

#include "base/mem.h"

enum { FIFO_FIRST = 16, FIFO_KEEP = 64, HOLES_MIN = 64 };

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

void fifo_settle(struct fifo *f)
{
    while (f->head != f->fresh && fifo_at(f, f->head)->state == ENTRY_DONE)
        f->head++;
    if (f->next < f->head)
        f->next = f->head;
}

/* Each closing moves fewer entries than holes were made since the last: constant on average. */
static void close_holes(struct fifo *f)
{
    uint64_t to = f->fresh;

    while (to > f->next && fifo_at(f, to - 1)->state == ENTRY_DONE)
        to--;
    uint64_t first = to;
    for (uint64_t from = f->fresh; from != f->tail; from++, to++)
        *fifo_at(f, to) = *fifo_at(f, from);
    f->fresh = first;
    f->tail = to;
    f->holes = 0;
}

void fifo_skip(struct fifo *f, bool renumber)
{
    f->fresh++;
    fifo_settle(f);
    if (renumber && ++f->holes >= HOLES_MIN && f->holes >= f->tail - f->fresh)
        close_holes(f);
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

struct entry *fifo_find(const struct fifo *f, uint16_t packet_id)
{
    /* The window is narrower than 65535, so that an id names one entry at most. */
    uint64_t ahead = (packet_id + 65535u - fifo_packet_id(f->head)) % 65535u;
    uint64_t at = f->head + ahead;

    if (packet_id == 0 || at >= f->fresh)
        return NULL;
    struct entry *e = fifo_at(f, at);
    return (e->sent_before || e->restored) && e->state != ENTRY_DONE ? e : NULL;
}
