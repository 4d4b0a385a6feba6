/* A ring of deliveries, addressed by counters that only grow.
 *
 *     head          next             fresh           tail
 *      | in flight    | to go again    | never sent    |
 *
 * For QoS 1 and 2 the counter gives the packet id (fifo_packet_id), so that replaying a
 * log rebuilds the same ids; for QoS 0 `head` equals `next` and `fresh` is not used.  Below
 * `fresh` entries may be DONE and wait for those before them; from there on all are WAITING.
 * Zero-initialised is empty.  Guarded by the session's lock. */
#ifndef SKEP_CORE_FIFO_H
#define SKEP_CORE_FIFO_H

#include <stdbool.h>
#include <stdint.h>

#include "core/message.h"

enum entry_state {
    ENTRY_WAITING,  /* to be sent (again, if sent_before) */
    ENTRY_SENT,     /* PUBLISH sent; PUBACK or PUBREC awaited */
    ENTRY_RELEASED, /* QoS 2: PUBREC came, PUBREL to be sent or sent, PUBCOMP awaited */
    ENTRY_DONE,     /* finished; leaves when it reaches the head */
};

struct entry {
    struct message *message; /* NULL once RELEASED or DONE */
    uint32_t sub_id;         /* subscription identifier, 0: none */
    uint16_t share;          /* the shared group it came through, 0: none */
    uint8_t qos : 2;
    uint8_t retain : 1;
    uint8_t state : 2;
    uint8_t sent_before : 1; /* a PUBLISH with this id went out: DUP on the next */
    uint8_t in_flight : 1;   /* counts against the quota */
    uint8_t held : 1;        /* QoS 2: not to be sent before its record is on the disk */
    uint8_t restored : 1;    /* may have been sent by the process before this one: DUP too */
};

struct fifo {
    struct entry *slots;
    uint64_t head, next, fresh, tail;
    uint32_t cap;   /* power of two, 0: nothing allocated */
    uint32_t holes; /* made by fifo_skip since holes were last closed */
};

static inline struct entry *fifo_at(const struct fifo *f, uint64_t counter)
{
    return &f->slots[counter & (f->cap - 1)];
}

static inline bool fifo_empty(const struct fifo *f)
{
    return f->head == f->tail;
}

/* How many were never sent. */
static inline uint64_t fifo_waiting(const struct fifo *f)
{
    return f->tail - f->fresh;
}

/* The counter of an entry in the ring. */
static inline uint64_t fifo_counter(const struct fifo *f, const struct entry *e)
{
    return f->head + (((uint64_t)(e - f->slots) - f->head) & (f->cap - 1));
}

/* A place at the tail, to be filled at once. */
struct entry *fifo_push(struct fifo *f);

/* The entry at `next` is sent, or passed by because it is DONE. */
static inline uint64_t fifo_advance(struct fifo *f)
{
    uint64_t at = f->next++;
    if (f->fresh < f->next)
        f->fresh = f->next;
    return at;
}

/* Everything in flight is to go again. */
static inline void fifo_rewind(struct fifo *f)
{
    f->next = f->head;
}

/* Takes DONE entries off the head. */
void fifo_settle(struct fifo *f);

/* The oldest entry that was never sent became DONE.  Where older ones keep it from leaving,
 * those behind it move up in time if they may be renumbered: no packet id of theirs is known to
 * anybody yet, but the store may know their counters. */
void fifo_skip(struct fifo *f, bool renumber);

/* Gives memory back once empty, if it is more than a small ring. */
void fifo_trim(struct fifo *f);
void fifo_fini(struct fifo *f);

/* Ids run 1, 2, ... 65535, 1, ... [MQTT-2.2.1-4] */
static inline uint16_t fifo_packet_id(uint64_t counter)
{
    return (uint16_t)(counter % 65535 + 1);
}

/* The entry with this packet id that was sent, on this connection or an earlier one, and is
 * not DONE; or NULL. */
struct entry *fifo_find(const struct fifo *f, uint16_t packet_id);

#endif
