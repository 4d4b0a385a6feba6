#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/restore.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/spill.h"
#include "dice.h"
#include "fake_host.h"
#include "front/client.h"
#include "front/desk.h"
#include "front/entrance.h"
#include "front/server.h"
#include "front/sys.h"
#include "net/loop.h"
#include "store/store.h"

enum { WORLD_MODULES = 8, STEP_MS = 250, SETTLE_MAX = 200000, BOOT_MS = 1000000, READS_MOST = 256 };

struct world {
    struct fake_clock clock;
    struct limits limits;
    struct depot *depot; /* NULL: nothing survives the broker */
    struct store *store;
    struct queue_read *reads[READS_MOST]; /* asked for, and not begun */
    unsigned read_count;
    struct broker *broker;
    struct loop *loops[WORLD_LOOPS];
    struct desk *desks[WORLD_LOOPS];
    struct door door;
    struct entrance entrance;
    struct host *host;
    struct skep_module *modules[WORLD_MODULES];
    size_t module_count;
    bool acl_allow;
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

static void read_queue(void *arg, struct queue_read *r)
{
    struct world *w = arg;

    ASSERT(w->read_count < READS_MOST);
    w->reads[w->read_count++] = r;
}

static const struct broker_ops broker_ops = {.post_flush = post_flush, .read_queue = read_queue};

static void turn_end(struct loop *l, void *desk)
{
    desk_turn_end(*(struct desk **)desk);
}

/* A turn of that loop, as its thread would know it. */
static void turn(struct world *w, unsigned at)
{
    host_enter(w->host, at);
    fake_loop_turn(w->loops[at]);
    host_here = NULL;
}

/* -- What happened -- */

static uint64_t fingerprint;

uint64_t world_fingerprint(void)
{
    uint64_t taken = fingerprint;
    fingerprint = 0;
    return taken;
}

static void note_what_happened(const struct ledger_sum *sum)
{
    uint64_t counts[sizeof *sum / sizeof(uint64_t)];

    memcpy(counts, sum, sizeof counts);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        fingerprint = dice_mix(fingerprint ^ counts[i]);
}

/* -- A broker, up and down -- */

static void on_settled(void *arg, unsigned worker)
{
    struct world *w = arg;

    desk_settled(w->desks[worker]);
}

static void take_up(struct world *w)
{
    struct worker *first = w->desks[0]->w;
    struct restore_stats stats;
    char why[512] = "";

    w->store = depot_open(w->depot);
    w->broker->store_offset_ms = store_clock_offset_ms(w->store);
    qsbr_online(first->slot);
    worker_turn_begin(first, w->clock.now_ms);
    ASSERT(restore_run(first, w->store, &stats, why, sizeof why) == 0);
    worker_turn_over(first);
    qsbr_quiescent(first->slot);
    qsbr_offline(first->slot);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        w->desks[i]->w->journal.store = w->store;
}

static void broker_up(struct world *w)
{
    struct worker *workers[WORLD_LOOPS];
    struct server_listener listener = {.listen = {.name = "sim"},
                                       .anonymous = true,
                                       .versions = VERSION_ALL,
                                       .connect_timeout_ms = 10000};

    w->broker = broker_new(&w->limits, &broker_ops, w);
    for (unsigned i = 0; i < WORLD_LOOPS; i++) {
        w->loops[i] = fake_loop_new(i, &w->clock, turn_end, &w->desks[i]);
        w->desks[i] = desk_new(w->broker, w->loops[i], &w->door);
        workers[i] = w->desks[i]->w;
    }
    w->host = fake_host_new(w->broker, w->loops, workers, WORLD_LOOPS);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        w->desks[i]->host = w->host;
    atomic_init(&w->entrance.policy, policy_new(w->host, &listener));
    world_modules(w, w->modules, w->module_count, w->acl_allow);
    w->sys = sys_new(w->desks[0], w->broker, 0);
    if (w->depot)
        take_up(w);
}

static void close_client(void *owner, void *arg)
{
    client_close(owner, CONN_SHUTDOWN);
}

static void close_clients(struct loop_task *task, struct loop *l)
{
    loop_each_owner(l, close_client, NULL);
}

static void stop_journal(struct loop_task *task, struct loop *l)
{
    journal_stop(desk_worker(desk_of(l)));
}

static void end_sessions(struct loop_task *task, struct loop *l)
{
    sessions_end_all(desk_worker(desk_of(l)));
}

static void on_each_loop(struct world *w, void (*run)(struct loop_task *task, struct loop *l))
{
    struct loop_task tasks[WORLD_LOOPS];

    for (unsigned i = 0; i < WORLD_LOOPS; i++) {
        tasks[i] = (struct loop_task){.run = run};
        loop_post(w->loops[i], &tasks[i]);
        turn(w, i);
    }
    world_settle(w);
}

/* As server.c goes about it, all wires being hung up. */
static void broker_down(struct world *w)
{
    struct loop_task end = {.run = end_sessions};
    struct ledger_sum sum;

    world_settle(w);
    on_each_loop(w, close_clients);
    ASSERT(world_balances(w));
    ASSERT(atomic_load(&w->door.connections) == 0 && atomic_load(&w->door.pending) == 0);
    ASSERT(sessions_stats(w->broker->sessions).connected == 0);
    on_each_loop(w, stop_journal);
    w->store = NULL;
    loop_post(w->loops[0], &end);
    world_settle(w);
    world_ledger(w, &sum);
    ASSERT(ledger_waiting(&sum) == 0);
    note_what_happened(&sum);
    if (w->depot)
        depot_close(w->depot);
    sys_free(&w->sys);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        fake_loop_free(&w->loops[i]);
    for (unsigned i = 0; i < WORLD_LOOPS; i++)
        desk_free(&w->desks[i]);
    policy_unref(w->entrance.policy);
    fake_host_free(&w->host);
    broker_free(&w->broker);
}

static struct world *world_make(const struct limits *limits)
{
    struct world *w = xcalloc(1, sizeof *w);

    hash_seed_set(1);
    w->clock.now_ms = BOOT_MS;
    w->limits = *limits;
    w->acl_allow = true;
    w->entrance.door = &w->door;
    w->entrance.name = "sim";
    w->entrance.address = "memory";
    return w;
}

struct world *world_new(const struct limits *limits)
{
    struct world *w = world_make(limits);

    broker_up(w);
    return w;
}

struct world *world_new_durable(const struct limits *limits)
{
    struct world *w = world_make(limits);

    w->depot = depot_new(&w->clock, on_settled, w);
    broker_up(w);
    return w;
}

void world_free(struct world **world)
{
    struct world *w = *world;

    broker_down(w);
    if (w->depot)
        depot_free(&w->depot);
    free(w);
    *world = NULL;
}

/* -- Modules -- */

void world_modules(struct world *w, struct skep_module *const *modules, size_t count,
                   bool acl_allow)
{
    ASSERT(count <= WORLD_MODULES);
    if (count > 0)
        memmove(w->modules, modules, count * sizeof(struct skep_module *));
    w->module_count = count;
    w->acl_allow = acl_allow;
    for (size_t i = 0; i < count; i++)
        modules[i]->host = w->host;
    fake_host_chain(w->host, "sim", modules, count, acl_allow);
    fake_host_chain(w->host, "", modules, count, acl_allow);
}

struct host *world_host(struct world *w)
{
    return w->host;
}

/* -- The store -- */

struct depot *world_depot(struct world *w)
{
    return w->depot;
}

void world_restart(struct world *w, uint64_t down_ms, bool reboot)
{
    broker_down(w);
    depot_pass(w->depot, down_ms);
    if (reboot) {
        uint64_t before_ms = w->clock.now_ms;
        w->clock.now_ms = BOOT_MS;
        depot_clock_set(w->depot, before_ms);
    }
    broker_up(w);
}

struct wire *world_dial(struct world *w, unsigned loop, bool shareable, size_t window)
{
    return wire_dial(w->loops[loop], &client_handler, &w->entrance, shareable, window);
}

void world_turn(struct world *w, unsigned loop)
{
    turn(w, loop);
}

/* What front/reader.c does on a thread of its own. */
static void read_queues(void *arg)
{
    struct world *w = arg;

    for (unsigned i = 0; i < w->read_count; i++)
        queue_read_run(w->reads[i], w->broker, w->store);
}

struct read_task {
    struct loop_task task;
    struct queue_read *read;
};

static void read_done(struct loop_task *task, struct loop *l)
{
    struct read_task *t = CONTAINER_OF(task, struct read_task, task);

    queue_read_done(desk_worker(desk_of(l)), t->read);
    free(t);
}

void world_commit(struct world *w)
{
    depot_step(w->depot);
    if (w->read_count == 0)
        return;
    depot_unattended(w->depot, read_queues, w);
    for (unsigned i = 0; i < w->read_count; i++) {
        struct read_task *t = xcalloc(1, sizeof *t);
        *t = (struct read_task){.task = {.run = read_done}, .read = w->reads[i]};
        loop_post(w->loops[queue_read_worker(t->read)], &t->task);
    }
    w->read_count = 0;
}

/* Something that was handed over has not settled, or is to be read back. */
static bool unsettled(const struct world *w)
{
    for (unsigned i = 0; w->store && i < WORLD_LOOPS; i++) {
        if (journal_backlog(w->desks[i]->w) > 0)
            return true;
    }
    return w->read_count > 0;
}

void world_settle(struct world *w)
{
    bool busy = true;

    for (unsigned turns = 0; busy; turns++) {
        ASSERT(turns < SETTLE_MAX); /* a loop that finds no rest */
        busy = false;
        for (unsigned i = 0; i < WORLD_LOOPS; i++) {
            if (!fake_loop_idle(w->loops[i])) {
                turn(w, i);
                busy = true;
            }
        }
        if (!busy && unsettled(w)) {
            world_commit(w);
            busy = true;
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
    turn(w, loop);
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
