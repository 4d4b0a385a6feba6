/* The state that the store has, back in memory: sessions with their wills, subscriptions, open
 * QoS 2 ids and queues, and the retained messages.
 *
 * Messages return at their counters, so that packet ids are what the clients know them as.
 * What was sent is written down when a client goes away; all that waited for one that was
 * connected to the end may have been, and goes out with DUP.  A session whose client was connected
 * when the last process ended is away from now on, and its will is due as if the connection had
 * broken now. */
#ifndef SKEP_CORE_RESTORE_H
#define SKEP_CORE_RESTORE_H

#include <stddef.h>
#include <stdint.h>

struct message;
struct record_message;
struct store;
struct worker;

struct restore_stats {
    uint64_t sessions, subscriptions, messages, retained;
};

/* On one worker, its slot online, before there are clients; the worker's journal gets the store
 * afterwards.  What was found to be over (expired, replaced) waits in its batch.  An error has
 * a line in `why`. */
int restore_run(struct worker *w, struct store *store, struct restore_stats *stats, char *why,
                size_t why_size);

/* A stored message.  Its expiry is counted from `now_ms` of the monotonic clock, to which
 * `offset_ms` must be added for store time.  NULL when memory is refused.  Any thread. */
struct message *restored_message(const struct record_message *m, uint64_t now_ms,
                                 int64_t offset_ms);

#endif
