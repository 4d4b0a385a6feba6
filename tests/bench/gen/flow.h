/* Messages flowing from publishers to the subscribers of their group, verified one by one.
 *
 * Pairs, fan-in and fan-out differ only in the numbers: G groups, each with P publishers and S
 * subscribers on one topic.  Every payload names its publisher and carries its sequence number:
 *
 *     0: publisher (4) | 4: sequence (4) | 8: time it was due, ns (8) | zeros
 *
 * A publisher sends its next batch only when the window says so: messages neither received by all
 * its subscribers nor acknowledged stay bounded, so a broker has no reason to drop at QoS 0.
 */
#ifndef SKEP_BENCH_FLOW_H
#define SKEP_BENCH_FLOW_H

#include "chan.h"
#include "hdr.h"
#include "track.h"

enum { FLOW_PAYLOAD = 16, FLOW_TOPIC = 13 };

struct flow_publisher {
    uint64_t sent, delivered, acked; /* delivered: to all subscribers together */
    bool queued;
};

struct flow {
    struct turn *turn;
    const struct plan *plan;
    size_t publishers, subscribers; /* all of them */
    struct chan *pubs, *subs;
    char (*greetings)[16]; /* relay only */
    struct flow_publisher *state;
    struct track *tracks; /* [subscriber][publisher within its group] */
    uint32_t *group_of;   /* a permutation of the groups, see groups_mix */
    uint32_t *ready;      /* publishers that may send */
    size_t ready_count;
    struct wire_publish layout;
    uint8_t *frames; /* one batch, patched for each send */
    uint64_t batch, window;
    uint64_t sent, delivered, acked, foreign;
    struct track_sums sums;
    size_t subscribed;
    bool stopping, timed;
    uint64_t count_from, count_until; /* due times that the histogram takes */
    struct hdr hdr;
};

/* Open and subscribe everything.  False: the turn has failed.  flow_close always. */
bool flow_open(struct flow *f, struct turn *t);
void flow_close(struct flow *f);

/* Queue every publisher that may send; only needed to start. */
void flow_kick(struct flow *f);

/* One turn of the closed loop: wait for events, then let ready publishers send. */
void flow_turn(struct flow *f);

/* May this publisher send `n` more?  And send them, stamped with the time they were due. */
bool flow_open_window(const struct flow *f, size_t publisher, uint64_t n);
void flow_send(struct flow *f, size_t publisher, uint64_t n, uint64_t due_ns);

/* All that was sent has arrived and is acknowledged. */
bool flow_settled(const struct flow *f);

#endif
