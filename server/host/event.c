#include "host/event.h"

#include "base/mem.h"
#include "host/crash.h"
#include "host/life.h"

void host_event(struct host *h, const struct skep_event *event)
{
    const struct roll *roll = life_roll(h);

    for (size_t i = 0; i < roll->count; i++) {
        struct skep_module *m = roll->modules[i];
        if (!m->d->on_event || !(m->d->events & SKEP_EVENT_BIT(event->kind)))
            continue;
        struct blame before = blame_begin(m, "on_event");
        m->d->on_event(event, m->self);
        blame_end(before);
    }
}

const char *skep_event_text(enum skep_event_kind kind)
{
    static const char *const names[] = {
        [SKEP_EVENT_CONNECTED] = "connected",
        [SKEP_EVENT_REFUSED] = "refused",
        [SKEP_EVENT_DISCONNECTED] = "disconnected",
        [SKEP_EVENT_SUBSCRIBED] = "subscribed",
        [SKEP_EVENT_UNSUBSCRIBED] = "unsubscribed",
        [SKEP_EVENT_PUBLISHED] = "published",
        [SKEP_EVENT_PUBLISH_REFUSED] = "publish_refused",
        [SKEP_EVENT_DELIVERED] = "delivered",
        [SKEP_EVENT_DROPPED] = "dropped",
        [SKEP_EVENT_RETAINED] = "retained",
        [SKEP_EVENT_SESSION_BEGAN] = "session_began",
        [SKEP_EVENT_SESSION_ENDED] = "session_ended",
        [SKEP_EVENT_ALARM] = "alarm",
        [SKEP_EVENT_DECIDED] = "decided",
    };

    _Static_assert(ARRAY_LEN(names) == SKEP_EVENT_COUNT, "a name for each kind");
    return (unsigned)kind < ARRAY_LEN(names) ? names[kind] : "unknown";
}
