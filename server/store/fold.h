/* A stretch of the log, folded to its effect: the one place that gives records their meaning.
 * Used by checkpoints and by recovery alike.
 *
 * Records go in in the order of the log.  What was queued and acknowledged within the stretch
 * cancels out and never reaches the tables.  An ACK or RELEASE without its message is kept: its
 * message is in the tables already, or is yet to come, for workers hand over when their turns
 * end; in that case a mark waits in the tables (QUEUE_DONE, or QUEUE_RELEASED with QoS 0).  What
 * concerns a session that is in neither is for one that has ended, and is dropped.
 *
 * Views the records it was given: they must live as long.  One thread. */
#ifndef SKEP_STORE_FOLD_H
#define SKEP_STORE_FOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "store/record.h"
#include "store/tables.h"

/* Parts of a session: the last byte of its keys. */
enum session_part {
    SESSION_HEAD, /* body of RECORD_SESSION */
    SESSION_AWAY, /* body of RECORD_AWAY; absent: its client was connected */
    SESSION_WILL, /* body of RECORD_WILL */
    SESSION_TAIL, /* struct session_tail */
};

/* First byte of a queue entry's value. */
enum queue_kind {
    QUEUE_DONE,     /* an ACK that waits for its message */
    QUEUE_RELEASED, /* PUBREC came; no message any more */
    QUEUE_SHARED,   /* target, lsn of the message in TABLE_MESSAGES */
    QUEUE_OWN,      /* target, message */
};

/* Value of SESSION_TAIL. */
struct session_tail {
    uint64_t next;   /* counters below this have been used */
    uint64_t queued; /* entries in its queue */
};

enum { SESSION_TAIL_SIZE = 16 };

void session_tail_put(uint8_t out[SESSION_TAIL_SIZE], struct session_tail tail);
/* ERR_DAMAGED when it is none. */
int session_tail_get(struct str value, struct session_tail *out);

enum { QUEUE_HEAD = 9 }; /* kind u8; of the target sub_id u32, share u16, qos u8, retain u8 */

/* The first QUEUE_HEAD bytes of a queue entry's value; returns their end. */
uint8_t *queue_head_put(uint8_t *p, enum queue_kind kind, const struct record_target *target);

struct fold;

struct fold *fold_new(void);
void fold_free(struct fold **f);

/* A replay_fn; arg is the fold. */
int fold_record(void *fold, const struct record *r, const struct record_body *body);

struct fold_stats {
    uint64_t records, queued, cancelled; /* messages */
};
struct fold_stats fold_stats(const struct fold *f);

/* Puts it all into the tables together with `applied`, in one transaction.  The thread sleeps
 * for *pause_us, which may change meanwhile, after every few hundred changes; NULL: never. */
int fold_apply(struct fold *f, struct tables *t, uint64_t applied,
               const _Atomic unsigned *pause_us);

/* After recovery no worker has anything left to hand over: marks that still wait are for
 * messages that were lost before they were acknowledged, and go.  How many there are is
 * counted; queues are walked only to find them. */
int fold_sweep(struct tables *t);

#endif
