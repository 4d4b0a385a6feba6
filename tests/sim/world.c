#include "world.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/session.h"
#include "core/sessions.h"
#include "front/client.h"
#include "front/desk.h"
#include "front/entrance.h"
#include "front/server.h"
#include "front/sys.h"
#include "net/loop.h"

enum { STEP_MS = 250, SETTLE_MAX = 200000 };

struct world {
    struct fake_clock clock;
    struct broker *broker;
    struct loop *loops[WORLD_LOOPS];
    struct desk *desks[WORLD_LOOPS];
    struct door door;
    struct entrance entrance;
    struct hooks hooks;
    struct sys *sys;
};

struct flush_task {
    struct loop_task task;
    struct flush_batch *batch;
};

static void flush_run(struct loop_task *task, struct loop *l)
{
    struct flush_task *t = CONTAINER_OF(task, struct flush_task, task);
    worker_flush_batch(desk_worker(desk_of(l)), t->batch);
    free(t);
}

static void post_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    struct world *w = arg;
    struct flush_task *t = xcalloc(1, sizeof *t);

    t->task.run = flush_run;
    t->batch = batch;
    loop_post(w->loops[worker], &t->task);
}

static const struct broker_ops broker_ops = {.post_flush = post_flush};

static void turn_end(struct loop *l, void *desk)
{
    desk_turn_end(*(struct desk **)desk);
}

struct world *world_new(const struct limits *limits, const struct hooks *hooks)
{
    struct world *w = xcalloc(1, sizeof *w);
    struct server_listener listener = {.listen = {.name = "sim"},
                                       .anonymous = true,
                                       .versions = VERSION_ALL,
                                       .connect_timeout_ms = 10000};

    hash_seed_set(1);
    w->clock.now_ms = 1000000;
    w->broker = broker_new(limits, &broker_ops, w);
    if (hooks)
        w->hooks = *hooks;
    w->entrance.door = &w->door;
    w->entrance.name = "sim";
    w->entrance.address = "memory";
    atomic_init(&w->entrance.policy, policy_new(&listener));
    for (unsigned i = 0; i < WORLD_LOOPS; i++) {
        w->loops[i] = fake_loop_new(i, &w->clock, turn_end, &w->desks[i]);
        w->desks[i] = desk_new(w->broker, w->loops[i], &w->door, &w->hooks);
    }
    w->sys = sys_new(w->desks[0], w->broker, 0);
    return w;
}

static void end_sessions(struct loop_task *task, struct loop *l)
{
    sessions_end_all(desk_worker(desk_of(l)));
}

void world_free(struct world **world)
{
    struct world *w = *world;
    struct loop_task end = {.run = end_sessions};
    struct ledger_sum sum;

    world_settle(w);
    ASSERT(world_balances(w));
    ASSERT(atomic_load(&w->door.connections) == 0 && atomic_load(&w->door.pending) == 0);
    ASSERT(sessions_stats(w->broker->sessions).connected == 0);
    loop_post(w->loops[0], &end);
    world_settle(w);
    world_ledger(w, &sum);
    ASSERT(ledger_waiting(&sum) == 0);
    sys_free(&w->sys);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        fake_loop_free(&w->loops[i]);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        desk_free(&w->desks[i]);
    policy_unref(w->entrance.policy);
    broker_free(&w->broker);
    free(w);
    *world = NULL;
}

struct wire *world_dial(struct world *w, unsigned loop, bool shareable, size_t window)
{
    return wire_dial(w->loops[loop], &client_handler, &w->entrance, shareable, window);
}

void world_turn(struct world *w, unsigned loop)
{
    fake_loop_turn(w->loops[loop]);
}

void world_settle(struct world *w)
{
    bool busy = true;

    for (unsigned turns = 0; busy; turns++) {
        ASSERT(turns < SETTLE_MAX); /* a loop that finds no rest */
        busy = false;
        for (unsigned i = 0; i < WORLD_LOOPS; i++) {
            if (!fake_loop_idle(w->loops[i])) {
                fake_loop_turn(w->loops[i]);
                busy = true;
            }
        }
    }
}

void world_wait(struct world *w, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step = ms < STEP_MS ? ms : STEP_MS;
        w->clock.now_ms += step;
        ms -= step;
        world_settle(w);
    }
}

struct call {
    struct loop_task task;
    void (*fn)(void *arg);
    void *arg;
};

static void call_run(struct loop_task *task, struct loop *l)
{
    struct call *call = CONTAINER_OF(task, struct call, task);
    desk_worker(desk_of(l));
    call->fn(call->arg);
}

void world_call(struct world *w, unsigned loop, void (*fn)(void *arg), void *arg)
{
    struct call call = {.task = {.run = call_run}, .fn = fn, .arg = arg};

    loop_post(w->loops[loop], &call.task);
    fake_loop_turn(w->loops[loop]);
}

uint64_t world_now_ms(const struct world *w)
{
    return w->clock.now_ms;
}

void world_ledger(struct world *w, struct ledger_sum *sum)
{
    broker_ledger(w->broker, sum);
}

static bool count_queued(void *total, struct session *s)
{
    *(uint64_t *)total += session_queued(s);
    return true;
}

bool world_balances(struct world *w)
{
    struct ledger_sum sum;
    uint64_t queued = 0;

    world_ledger(w, &sum);
    sessions_each(w->broker->sessions, count_queued, &queued);
    return ledger_received(&sum) == ledger_refused(&sum) + sum.accepted &&
           ledger_waiting(&sum) == queued;
}

void world_sessions(struct world *w, uint64_t *total, uint64_t *connected)
{
    struct sessions_stats stats = sessions_stats(w->broker->sessions);
    *total = stats.total;
    *connected = stats.connected;
}
