/* What the broker writes down so that it survives: core's events as records of the store.
 *
 * A worker collects the records of its turn in a batch and hands it over (journal_submit)
 * before anything of the turn leaves the broker.  What may not leave before its record is on
 * the disk waits: acknowledgements in front/park.c, QoS 2 PUBLISHes in their queue, where
 * `held` marks them until journal_settled() comes round.  docs/adr/0005 says what waits and why.
 *
 * Only what concerns a stored session (session_stored) or a retained message is written.  A
 * broker without a store has none of the former, so that each function here is a branch not
 * taken.  Everything belongs to the worker's thread. */
#ifndef SKEP_CORE_JOURNAL_H
#define SKEP_CORE_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/batch.h"

struct broker;
struct entry;
struct hold;
struct late;
struct message;
struct session;
struct store;
struct subscribe_request;
struct worker;

struct journal {
    struct store *store; /* NULL: nothing is written */
    struct batch batch;
    uint64_t end; /* lsn behind what was handed over last */
    /* For journal_await_submits(). */
    _Atomic bool open;
    _Atomic uint64_t submits;

    /* The message in hand: its PUB is begun with the first target. */
    const struct message *message;
    uint64_t origin;
    unsigned flags;
    uint16_t packet_id;
    bool begun;
    bool joined;       /* to the record before */
    struct late *late; /* acknowledgements to be written behind it */
    uint32_t late_count, late_cap;

    /* QoS 2 deliveries whose record has not settled, oldest first: a ring. */
    struct hold *holds;
    uint32_t hold_head, hold_count, hold_cap;
    uint32_t hold_fresh; /* of those, the last ones: not handed over yet */
};

void journal_fini(struct worker *w);

/* -- Messages.  Whoever calls session_deliver() brackets it -- */

/* flags: RECORD_KEEP, RECORD_INBOUND (origin received it as packet_id), RECORD_FROM_WILL. */
void journal_begin(struct worker *w, const struct message *m, unsigned flags, uint64_t origin,
                   uint16_t packet_id);
/* A stored session queued the message in hand.  Session lock held. */
void journal_target(struct worker *w, struct session *s, uint64_t counter, struct entry *e);
/* True: something was written, and the publisher's acknowledgement has to wait for it. */
bool journal_end(struct worker *w);
/* As journal_end, and what was written counts only together with the next record. */
bool journal_end_joined(struct worker *w);

/* -- Queues.  Session lock held -- */
void journal_done(struct worker *w, const struct session *s, uint64_t counter, unsigned flags);
void journal_released(struct worker *w, const struct session *s, uint64_t counter);

/* -- Sessions.  All but journal_session() for stored ones only: they look themselves -- */

/* The session begins, or its client came back, with the settings it has now. */
void journal_session(struct worker *w, struct session *s);
void journal_away(struct worker *w, struct session *s, uint64_t ends_ms, uint64_t will_ms);
void journal_ended(struct worker *w, uint64_t number);
/* The session has no will any more. */
void journal_will_gone(struct worker *w, uint64_t number);
void journal_received(struct worker *w, const struct session *s, uint16_t packet_id, bool gone);
void journal_subscribed(struct worker *w, const struct session *s,
                        const struct subscribe_request *r);
void journal_unsubscribed(struct worker *w, const struct session *s, struct str filter);
/* The store has a retained message for that topic which nobody wants any more.  At the start only:
 * later another worker's record might come before it. */
void journal_unretained(struct worker *w, struct str topic);

/* -- The turn -- */

/* Hands over what there is.  Returns where it ends in the log: what depends on it may leave once
 * store_settled() is there. */
uint64_t journal_submit(struct worker *w);
/* Waits until every queued message that the caller knows of has been handed over.  It blocks, for
 * the length of a turn: for the thread that reads queues back. */
void journal_await_submits(struct broker *b);
/* Releases the QoS 2 deliveries whose records have settled. */
void journal_settled(struct worker *w, uint64_t settled);
/* Bytes handed over by this worker, and by others meanwhile, that have not settled. */
uint64_t journal_backlog(const struct worker *w);
/* Nothing is written from here on: the broker ends, and its sessions stay. */
void journal_stop(struct worker *w);
/* The store takes on nothing new: its disk refuses. */
bool journal_refusing(const struct worker *w);

#endif
