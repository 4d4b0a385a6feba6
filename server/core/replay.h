/* Retained messages on their way to the new subscriptions of one session, a slice a turn.
 *
 * A replay owns a cursor; each slice moves as many messages as the session has room for, at most
 * REPLAY_SLICE, so that neither a turn nor a queue grows with the number of retained messages.
 * The owner's thread. */
#ifndef SKEP_CORE_REPLAY_H
#define SKEP_CORE_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct replay;
struct session;
struct worker;

enum { REPLAY_SLICE = 256 };

/* Zero-initialised is empty. */
struct replays {
    struct replay *first, *last; /* oldest first */
    uint32_t count;
};

/* For a subscription with SUB_* options.  False when it can be told at once that nothing is kept
 * for the filter; what is kept waits for a slice in any case. */
bool replays_add(struct worker *w, struct replays *list, struct str filter, unsigned options,
                 uint32_t sub_id);

/* The next slice.  True: more could follow at once; false: nothing is left, or the session has no
 * room for more before it is acknowledged or written. */
bool replays_slice(struct worker *w, struct replays *list, struct session *s);

void replays_fini(struct replays *list);

#endif
