#include "front/desk.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/wheel.h"
#include "core/broker.h"
#include "front/client.h"
#include "store/store.h"

enum {
    TOPIC_ROOM = 65536 + 1,
    PAUSE_TICK_MS = 50,
    FLUSH_BYTES = 256 * 1024,
    BACKLOG_MOST = 64 << 20
};

void client_list_add(struct client_list *list, struct client *c)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = xrealloc(list->items, list->cap * sizeof(struct client *));
    }
    list->items[list->count++] = c;
}

bool desk_store_behind(const struct desk *d)
{
    return journal_backlog(d->w) > (journal_refusing(d->w) ? 0 : BACKLOG_MOST);
}

/* Whether what a client was held for is over. */
static bool may_resume(struct client *c)
{
    return !atomic_load(&c->desk->w->broker->pressure) && !client_replay_crowded(c) &&
           !(client_parked(c) && desk_store_behind(c->desk)) && client_rate_recovered(c);
}

static void resume(struct client *c)
{
    c->paused = false;
    c->heard_ms = c->desk->w->now_ms; /* its silence was our doing */
    client_read_on(c);
}

static void on_tick(void *desk, struct wheel_timer *timer)
{
    struct desk *d = desk;
    uint32_t kept = 0;

    desk_worker(d);
    for (uint32_t i = 0; i < d->paused.count; i++) {
        struct client *c = d->paused.items[i];
        if (may_resume(c))
            resume(c);
        else
            d->paused.items[kept++] = c;
    }
    d->paused.count = kept;
    desk_watch_paused(d);
}

void desk_unpause(struct desk *d, struct client *c)
{
    if (!may_resume(c))
        return;
    client_list_remove(&d->paused, c);
    resume(c);
}

void desk_watch_paused(struct desk *d)
{
    if (d->paused.count > 0 && !wheel_armed(&d->tick))
        wheel_add(loop_wheel(d->loop), &d->tick, loop_now_ms(d->loop) + PAUSE_TICK_MS);
}

void client_list_remove(struct client_list *list, const struct client *c)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i] == c) {
            list->items[i] = list->items[--list->count];
            return;
        }
    }
}

void desk_settled(struct desk *d)
{
    if (!atomic_exchange(&d->settle_posted, true))
        loop_post(d->loop, &d->settle_task);
}

/* What the turn wrote down goes to the log, and whose acknowledgements wait learn for what. */
static void commit(struct desk *d)
{
    uint64_t lsn = journal_submit(d->w);

    for (uint32_t i = 0; i < d->parking.count; i++)
        client_park_mark(d->parking.items[i], lsn);
    /* Handed over earlier in this turn, it may have settled before anybody waited for it. */
    if (d->parking.count > 0 && d->w->journal.store && store_settled(d->w->journal.store) >= lsn)
        desk_settled(d);
    d->parking.count = 0;
}

static void settle(struct loop_task *task, struct loop *l)
{
    struct desk *d = CONTAINER_OF(task, struct desk, settle_task);
    uint32_t kept = 0;

    atomic_store(&d->settle_posted, false); /* first: what settles from here on is told again */
    struct worker *w = desk_worker(d);
    if (!w->journal.store)
        return;
    uint64_t settled = store_settled(w->journal.store);
    journal_settled(w, settled);
    if (w->guest)
        w->guest->settled(w->guest, settled);
    for (uint32_t i = 0; i < d->parked.count; i++) {
        struct client *c = d->parked.items[i];
        if (client_park_release(c, settled))
            d->parked.items[kept++] = c;
    }
    d->parked.count = kept;
}

struct desk *desk_new(struct broker *broker, struct loop *loop, struct door *door)
{
    struct desk *d = xcalloc(1, sizeof *d);

    d->door = door;
    d->loop = loop;
    d->w = worker_new(broker, loop_qsbr(loop), loop_index(loop));
    d->topic = xmalloc(TOPIC_ROOM);
    d->settle_task.run = settle;
    wheel_kind(loop_wheel(loop), TIMER_CLIENT, client_on_timer, d);
    d->tick.kind = TIMER_DESK;
    wheel_kind(loop_wheel(loop), TIMER_DESK, on_tick, d);
    return d;
}

void desk_free(struct desk **desk)
{
    struct desk *d = *desk;

    if (!d)
        return;
    free(d->talking.items);
    free(d->replaying.items);
    free(d->paused.items);
    free(d->parking.items);
    free(d->parked.items);
    free(d->topic);
    worker_free(&d->w);
    free(d);
    *desk = NULL;
}

/* Each waiting client gets a slice; those that must wait for room leave the list and are put
 * back by client_replay_wake(). */
static void replay_slices(struct desk *d)
{
    struct client_list *list = &d->replaying;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct client *c = list->items[i];
        if (client_replay(c))
            list->items[kept++] = c;
        else
            c->extra->replay_listed = false;
    }
    list->count = kept;
    if (kept > 0)
        loop_again(d->loop);
}

static void flush_talking(struct desk *d)
{
    for (uint32_t i = 0; i < d->talking.count; i++) {
        struct client *c = d->talking.items[i];
        c->talking = false;
        client_flush(c);
    }
    d->talking.count = 0;
}

void desk_took(struct desk *d, size_t bytes)
{
    d->unflushed += (uint32_t)bytes;
    if (d->unflushed < FLUSH_BYTES)
        return;
    commit(d);
    flush_talking(d);
    worker_turn_end(d->w);
    d->unflushed = 0;
}

void desk_turn_end(struct desk *d)
{
    struct worker *w = desk_worker(d);

    commit(d);
    flush_talking(d);
    if (d->replaying.count > 0) /* behind their SUBACK, which went out above */
        replay_slices(d);
    worker_turn_end(w);
    while (w->guest && w->guest->turn(w->guest)) {
        commit(d);
        flush_talking(d);
        worker_turn_end(w);
    }
    d->unflushed = 0;
    worker_turn_over(d->w);
}
