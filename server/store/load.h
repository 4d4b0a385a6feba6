/* Giving the stored state to the layer above, at start and for an export.
 *
 * Sessions come in the order of their numbers; behind each its subscriptions, its inbound QoS 2
 * ids and its queue in the order of counters; the retained messages come last.  A callback that
 * is NULL is passed by; one that returns an error ends the load with it.  Views live until the
 * callback returns. */
#ifndef SKEP_STORE_LOAD_H
#define SKEP_STORE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/record.h"
#include "store/tables.h"

struct load_session {
    struct record_session head;
    bool away;        /* its client was gone; else it was connected when the broker ended */
    uint64_t ends_ms; /* store time; UINT64_MAX: never */
    uint64_t will_ms; /* when its will is due; 0: no will waits */
    uint64_t sent;    /* counters below may have been sent; if not away, any may */
    bool has_will;
    struct record_will will;
    uint64_t tail;   /* the next counter */
    uint64_t queued; /* entries in its queue */
};

struct load_entry {
    struct record_target target; /* session, counter, granted QoS, ... */
    bool released;               /* PUBREC came: PUBREL is due; there is no message */
    uint64_t shared;             /* the same for all entries of one message; 0: only this one */
    struct record_message message;
};

struct loader {
    int (*session)(void *arg, const struct load_session *s);
    int (*subscription)(void *arg, const struct record_sub *sub);
    int (*received)(void *arg, uint64_t session, uint16_t packet_id);
    int (*entry)(void *arg, const struct load_entry *e);
    /* Behind the entries of a queue that is longer than `queue_most`: there are `count` more,
     * from counter `first` on; see store_queue_read(). */
    int (*rest)(void *arg, uint64_t session, uint64_t first, uint64_t count);
    int (*retained)(void *arg, const struct record_message *m);
    void *arg;
    uint32_t queue_most; /* so many entries of each queue are handed out; 0: all */
};

/* A part of one session's queue: entries from counter `from` on, in order, at most `most`, and
 * none behind the one with which `most_bytes` of payload are reached.  A result of entry() but 0
 * ends it; a negative one is returned. */
struct load_part {
    uint64_t session, from;
    uint32_t most;
    size_t most_bytes;
    int (*entry)(void *arg, const struct load_entry *e);
    void *arg;
};

/* In a transaction of its own; any thread.  *next: the counter behind the last entry given, or
 * `from`. */
int load_queue(struct tables *t, const struct load_part *wanted, uint64_t *next);

/* ERR_DAMAGED with a line in `why`, or what a callback returned.  Tells the log how far it is
 * when it takes long. */
int load_tables(struct tables *t, const struct loader *loader, char *why, size_t why_size);

#endif
