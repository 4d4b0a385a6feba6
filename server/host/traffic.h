/* What modules publish and consume, on one loop: what waits for the turn's end, for the log, or for
 * the loop that asked.
 *
 * skep_publish() on a loop routes at once, unless core is in the middle of something on this
 * worker: modules are called from there too (events, delivery filters), and a publication inside
 * another would find locks taken and the worker's lists in use.  Those calls are bracketed by
 * traffic_within_begin/end; what is published between them waits in `queue` for the end of the
 * turn, and so does all that is published behind it, so that it keeps its order; and so does what
 * on_message publishes about a message that a module published.
 *
 * Private to host; the loop's thread, but for what says otherwise. */
#ifndef SKEP_HOST_TRAFFIC_H
#define SKEP_HOST_TRAFFIC_H

#include <skep/message.h>

#include "base/str.h"
#include "core/worker.h"
#include "host/instance.h"
#include "net/loop.h"

struct traffic;

/* -- For the rest of host and for front -- */

/* host_new(), host_free(): for all places that have a worker. */
void traffic_open(struct host *h);
void traffic_close(struct host *h);

/* Behind unload(): frees what the module did not close itself. */
void traffic_forget(struct skep_module *m);

/* The broker ends: on each loop, before the last sessions end.  Consumers let go of their sessions,
 * what waits for the log is told that the broker is not available. */
void traffic_end(struct host_place *place);

/* Around each call into a module from inside router_publish() or with a session's lock held. */
static inline void traffic_within_begin(struct host_place *p)
{
    p->within++;
}

static inline void traffic_within_end(struct host_place *p)
{
    p->within--;
}

/* -- Between the files of messages -- */

/* A publication that waits for something, or the word of what became of it. */
struct outgoing {
    struct loop_task task;
    struct outgoing *next;
    struct skep_module *module;        /* held */
    struct host_place *place, *origin; /* where it is routed; where `done` is called */
    skep_published_fn *done;
    void (*forgotten)(void *arg); /* in the place of `done`, for skep_consumer_forget() */
    void *arg;
    struct skep_consumer *as; /* pinned while it is not routed; NULL: none */
    uint64_t lsn;             /* what it waits for, 0: not known yet */
    size_t charged;
    uint32_t topic_len, payload_len, props_len; /* in bytes, in that order */
    uint32_t expiry;                            /* seconds; UINT32_MAX: none */
    uint16_t once;
    uint8_t qos, reason;
    bool retain;
    char bytes[];
};

struct outgoing_list {
    struct outgoing *first, *last;
};

static inline void outgoing_put(struct outgoing_list *list, struct outgoing *o)
{
    o->next = NULL;
    if (list->first)
        list->last->next = o;
    else
        list->first = o;
    list->last = o;
}

static inline struct outgoing *outgoing_take(struct outgoing_list *list)
{
    struct outgoing *o = list->first;
    if (o)
        list->first = o->next;
    return o;
}

struct traffic {
    struct worker_guest guest;
    struct host_place *place;
    unsigned rounds;                 /* of this turn */
    unsigned routing;                /* skep_publish() is under way: on_message may call it again */
    struct outgoing_list queue;      /* to be routed */
    struct outgoing_list fresh;      /* routed; written down in this round */
    struct outgoing_list waiting;    /* for the log, oldest first */
    struct outgoing_list over;       /* `done` is due */
    struct skep_consumer *consumers; /* all that live here */
    struct skep_consumer *busy;      /* those with something to do at the turn's end */
    bool ended;
};

/* The place's worker, which knows the turn's time. */
static inline struct worker *place_worker(struct host_place *p)
{
    worker_turn(p->worker, loop_now_ms(p->loop));
    return p->worker;
}

/* Makes one that holds the module; room bytes behind it.  NULL: no memory. */
struct outgoing *outgoing_new(struct skep_module *m, struct host_place *place, size_t room);
/* It is routed, or was only a question to the log: tells `done` when what this worker wrote down so
 * far has settled, or at the end of this turn. */
void outgoing_settle(struct traffic *t, struct outgoing *o, bool written);

/* api_message.c: routes it; then it is settled. */
void outgoing_route(struct outgoing *o);

/* consumer.c */
bool consumers_run(struct traffic *t);
void consumers_close_all(struct traffic *t, const struct skep_module *m);
void consumers_end(struct traffic *t);

#endif
