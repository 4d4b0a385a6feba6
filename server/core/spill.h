/* The middle of a long queue: on the disk only.
 *
 *     q1: head ... tail | dropped | on the disk: from ... | last: newest ... tail
 *
 * A stored session's queue keeps its head (struct outbox, q1) and its newest messages in memory,
 * each up to queue_memory_messages and queue_memory_bytes; what stands between is in the store,
 * which has all of it anyway, and comes back in slices as the client takes what is before it
 * (queue_read).  Counters run through all three, so that packet ids and order are what they
 * would be in one ring.
 *
 * Everything here is called with the session's lock held, unless said otherwise. */
#ifndef SKEP_CORE_SPILL_H
#define SKEP_CORE_SPILL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/fifo.h"

struct broker;
struct outbox;
struct session;
struct store;
struct worker;

struct spill {
    struct fifo last;    /* all WAITING; its head is where the disk's part ends */
    uint64_t from;       /* the first counter on the disk */
    uint64_t count;      /* messages on the disk; there may be fewer than counters */
    uint64_t disk_bytes; /* of them, as message_size() counts; about, after a restart */
    uint64_t last_bytes;
    uint64_t sent;   /* those below may have been sent by an earlier process */
    uint64_t folded; /* the store's tables have everything below this counter */
    bool reading;    /* a slice is under way */
};

/* Whether the next message goes behind q1, which is full or has something behind it already. */
bool spill_wanted(const struct worker *w, const struct session *s);

/* Adds behind q1.  *counter is the message's. */
struct entry *spill_push(struct worker *w, struct session *s, const struct entry *entry,
                         uint64_t *counter);

/* Messages behind q1, and their bytes. */
uint64_t spill_waiting(const struct outbox *out);
uint64_t spill_bytes(const struct outbox *out);

/* The oldest message behind q1 gives way; false when there is none. */
bool spill_drop_oldest(struct worker *w, struct session *s);

/* q1 runs low: moves on what follows in memory, or asks for a slice from the disk.  True: q1 has
 * more now. */
bool spill_refill(struct worker *w, struct session *s);

/* At the start: `count` messages that only the store has, up to the counter `tail`. */
void spill_restore(struct session *s, uint64_t first, uint64_t count, uint64_t tail,
                   uint64_t bytes);

/* The session is over (no lock: nobody else can have it): frees it.  Calls each for those that
 * are in memory, and returns how many were not. */
uint64_t spill_fini(struct spill **spill, void (*each)(void *arg, struct entry *e), void *arg);

/* -- Reading back: a request goes to a thread that may block, and returns to its worker -- */

struct queue_read;

/* On the reading thread, which owns a reference to nothing but the request: waits until the store's
 * tables have what is wanted, and reads.  False: the disk refuses; asking again makes sense after
 * a while. */
bool queue_read_run(struct queue_read *r, struct broker *b, struct store *store);
/* Which worker asked. */
unsigned queue_read_worker(const struct queue_read *r);
/* Back on that worker: no lock held.  Frees the request. */
void queue_read_done(struct worker *w, struct queue_read *r);

#endif
