/* <skep/loop.h>: timers.  A timer belongs to its place's thread; its module's list has a lock,
 * because modules make timers on all loops. */
#include <skep/loop.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/api_loop.h"
#include "host/services.h"
#include "host/timer.h"

struct skep_timer {
    struct host_timer timer;
    struct skep_module *module;
    struct host_place *place;
    void (*fn)(void *arg);
    void *arg;
    bool detached;                   /* the module is quiet: no loop knows the timer any more */
    struct skep_timer *next, **link; /* the module's list */
};

/* Its fn may free the timer. */
static void fired(struct host_timer *timer)
{
    struct skep_timer *t = CONTAINER_OF(timer, struct skep_timer, timer);
    struct blame before = blame_begin(t->module, "timer");

    t->fn(t->arg);
    blame_end(before);
}

struct skep_timer *skep_timer_new(struct skep_module *m, void (*fn)(void *arg), void *arg)
{
    struct skep_timer *t = xcalloc(1, sizeof *t);

    *t = (struct skep_timer){
        .timer.fn = fired, .module = m, .place = host_place(m->host), .fn = fn, .arg = arg};
    lock_take(&m->things.lock);
    t->detached = atomic_load(&m->things.quiet);
    t->next = m->things.timers;
    t->link = &m->things.timers;
    if (t->next)
        t->next->link = &t->next;
    m->things.timers = t;
    lock_drop(&m->things.lock);
    return t;
}

/* A timer that is not detached is its loop's. */
static bool may_touch(const struct skep_timer *t)
{
    if (host_here == t->place)
        return true;
    log_limited(LOG_LEVEL_ERROR, "host",
                "module %s uses a timer outside of its loop: it is left as it is", t->module->name);
    return false;
}

void skep_timer_set(struct skep_timer *t, uint64_t ms)
{
    if (!t->detached && may_touch(t) && !atomic_load(&t->module->things.quiet))
        host_timer_set(t->place, &t->timer, ms);
}

void skep_timer_cancel(struct skep_timer *t)
{
    if (!t->detached && may_touch(t))
        host_timer_cancel(t->place, &t->timer);
}

/* With the list's lock. */
static void unlink_timer(struct skep_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
}

void skep_timer_free(struct skep_timer *t)
{
    if (!t)
        return;
    struct module_things *things = &t->module->things;
    if (!t->detached) {
        if (!may_touch(t))
            return;
        host_timer_cancel(t->place, &t->timer);
    }
    lock_take(&things->lock);
    unlink_timer(t);
    lock_drop(&things->lock);
    free(t);
}

void timers_quiesce(struct skep_module *m, struct host_place *p)
{
    lock_take(&m->things.lock);
    for (struct skep_timer *t = m->things.timers; t; t = t->next) {
        if (t->place == p) {
            host_timer_cancel(p, &t->timer);
            t->detached = true;
        }
    }
    lock_drop(&m->things.lock);
}

unsigned timers_forget(struct skep_module *m)
{
    unsigned count = 0;

    while (m->things.timers) {
        struct skep_timer *t = m->things.timers;
        unlink_timer(t);
        free(t);
        count++;
    }
    return count;
}
