#include "host/traffic.h"

#include <stdlib.h>

#include "base/mem.h"
#include "host/consumer.h"
#include "host/event.h"
#include "host/host.h"
#include "host/services.h"
#include "mqtt/reason.h"
#include "store/store.h"

/* Generations of messages that may be answered with messages in one turn. */
enum { ROUNDS = 4 };

/* -- Outgoing -- */

struct outgoing *outgoing_new(struct skep_module *m, struct host_place *place, size_t room)
{
    struct outgoing *o = malloc(sizeof *o + room);

    if (!o)
        return NULL;
    *o = (struct outgoing){.module = m, .place = place, .origin = host_place(m->host)};
    instance_hold(m);
    atomic_fetch_add(&m->publishing, 1);
    return o;
}

static void outgoing_free(struct outgoing *o)
{
    struct skep_module *m = o->module;

    atomic_fetch_sub(&m->publishing, 1);
    atomic_fetch_sub(&m->publishing_bytes, o->charged);
    free(o);
    instance_release(m);
}

static void tell(struct outgoing *o)
{
    struct blame before = blame_begin(o->module, "done of skep_publish");

    if (o->done)
        o->done(o->arg, o->reason);
    if (o->forgotten && o->reason < 0x80)
        o->forgotten(o->arg);
    blame_end(before);
    outgoing_free(o);
}

static void arrived_back(struct loop_task *task, struct loop *l)
{
    tell(CONTAINER_OF(task, struct outgoing, task));
}

static void outgoing_over(struct outgoing *o)
{
    if ((!o->done && !o->forgotten) || o->origin == o->place) {
        tell(o);
        return;
    }
    o->task.run = arrived_back;
    loop_post(o->origin->loop, &o->task);
}

void outgoing_settle(struct traffic *t, struct outgoing *o, bool written)
{
    outgoing_put(written && t->place->worker->journal.store ? &t->fresh : &t->over, o);
}

/* -- The turn -- */

static bool route_queued(struct traffic *t)
{
    struct outgoing_list list = t->queue;
    bool any = list.first != NULL;

    t->queue = (struct outgoing_list){0};
    for (struct outgoing *o; (o = outgoing_take(&list));)
        outgoing_route(o);
    return any;
}

static void take_settled(struct traffic *t, uint64_t settled)
{
    while (t->waiting.first && t->waiting.first->lsn <= settled)
        outgoing_put(&t->over, outgoing_take(&t->waiting));
}

/* What was routed since has its place in the log now. */
static void mark_fresh(struct traffic *t)
{
    struct worker *w = t->place->worker;
    uint64_t lsn;

    if (!t->fresh.first)
        return;
    lsn = journal_submit(w);
    for (struct outgoing *o; (o = outgoing_take(&t->fresh));) {
        o->lsn = lsn;
        outgoing_put(&t->waiting, o);
    }
    /* Handed over in the middle of the turn, it may have settled before anybody waited for it. */
    take_settled(t, w->journal.store ? store_settled(w->journal.store) : UINT64_MAX);
}

static bool tell_over(struct traffic *t)
{
    struct outgoing_list list = t->over;
    bool any = list.first != NULL;

    t->over = (struct outgoing_list){0};
    for (struct outgoing *o; (o = outgoing_take(&list));)
        outgoing_over(o);
    return any;
}

static bool has_work(const struct traffic *t)
{
    return t->queue.first || t->fresh.first || t->over.first || t->busy;
}

static bool on_turn(struct worker_guest *guest)
{
    struct traffic *t = CONTAINER_OF(guest, struct traffic, guest);

    if (!has_work(t) || ++t->rounds > ROUNDS) {
        if (has_work(t))
            loop_again(t->place->loop);
        t->rounds = 0;
        return false;
    }
    mark_fresh(t);
    route_queued(t);
    tell_over(t);
    consumers_run(t);
    return true;
}

/* What is over is told at the end of this turn. */
static void on_settled(struct worker_guest *guest, uint64_t lsn)
{
    take_settled(CONTAINER_OF(guest, struct traffic, guest), lsn);
}

/* -- Life -- */

static void leave(struct host_place *p, struct skep_module *m)
{
    if (p->traffic)
        consumers_close_all(p->traffic, m);
}

void traffic_open(struct host *h)
{
    for (unsigned i = 0; i < h->loop_count; i++) {
        if (!h->places[i].worker)
            continue;
        struct traffic *t = xcalloc(1, sizeof *t);
        t->guest =
            (struct worker_guest){.turn = on_turn, .settled = on_settled, .event = event_from_core};
        t->place = &h->places[i];
        t->place->traffic = t;
        t->place->worker->guest = &t->guest;
    }
    host_on_leave(h, leave);
}

void traffic_close(struct host *h)
{
    for (unsigned i = 0; i < h->loop_count; i++) {
        struct traffic *t = h->places[i].traffic;
        ASSERT(!t || (!has_work(t) && !t->waiting.first && !t->consumers));
        h->places[i].traffic = NULL;
        free(t);
    }
}

void traffic_end(struct host_place *place)
{
    struct traffic *t = place->traffic;

    t->ended = true;
    route_queued(t);
    consumers_end(t);
    mark_fresh(t);
    for (struct outgoing *o; (o = outgoing_take(&t->waiting));) {
        if (t->place->worker->journal.store &&
            o->lsn > store_settled(t->place->worker->journal.store))
            o->reason = RC_SERVER_UNAVAILABLE;
        outgoing_put(&t->over, o);
    }
    tell_over(t);
}
