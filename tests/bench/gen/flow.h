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

/* In the place of the time, where nobody asks for it: "SKEPMARK" in the bytes of a payload, by
 * which a system-call trace shows when a message reached a file (durable/trace.lua). */
#define FLOW_MARK 0x4b52414d50454b53u

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
    size_t leaving; /* subscribers whose DISCONNECT the broker has not answered by closing */
    bool stopping, timed;
    bool offline; /* subscribers are away: only acknowledgements open the window */
    uint64_t count_from, count_until; /* due times that the histogram takes */
    struct hdr hdr;
};

/* Open and subscribe everything.  False: the turn has failed.  flow_close always. */
bool flow_open(struct flow *f, struct turn *t);
void flow_close(struct flow *f);

/* The same in steps, for subscribers that leave their sessions behind.  False as above. */
bool flow_prepare(struct flow *f, struct turn *t); /* memory only */
bool flow_leave_sessions(struct flow *f);          /* subscribe, then leave: from now on offline */
bool flow_publishers_open(struct flow *f);
bool flow_return(struct flow *f);          /* come back: what was queued begins to arrive */
bool flow_forget_sessions(struct flow *f); /* leave for good */

/* Queue every publisher that may send; only needed to start. */
void flow_kick(struct flow *f);

/* One turn of the closed loop: wait for events, then let ready publishers send. */
void flow_turn(struct flow *f);

/* May this publisher send `n` more?  And send them, stamped with the time they were due. */
bool flow_open_window(const struct flow *f, size_t publisher, uint64_t n);
void flow_send(struct flow *f, size_t publisher, uint64_t n, uint64_t due_ns);

/* For flow_open.c: what the connections receive. */
size_t flow_publisher_bytes(struct chan *c, const uint8_t *p, size_t n);
size_t flow_subscriber_bytes(struct chan *c, const uint8_t *p, size_t n);

/* All that was sent has arrived and is acknowledged. */
bool flow_settled(const struct flow *f);

#endif
