/* A consumer (sdk/include/skep/message.h): a session whose link ends in a module.
 *
 *   CLAIMING ──> SETTLING ──> LIVE ──> GONE
 *      │             │                  ^
 *      └─────────────┴──────────────────┘
 *
 *   CLAIMING  begins on its loop; another connection or instance may have the session still
 *   SETTLING  the session is ours; its record is on its way to the disk
 *   GONE      closed by the module, refused, or taken over: the session is not ours
 *
 * The link's send() runs with the session's lock held: it keeps a copy of the packets, which
 * consumers_run() hands to the module at the end of the turn.  Everything runs on the consumer's
 * loop but link_kick and claim_ready, which only post. */
#ifndef SKEP_HOST_CONSUMER_H
#define SKEP_HOST_CONSUMER_H

#include "core/link.h"
#include "core/replay.h"
#include "core/sessions.h"
#include "host/arrivals.h"
#include "host/packing.h"
#include "host/traffic.h"

enum { CONSUMER_MAGIC = 0xc0450317 };

enum consumer_state { CONSUMER_CLAIMING, CONSUMER_SETTLING, CONSUMER_LIVE, CONSUMER_GONE };

struct skep_consumer {
    unsigned magic;
    enum consumer_state state;
    struct skep_module *module; /* held */
    struct host_place *place;
    struct skep_consumer_conf conf; /* as this host knows it */
    char *client_id;
    struct skep_consumer *next, **link_to; /* of traffic->consumers; NULL: not there yet */
    struct skep_consumer *busy_next;
    bool busy;
    bool paused;
    bool claiming;    /* a claim waits, or its answer is under way */
    bool close_asked; /* by the module: it does not know us any more */
    bool forget;
    bool forced; /* it was closed by the host: the module may not know yet */
    bool closed; /* only `pins` are waited for */
    _Atomic bool kick_posted;
    _Atomic unsigned pins; /* tasks under way, and calls into the module */
    struct link link;
    struct claim claim;
    enum claim_result claim_result;
    struct session *session; /* ours while SETTLING or LIVE */
    struct arrivals in;
    struct replays replays;
    struct unpacking unpacking;
    struct loop_task begin_task, ready_task, kick_task;
    uint64_t *late; /* acknowledged while core was busy: counters */
    uint32_t late_count, late_cap;
};

/* Begins on its loop; holds the module.  conf: as this host knows it. */
struct skep_consumer *consumer_new(struct skep_module *m, const struct skep_consumer_conf *conf,
                                   struct host_place *place);

/* At the end of this turn it is looked after. */
void consumer_wake(struct skep_consumer *c);

/* Its loop, and no call from inside core: its functions may do what they are for. */
bool consumer_usable(const struct skep_consumer *c);

void consumer_pin(struct skep_consumer *c);
void consumer_unpin(struct skep_consumer *c);

/* Loop of the consumer: closes it at the end of this turn. */
void consumer_close(struct skep_consumer *c, bool forget);

#endif
