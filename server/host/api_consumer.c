/* <skep/message.h>: consumers.  All but opening on their loop. */
#include <stdlib.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/idset.h"
#include "core/session.h"
#include "core/subscribe.h"
#include "host/consumer.h"
#include "mqtt/topic.h"

enum { ID_MOST = 65000 };

/* -- Opening -- */

static bool conf_take(struct skep_consumer_conf *out, const struct skep_consumer_conf *in,
                      const struct host *h)
{
    size_t size = in->size < sizeof *out ? in->size : sizeof *out;

    *out = (struct skep_consumer_conf){0};
    if (size < offsetof(struct skep_consumer_conf, reserved))
        return false;
    memcpy(out, in, size);
    return out->name && out->on_message &&
           (out->loop == SKEP_ANY_LOOP || out->loop < h->loop_count);
}

static struct host_place *choose_place(struct host *h, unsigned loop)
{
    if (loop == SKEP_ANY_LOOP)
        loop = atomic_fetch_add(&h->next_loop, 1) % h->loop_count;
    return &h->places[loop];
}

struct skep_consumer *skep_consumer_open(struct skep_module *m,
                                         const struct skep_consumer_conf *conf)
{
    struct skep_consumer_conf known;

    if (!conf_take(&known, conf, m->host) || strlen(m->name) + strlen(known.name) > ID_MOST)
        return NULL;
    return consumer_new(m, &known, choose_place(m->host, known.loop));
}

unsigned skep_consumer_loop(const struct skep_consumer *c)
{
    return c->place->index;
}

static bool live(const struct skep_consumer *c)
{
    return c->state == CONSUMER_LIVE && !c->close_asked;
}

/* -- Subscriptions -- */

static int check_filter(const struct limits *l, struct str filter, unsigned options)
{
    struct str name, rest;
    bool shared;

    if (topic_filter_check(filter, l->max_topic_levels) != TOPIC_OK ||
        filter.len > l->max_topic_length)
        return SKEP_E_INVALID;
    shared = topic_share_split(filter, &name, &rest);
    if (shared && ((options & SKEP_SUBSCRIBE_NO_LOCAL) || !l->shared_subscriptions))
        return SKEP_E_INVALID; /* [MQTT-3.8.3-4] */
    if (!l->wildcard_subscriptions && topic_filter_has_wildcard(filter))
        return SKEP_E_INVALID;
    return 0;
}

static void tell(struct skep_consumer *c, enum core_event_kind kind, struct str filter,
                 unsigned qos)
{
    struct session *s = c->session;

    if (!core_wants(c->place->worker, kind))
        return;
    lock_take(&s->lock);
    core_tell_event(
        c->place->worker,
        &(struct core_event){.kind = kind, .session = s, .topic = filter, .qos = (uint8_t)qos});
    lock_drop(&s->lock);
}

static void begin_replay(struct skep_consumer *c, const struct subscribe_request *r)
{
    struct str name, rest;

    if (topic_share_split(r->filter, &name, &rest))
        return; /* [MQTT 4.8.2]: a shared subscription gets none */
    if (replays_add(c->place->worker, &c->replays, r->filter, r->options, 0))
        consumer_wake(c);
}

int skep_consumer_subscribe(struct skep_consumer *c, struct skep_str filter, unsigned qos,
                            unsigned options)
{
    bool existed, none = options & SKEP_SUBSCRIBE_NO_RETAINED;

    if (!consumer_usable(c) || !live(c))
        return SKEP_E_STATE;
    struct worker *w = place_worker(c->place);
    int err = check_filter(w->limits, str_in(filter), options);
    if (err || qos > 2)
        return SKEP_E_INVALID;
    if (journal_refusing(w) && session_stored(c->session))
        return SKEP_E_REFUSED;
    if (qos > w->limits->maximum_qos)
        qos = w->limits->maximum_qos;
    struct subscribe_request r = {
        .filter = str_in(filter),
        .options = qos | (options & SKEP_SUBSCRIBE_NO_LOCAL ? SUB_NO_LOCAL : 0u) |
                   (options & SKEP_SUBSCRIBE_KEEP_RETAIN ? SUB_RETAIN_AS_PUBLISHED : 0u),
        .retain_handling = none ? 2 : 0,
    };
    if (session_subscribe(w, c->session, &r, &existed) < 0)
        return SKEP_E_LIMIT;
    COUNT(w, subscribes);
    tell(c, CORE_SUBSCRIBED, r.filter, qos);
    if (!none)
        begin_replay(c, &r);
    return SKEP_OK;
}

int skep_consumer_unsubscribe(struct skep_consumer *c, struct skep_str filter)
{
    if (!consumer_usable(c) || !live(c))
        return SKEP_E_STATE;
    struct worker *w = place_worker(c->place);
    if (topic_filter_check(str_in(filter), 0) != TOPIC_OK)
        return SKEP_E_INVALID;
    COUNT(w, unsubscribes);
    if (!session_unsubscribe(w, c->session, str_in(filter)))
        return SKEP_E_NOT_FOUND;
    tell(c, CORE_UNSUBSCRIBED, str_in(filter), 0);
    return SKEP_OK;
}

struct telling {
    void (*each)(struct skep_str filter, unsigned qos, void *arg);
    void *arg;
};

static void tell_subscription(void *arg, struct str filter, const struct subscription *sub)
{
    struct telling *t = arg;
    t->each(str_out(filter), sub->options & SUB_QOS, t->arg);
}

void skep_consumer_subscriptions(struct skep_consumer *c,
                                 void (*each)(struct skep_str filter, unsigned qos, void *arg),
                                 void *arg)
{
    struct telling t = {each, arg};

    if (live(c))
        session_each_subscription(c->session, tell_subscription, &t);
}

/* -- Messages -- */

static void note_late(struct skep_consumer *c, uint64_t counter)
{
    if (c->late_count == c->late_cap) {
        c->late_cap = c->late_cap ? c->late_cap * 2 : 16;
        c->late = xrealloc(c->late, c->late_cap * sizeof *c->late);
    }
    c->late[c->late_count++] = counter;
    consumer_wake(c);
}

void skep_consumer_ack(struct skep_consumer *c, uint64_t id)
{
    if (id == 0 || !live(c))
        return;
    if (!consumer_usable(c)) {
        note_late(c, id - 1);
        return;
    }
    session_took(place_worker(c->place), c->session, id - 1);
    if (c->replays.first)
        consumer_wake(c); /* there is room again */
}

static bool forget_number(struct skep_consumer *c, uint16_t once)
{
    struct worker *w = c->place->worker;
    struct session *s = c->session;

    if (!s->received || !idset_remove(s->received, once))
        return false;
    journal_received(w, s, once, true);
    return session_written(w, s);
}

void skep_consumer_forget(struct skep_consumer *c, uint16_t once, void (*done)(void *arg),
                          void *arg)
{
    bool written = false;

    if (live(c)) {
        place_worker(c->place);
        if (once)
            written = forget_number(c, once);
        for (unsigned id = 1; once == 0 && id <= UINT16_MAX; id++)
            written |= forget_number(c, (uint16_t)id);
    }
    if (!done)
        return;
    struct outgoing *o = outgoing_new(c->module, c->place, 0);
    ASSERT(o != NULL);
    o->origin = c->place;
    o->forgotten = done;
    o->arg = arg;
    outgoing_settle(c->place->traffic, o, written);
}

void skep_consumer_pause(struct skep_consumer *c, bool paused)
{
    if (c->close_asked || c->paused == paused)
        return;
    c->paused = paused;
    consumer_wake(c); /* blocks or unblocks the link where no lock is held */
}

uint64_t skep_consumer_queued(const struct skep_consumer *c)
{
    return live(c) && consumer_usable(c) ? session_queued(c->session) : 0;
}

void skep_consumer_close(struct skep_consumer *c, bool forget)
{
    if (!c->close_asked)
        consumer_close(c, forget);
}
