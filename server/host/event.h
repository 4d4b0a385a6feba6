/* The stream of events (sdk/include/skep/event.h), from the places where they happen to the modules
 * that want them and to listeners of the broker's own.  A kind nobody wants costs one load and one
 * branch. */
#ifndef SKEP_HOST_EVENT_H
#define SKEP_HOST_EVENT_H

#include <skep/event.h>

#include "base/str.h"
#include "host/host.h"

struct core_event;
struct worker_guest;

static inline bool host_wants(const struct host *h, enum skep_event_kind kind)
{
    return __builtin_expect((atomic_load_explicit(&h->events, memory_order_relaxed) >> kind) & 1,
                            0);
}

/* Gives it to everybody who wants the kind.  On a loop or the management loop.  It may come from
 * inside core, where a lock is held and the worker's lists are in use: what the listeners publish
 * waits for the end of the turn (traffic_within_begin()). */
void host_event(struct host *h, const struct skep_event *event);

/* The modules that are in force from now on want these kinds.  Main thread. */
void events_swap(struct host *h, uint64_t kinds);

/* Somebody inside the broker who listens, on whichever thread it happens: be brief, and call
 * nothing that takes a session's lock or routes. */
struct host_listener {
    uint64_t kinds; /* set of SKEP_EVENT_BIT() */
    void (*event)(struct host_listener *l, const struct skep_event *event);
    /* After host_unlisten(), when no call comes any more, on some thread; may free it. */
    void (*gone)(struct host_listener *l);
};

/* Main thread, a loop, or the management loop. */
void host_listen(struct host *h, struct host_listener *l);
void host_unlisten(struct host *h, struct host_listener *l);

/* host_new(), host_free() */
void events_open(struct host *h);
void events_close(struct host *h);

/* For struct worker_guest. */
void event_from_core(struct worker_guest *guest, const struct core_event *e);

#endif
