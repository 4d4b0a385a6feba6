/* Records that one worker collects during a turn, until it hands them over (store/wal.h).
 *
 * Owned by one thread.  The bytes are complete but for each record's place and checksum, which
 * the log gives when it writes them.  Nothing here fails: what a peer can size was bounded
 * where its packet was read. */
#ifndef SKEP_STORE_BATCH_H
#define SKEP_STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/record.h"

/* Zero-initialised is empty. */
struct batch {
    uint8_t *bytes;
    size_t len, cap;
    size_t open; /* where the PUB being written begins, plus one; 0: none */
    size_t run;  /* where the last record, an ACK that may grow, begins, plus one; 0: none */
    size_t last; /* where the last record begins, plus one; 0: there is none */
};

void batch_fini(struct batch *b);

static inline bool batch_empty(const struct batch *b)
{
    return b->len == 0;
}

/* A message: begin, a target for every stored session that queued it, end.  The message is
 * copied by begin.  In between nothing else is added.  `flags`: KEEP, INBOUND, FROM_WILL; with
 * none of them and without a target, end takes it all back and returns false. */
void batch_pub_begin(struct batch *b, const struct record_message *m, unsigned flags,
                     uint64_t origin, uint16_t packet_id);
void batch_pub_target(struct batch *b, const struct record_target *target);
bool batch_pub_end(struct batch *b);

/* The message with this counter is done.  `flags`: 0, RECORD_EXPIRED, RECORD_DROPPED.  One that
 * follows upon the last becomes part of it. */
void batch_ack(struct batch *b, uint64_t session, uint64_t counter, unsigned flags);
/* PUBREC came; the message itself is not needed any more. */
void batch_release(struct batch *b, uint64_t session, uint64_t counter);

/* An inbound QoS 2 id whose message needs no RECORD_PUB; `gone`: PUBREL came for it. */
void batch_received(struct batch *b, uint64_t session, uint16_t packet_id, bool gone);

void batch_session(struct batch *b, const struct record_session *s);
void batch_end(struct batch *b, uint64_t session);
void batch_away(struct batch *b, const struct record_away *away);
void batch_sub(struct batch *b, const struct record_sub *sub);
void batch_unsub(struct batch *b, uint64_t session, struct str filter);
/* message.topic empty: the session has no will any more. */
void batch_will(struct batch *b, const struct record_will *will);

/* The record added last takes effect only together with the one that is added next: after a
 * crash there are both or neither.  There must be one, and a next one before the batch is
 * handed over. */
void batch_join(struct batch *b);

/* The next record is still to come. */
static inline bool batch_joining(const struct batch *b)
{
    return b->last && record_more(b->bytes + b->last - 1);
}

/* Any record; for tests, and for what an import brings. */
void batch_raw(struct batch *b, unsigned type, unsigned flags, struct str body);

#endif
