/* The stream of events (sdk/include/skep/event.h), from the places where they happen to the modules
 * that want them.  A kind nobody wants costs one load and one branch. */
#ifndef SKEP_HOST_EVENT_H
#define SKEP_HOST_EVENT_H

#include <skep/event.h>

#include "base/str.h"
#include "host/host.h"

static inline bool host_wants(const struct host *h, enum skep_event_kind kind)
{
    return __builtin_expect((atomic_load_explicit(&h->events, memory_order_relaxed) >> kind) & 1,
                            0);
}

/* Gives it to every module that wants the kind.  On a loop or the management loop. */
void host_event(struct host *h, const struct skep_event *event);

#endif
