/* net/loop.h on the clock of the world: a turn happens when world_run() finds something to do.
 *
 * Descriptors are looked at without waiting.  loop_post() may come from another thread (the
 * storage's): the inbox has a lock. */
#include "net/loop.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/host.h"
#include "loop_impl.h"
#include "world.h"

enum { TIMERS_PER_TURN = 4096, TURNS_MOST = 100000 };

static struct loop *loops, *current;
static struct {
    void (*fn)(struct loop *l, bool begins, void *arg);
    void *arg;
} around;

void world_on_turn(void (*fn)(struct loop *l, bool begins, void *arg), void *arg)
{
    around.fn = fn;
    around.arg = arg;
}

/* -- What a loop tells of itself -- */

struct loop *loop_current(void)
{
    return current;
}

unsigned loop_index(const struct loop *l)
{
    return l->index;
}

void *loop_user(const struct loop *l)
{
    return l->user;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

uint64_t loop_wall_ms(const struct loop *l)
{
    return l->now_ms + world_clock.wall_offset_ms;
}

struct wheel *loop_wheel(struct loop *l)
{
    return &l->wheel;
}

struct qsbr_slot *loop_qsbr(struct loop *l)
{
    return &l->qsbr;
}

void loop_again(struct loop *l)
{
    l->again = true;
}

void loop_stats(const struct loop *l, struct loop_stats *out)
{
    *out = (struct loop_stats){.turns = l->turns};
}

void loop_each_owner(struct loop *l, void (*fn)(void *owner, void *arg), void *arg)
{
    /* A loop of the harness has no connections. */
}

/* -- The inbox -- */

void loop_post(struct loop *l, struct loop_task *task)
{
    task->next = NULL;
    lock_take(&l->lock);
    *l->inbox_last = task;
    l->inbox_last = &task->next;
    lock_drop(&l->lock);
}

static struct loop_task *inbox_take(struct loop *l)
{
    lock_take(&l->lock);
    struct loop_task *first = l->inbox;
    l->inbox = NULL;
    l->inbox_last = &l->inbox;
    lock_drop(&l->lock);
    return first;
}

static bool inbox_empty(struct loop *l)
{
    lock_take(&l->lock);
    bool empty = !l->inbox;
    lock_drop(&l->lock);
    return empty;
}

static void inbox_run(struct loop *l)
{
    struct loop_task *task = inbox_take(l), *next;

    for (; task; task = next) {
        next = task->next;
        task->run(task, l);
    }
}

/* -- Turns -- */

static void turn_begin(struct loop *l)
{
    ASSERT(!current);
    current = l;
    qsbr_online(&l->qsbr);
    l->now_ms = world_clock.mono_ms;
    l->turns++;
    if (around.fn)
        around.fn(l, true, around.arg);
}

static void turn_end(struct loop *l)
{
    if (l->hooks.turn_end)
        l->hooks.turn_end(l, l->user);
    if (around.fn)
        around.fn(l, false, around.arg);
    qsbr_quiescent(&l->qsbr);
    qsbr_offline(&l->qsbr);
    current = NULL;
}

static void turn(struct loop *l)
{
    turn_begin(l);
    l->again = false;
    watches_run(l);
    inbox_run(l);
    wheel_advance(&l->wheel, l->now_ms, TIMERS_PER_TURN);
    turn_end(l);
}

void loop_turn(struct loop *l, int max_ms)
{
    event_base_loop(l->base, EVLOOP_NONBLOCK);
    turn(l);
}

void world_as(struct loop *l, void (*fn)(void *arg), void *arg)
{
    if (current == l) {
        fn(arg);
        return;
    }
    turn_begin(l);
    fn(arg);
    turn_end(l);
}

static bool loop_busy(struct loop *l)
{
    event_base_loop(l->base, EVLOOP_NONBLOCK);
    return l->fired || l->again || !inbox_empty(l) ||
           wheel_next_due_ms(&l->wheel) <= world_clock.mono_ms;
}

void world_run(void)
{
    bool any;
    unsigned turns = 0;

    do {
        any = !world_jobs_waiting() && world_jobs_run();
        for (struct loop *l = loops; l; l = l->next) {
            if (loop_busy(l)) {
                turn(l);
                any = true;
            }
        }
        if (++turns > TURNS_MOST) {
            test_fault("the module never comes to rest: tasks, timers of 0 ms or watches go on for "
                       "ever");
            return;
        }
    } while (any);
}

static uint64_t next_due(void)
{
    uint64_t due = WHEEL_NEVER;

    for (struct loop *l = loops; l; l = l->next) {
        uint64_t one = wheel_next_due_ms(&l->wheel);
        due = one < due ? one : due;
    }
    return due;
}

void world_pass(uint64_t until_ms)
{
    world_run();
    for (uint64_t due = next_due(); due <= until_ms; due = next_due()) {
        if (due > world_clock.mono_ms)
            world_clock.mono_ms = due;
        world_run();
    }
    if (until_ms > world_clock.mono_ms)
        world_clock.mono_ms = until_ms;
    world_run();
}

void world_abandon(void)
{
    loops = current = NULL;
    around.fn = NULL;
    host_here = NULL;
    world_jobs_abandon();
    world_http_abandon();
    world_net_abandon();
    world_storage_reset();
    world_refuse(0);
}

/* -- Life -- */

int loop_open(struct loop **out, unsigned index, const struct loop_hooks *hooks, void *user)
{
    struct loop *l = xcalloc(1, sizeof *l), **last = &loops;

    l->base = event_base_new();
    if (!l->base) {
        free(l);
        return ERR_SYSTEM;
    }
    l->index = index;
    l->hooks = hooks ? *hooks : (struct loop_hooks){0};
    l->user = user;
    l->now_ms = world_clock.mono_ms;
    l->inbox_last = &l->inbox;
    wheel_init(&l->wheel, l->now_ms);
    qsbr_join(&l->qsbr);
    qsbr_offline(&l->qsbr);
    while (*last)
        last = &(*last)->next;
    *last = l;
    *out = l;
    return 0;
}

int loop_start(struct loop *l)
{
    return 0;
}

void loop_stop(struct loop *l)
{
    if (!current)
        world_run();
}

struct call {
    struct loop *loop;
    void (*fn)(struct loop *l, void *arg);
    void *arg;
};

static void call_run(void *arg)
{
    struct call *call = arg;
    call->fn(call->loop, call->arg);
}

/* Main asks for it; on the loop's own thread it is a plain call. */
void loop_call(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg)
{
    world_as(l, call_run, &(struct call){l, fn, arg});
}

/* As the broker's: runs what was still posted. */
void loop_free(struct loop **loop)
{
    struct loop *l = *loop, **at = &loops;

    if (!l)
        return;
    turn_begin(l);
    while (!inbox_empty(l))
        inbox_run(l);
    turn_end(l);
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    qsbr_online(&l->qsbr);
    qsbr_leave(&l->qsbr);
    event_base_free(l->base);
    free(l);
    *loop = NULL;
}
