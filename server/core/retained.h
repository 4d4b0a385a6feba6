/* Retained messages: topic -> message, kept in a tree of levels so that a filter with
 * wildcards walks only what it may match.
 *
 * Threads: any thread with an online QSBR slot.  Replacing the message of a topic that is
 * there already takes no shared lock (an atomic exchange; the old one is retired); adding
 * or removing a topic takes the store's mutex.  Replay is a cursor that is resumed turn by
 * turn and holds nothing between turns. */
#ifndef SKEP_CORE_RETAINED_H
#define SKEP_CORE_RETAINED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/qsbr.h"
#include "base/str.h"
#include "core/message.h"

struct retained;

struct retained_limits {
    uint64_t max_messages; /* 0: no limit */
    uint64_t max_bytes;    /* 0: no limit */
};

struct retained *retained_new(void);
void retained_free(struct retained **r);
void retained_limit(struct retained *r, const struct retained_limits *limits);

/* Keeps m (taking a reference) for its topic, replacing what is there [MQTT-3.3.1-5].
 * Returns 0 or ERR_LIMIT when a limit forbids it: what was there stays. */
int retained_put(struct retained *r, struct qsbr_slot *slot, struct message *m);

/* Forgets the topic's message [MQTT-3.3.1-6]; false when there was none. */
bool retained_remove(struct retained *r, struct qsbr_slot *slot, struct str topic);

/* The message of exactly this topic, borrowed until the next quiescent state, or NULL.
 * Expired ones are not returned. */
struct message *retained_get(struct retained *r, struct str topic, uint64_t now_ms);

/* Replay to one filter.  The cursor owns a copy of the filter and of its place as a topic
 * name, so that it survives any change of the tree between turns: a topic present all the
 * while is visited exactly once. */
struct retained_cursor;
struct retained_cursor *retained_cursor_new(struct str filter);
void retained_cursor_free(struct retained_cursor **cursor);

/* Calls visit for up to `most` matching, unexpired messages (visit returns false to stop
 * early; that message counts as not visited).  Returns true while more may follow.  Also
 * bounded in nodes looked at per call (some 64 per message allowed), so that a sparse match
 * over a huge tree is sliced as well.  Messages are borrowed during visit. */
bool retained_replay(struct retained *r, struct retained_cursor *cursor, uint64_t now_ms,
                     unsigned most, bool (*visit)(void *arg, struct message *m), void *arg);

/* Drops expired messages, looking at up to `most` nodes a call; resumable by itself.
 * Returns how many were dropped.  One thread at a time. */
unsigned retained_sweep(struct retained *r, struct qsbr_slot *slot, uint64_t now_ms, unsigned most);

struct retained_stats {
    uint64_t messages, bytes; /* bytes: messages and tree */
};
struct retained_stats retained_stats(struct retained *r);

#endif
