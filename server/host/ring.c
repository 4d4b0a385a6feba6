#include "host/ring.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct record {
    uint64_t wall_ms;
    uint8_t stage, verdict, reason, qos;
    uint16_t topic_len, module_len, where_len;
    char text[]; /* in that order */
};

struct ring {
    uint16_t count, used, cap, reserved;
    uint8_t bytes[]; /* at a multiple of 8 */
};

static size_t record_size(const struct record *r)
{
    size_t n = sizeof *r + r->topic_len + r->module_len + r->where_len;

    return (n + 7) & ~(size_t)7;
}

static struct record *record_at(struct ring *ring, size_t at)
{
    return (struct record *)(ring->bytes + at);
}

static void drop_first(struct ring *ring)
{
    size_t size = record_size(record_at(ring, 0));

    ring->used -= (uint16_t)size;
    ring->count--;
    memmove(ring->bytes, ring->bytes + size, ring->used);
}

/* Room for one of that size; grows in steps, for most clients get one or two. */
static struct ring *room_for(struct ring *ring, size_t size)
{
    size_t used = ring ? ring->used : 0, cap = ring ? ring->cap : 120;

    while (cap < used + size && cap < RING_BYTES)
        cap *= 2;
    if (cap > RING_BYTES)
        cap = RING_BYTES;
    if (!ring || cap != ring->cap) {
        bool first = !ring;
        ring = xrealloc(ring, sizeof *ring + cap);
        if (first)
            *ring = (struct ring){0};
        ring->cap = (uint16_t)cap;
    }
    while (ring->count == RING_RECORDS || ring->used + size > ring->cap)
        drop_first(ring);
    return ring;
}

static struct str cut(struct str s, size_t most)
{
    return (struct str){s.ptr, s.len < most ? s.len : most};
}

static void put(char **at, struct str s)
{
    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
}

void ring_add(struct presence *p, const struct ring_entry *e)
{
    struct str topic = cut(e->topic, RING_TOPIC), module = cut(e->module, RING_TEXT),
               where = cut(e->where, RING_TEXT);
    struct record head = {.wall_ms = e->wall_ms,
                          .stage = e->stage,
                          .verdict = e->verdict,
                          .reason = e->reason,
                          .qos = e->qos,
                          .topic_len = (uint16_t)topic.len,
                          .module_len = (uint16_t)module.len,
                          .where_len = (uint16_t)where.len};
    size_t size = record_size(&head);

    lock_take(&p->lock);
    struct ring *ring = p->ring = room_for(p->ring, size);
    struct record *r = record_at(ring, ring->used);
    *r = head;
    char *at = r->text;
    put(&at, topic);
    put(&at, module);
    put(&at, where);
    ring->used += (uint16_t)size;
    ring->count++;
    lock_drop(&p->lock);
}

void ring_each(struct presence *p, void (*each)(void *arg, const struct ring_entry *e), void *arg)
{
    lock_take(&p->lock);
    struct ring *ring = p->ring;
    for (size_t at = 0; ring && at < ring->used;) {
        struct record *r = record_at(ring, at);
        const char *module = r->text + r->topic_len, *where = module + r->module_len;
        each(arg, &(struct ring_entry){.wall_ms = r->wall_ms,
                                       .stage = r->stage,
                                       .verdict = r->verdict,
                                       .reason = r->reason,
                                       .qos = r->qos,
                                       .topic = {r->text, r->topic_len},
                                       .module = {module, r->module_len},
                                       .where = {where, r->where_len}});
        at += record_size(r);
    }
    lock_drop(&p->lock);
}
