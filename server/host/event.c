#include "host/event.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/session.h"
#include "host/crash.h"
#include "host/life.h"
#include "host/traffic.h"
#include "net/loop.h"

/* Immutable; a change makes a new one. */
struct listeners {
    size_t count;
    struct host_listener *all[];
};

/* -- Giving it out -- */

static void tell_modules(struct host *h, const struct skep_event *event)
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

static void tell_listeners(struct host *h, const struct skep_event *event)
{
    const struct listeners *all = atomic_load_explicit(&h->listeners, memory_order_acquire);

    for (size_t i = 0; i < all->count; i++) {
        if (all->all[i]->kinds & SKEP_EVENT_BIT(event->kind))
            all->all[i]->event(all->all[i], event);
    }
}

void host_event(struct host *h, const struct skep_event *event)
{
    struct host_place *p = host_here;

    if (p)
        traffic_within_begin(p);
    tell_modules(h, event);
    tell_listeners(h, event);
    if (p)
        traffic_within_end(p);
}

/* -- From core -- */

static const enum skep_event_kind kinds_of_core[] = {
    [CORE_CONNECTED] = SKEP_EVENT_CONNECTED,
    [CORE_REFUSED] = SKEP_EVENT_REFUSED,
    [CORE_DISCONNECTED] = SKEP_EVENT_DISCONNECTED,
    [CORE_SUBSCRIBED] = SKEP_EVENT_SUBSCRIBED,
    [CORE_UNSUBSCRIBED] = SKEP_EVENT_UNSUBSCRIBED,
    [CORE_PUBLISHED] = SKEP_EVENT_PUBLISHED,
    [CORE_PUBLISH_REFUSED] = SKEP_EVENT_PUBLISH_REFUSED,
    [CORE_DELIVERED] = SKEP_EVENT_DELIVERED,
    [CORE_DROPPED] = SKEP_EVENT_DROPPED,
    [CORE_RETAINED] = SKEP_EVENT_RETAINED,
    [CORE_SESSION_BEGAN] = SKEP_EVENT_SESSION_BEGAN,
    [CORE_SESSION_ENDED] = SKEP_EVENT_SESSION_ENDED,
};

void event_from_core(struct worker_guest *guest, const struct core_event *e)
{
    struct host_place *p = CONTAINER_OF(guest, struct traffic, guest)->place;
    struct skep_event event = {
        .size = sizeof event,
        .kind = kinds_of_core[e->kind],
        .now_ms = p->worker->now_ms,
        .client = e->session ? session_identity_locked(e->session) : e->who,
        .topic = {e->topic.ptr, e->topic.len},
        .payload = {e->payload.ptr, e->payload.len},
        .text = {e->text.ptr, e->text.len},
        .number = e->number,
        .qos = e->qos,
        .reason = e->reason,
        .retain = e->retain,
        .flag = e->flag,
    };

    host_event(p->host, &event);
}

/* -- Who wants what -- */

/* listen_lock held. */
static void sum_up(struct host *h)
{
    const struct listeners *all = atomic_load(&h->listeners);
    uint64_t kinds = h->module_events;
    uint32_t core = 0;

    for (size_t i = 0; i < all->count; i++)
        kinds |= all->all[i]->kinds;
    for (unsigned i = 0; i < ARRAY_LEN(kinds_of_core); i++)
        core |= (uint32_t)((kinds & SKEP_EVENT_BIT(kinds_of_core[i])) != 0) << i;
    atomic_store(&h->events, kinds);
    if (h->broker)
        atomic_store(&h->broker->events, core);
}

void events_swap(struct host *h, uint64_t kinds)
{
    pthread_mutex_lock(&h->listen_lock);
    h->module_events = kinds;
    sum_up(h);
    pthread_mutex_unlock(&h->listen_lock);
}

static void listener_gone(void *listener)
{
    struct host_listener *l = listener;

    if (l->gone)
        l->gone(l);
}

/* Both in the order in which they are done with. */
static void retire(struct host *h, struct listeners *old, struct host_listener *gone)
{
    struct qsbr_slot *slot = host_here ? loop_qsbr(host_here->loop) : &h->main_slot;

    if (!host_here)
        qsbr_online(slot);
    qsbr_retire(slot, old, free);
    if (gone)
        qsbr_retire(slot, gone, listener_gone);
    if (!host_here) {
        qsbr_quiescent(slot);
        qsbr_offline(slot);
    }
}

static struct listeners *listeners_new(size_t count)
{
    struct listeners *l = xcalloc(1, sizeof *l + count * sizeof(struct host_listener *));
    return l;
}

void host_listen(struct host *h, struct host_listener *l)
{
    pthread_mutex_lock(&h->listen_lock);
    struct listeners *old = atomic_load(&h->listeners), *now = listeners_new(old->count + 1);
    for (size_t i = 0; i < old->count; i++)
        now->all[now->count++] = old->all[i];
    now->all[now->count++] = l;
    atomic_store(&h->listeners, now);
    sum_up(h);
    retire(h, old, NULL);
    pthread_mutex_unlock(&h->listen_lock);
}

void host_unlisten(struct host *h, struct host_listener *l)
{
    pthread_mutex_lock(&h->listen_lock);
    struct listeners *old = atomic_load(&h->listeners), *now = listeners_new(old->count);
    for (size_t i = 0; i < old->count; i++) {
        if (old->all[i] != l)
            now->all[now->count++] = old->all[i];
    }
    ASSERT(now->count + 1 == old->count);
    atomic_store(&h->listeners, now);
    sum_up(h);
    retire(h, old, l);
    pthread_mutex_unlock(&h->listen_lock);
}

void events_open(struct host *h)
{
    pthread_mutex_init(&h->listen_lock, NULL);
    atomic_init(&h->listeners, listeners_new(0));
}

void events_close(struct host *h)
{
    struct listeners *all = atomic_load(&h->listeners);

    ASSERT(all->count == 0);
    free(all);
    pthread_mutex_destroy(&h->listen_lock);
}

/* -- Names -- */

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
