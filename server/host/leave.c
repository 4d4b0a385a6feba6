/* The end of an instance.
 *
 *     stop() on the management loop
 *     every loop: a task, which posts itself once more, so that the turn in which a hook may have
 *         been running is over; then the loop lets go of what it knows of it (host_on_leave)
 *     life_tick(), once nobody but life itself holds it: services_quiesce(), and if that did not
 *         begin anything new, unload()
 *
 * The hold of life itself is never dropped, so that nobody frees what another thread is still
 * letting go of. */
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/crash.h"
#include "host/life_impl.h"
#include "host/services.h"
#include "net/loop.h"

enum { LIFE_STOP_MS = 2000 };

static void left(struct skep_module *m)
{
    struct host_life *life = m->host->life;

    if (atomic_fetch_sub(&m->leaving, 1) == 1)
        life_wake(life); /* m may be gone by now */
}

static void let_go(struct host_place *p, struct skep_module *m)
{
    for (unsigned i = 0; i < p->host->leave_count; i++)
        p->host->leave[i](p, m);
}

static void leave_management(struct skep_module *m)
{
    struct host_place *before = host_here;

    host_here = &m->host->places[m->host->loop_count];
    let_go(host_here, m);
    host_here = before;
}

struct leaving {
    struct loop_task task;
    struct host_place *place;
    struct skep_module *module;
    bool again;
};

static void leaving_run(struct loop_task *task, struct loop *l)
{
    struct leaving *t = CONTAINER_OF(task, struct leaving, task);

    if (!t->again) {
        t->again = true;
        loop_post(l, &t->task);
        return;
    }
    let_go(t->place, t->module);
    left(t->module);
    free(t);
}

static void stop_one(struct skep_module *m)
{
    struct blame mark = blame_begin(m, "stop");

    if (m->d->stop && !atomic_load(&m->stopped))
        m->d->stop(m->self);
    blame_end(mark);
    atomic_store(&m->stopped, true);
}

/* No client's loop runs: this thread stands in for each of them. */
static void leave_now(struct skep_module *m)
{
    struct host *h = m->host;
    struct host_place *before = host_here;

    for (unsigned i = 0; i < h->loop_count; i++) {
        host_here = &h->places[i];
        let_go(host_here, m);
    }
    host_here = before;
    life_on_management(m, leave_management);
    atomic_store(&m->leaving, 1);
    left(m);
}

static void leave_later(struct skep_module *m)
{
    struct host *h = m->host;

    atomic_store(&m->leaving, h->loop_count + 1);
    for (unsigned i = 0; i <= h->loop_count; i++) {
        struct leaving *t = xcalloc(1, sizeof *t);
        *t = (struct leaving){.task = {.run = leaving_run}, .place = &h->places[i], .module = m};
        loop_post(h->places[i].loop, &t->task);
    }
}

void leave_begin(struct skep_module *m, bool started)
{
    ASSERT(!m->going);
    m->going = true;
    if (started)
        life_on_management(m, stop_one);
    atomic_store(&m->stopped, true);
    if (m->host->serving)
        leave_later(m);
    else
        leave_now(m);
}

/* Whether nothing but its last call is left. */
static bool is_over(struct skep_module *m)
{
    if (!m->going || atomic_load(&m->leaving) > 0 || atomic_load(&m->holds) > 1)
        return false;
    services_quiesce(m);
    return atomic_load(&m->holds) == 1; /* else a timer fired meanwhile and began something */
}

static void unload_all(struct host_life *life)
{
    for (struct skep_module *m = life->living, *next; m; m = next) {
        next = m->next;
        if (is_over(m))
            life_unload(m);
    }
}

void host_post_main(struct host *h, struct host_main_task *t)
{
    t->next = atomic_load(&h->life->tasks);
    while (!atomic_compare_exchange_weak(&h->life->tasks, &t->next, t))
        ;
    life_wake(h->life);
}

static void run_tasks(struct host_life *life)
{
    struct host_main_task *newest = atomic_exchange(&life->tasks, NULL), *oldest = NULL;

    while (newest) {
        struct host_main_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct host_main_task *t = oldest;
        oldest = t->next;
        t->run(t);
    }
}

void life_tick(struct host *h)
{
    uint64_t count;
    ssize_t n = read(h->life->wake_fd, &count, sizeof count);

    (void)n;
    run_tasks(h->life);
    unload_all(h->life);
    qsbr_online(&h->main_slot);
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
}

static bool all_left(const struct host_life *life)
{
    for (const struct skep_module *m = life->living; m; m = m->next)
        if (atomic_load(&m->leaving) > 0)
            return false;
    return true;
}

void life_stop(struct host *h)
{
    struct host_life *life = h->life;
    uint64_t deadline = clock_mono_ms() + LIFE_STOP_MS;

    atomic_store(&h->stopping, true);
    life_empty(h);
    for (struct skep_module *m = life->living; m; m = m->next)
        if (!m->going)
            leave_begin(m, true);
    /* No task of ours may be on its way when the loops end. */
    while (!all_left(life))
        sched_yield();
    life_tick(h);
    while (life->living && h->serving && clock_mono_ms() < deadline) {
        struct pollfd fd = {.fd = life->wake_fd, .events = POLLIN};
        poll(&fd, 1, LIFE_STOP_MS / 100);
        life_tick(h);
    }
}

void life_end(struct host *h)
{
    for (struct skep_module *m = h->life->living; m; m = m->next)
        services_quiesce(m);
}

void life_close(struct host *h)
{
    struct host_life *life = h->life;

    for (struct skep_module *m = life->living, *next; m; m = next) {
        next = m->next;
        if (atomic_load(&m->holds) == 1)
            life_unload(m);
        else
            log_error("modules", "%s: still held %u times at the end, not unloaded", m->name,
                      atomic_load(&m->holds) - 1);
    }
    life_free(life);
    h->life = NULL;
}
