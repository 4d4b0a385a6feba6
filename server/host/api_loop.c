/* <skep/loop.h>: where one is, what time it is, tasks, jobs. */
#include "host/api_loop.h"

#include <skep/loop.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/jobs.h"
#include "host/services.h"

unsigned skep_loop_count(const struct skep_module *m)
{
    return m->host->loop_count;
}

unsigned skep_loop_here(void)
{
    if (!host_here)
        return SKEP_NO_LOOP;
    return host_here->index == HOST_MANAGEMENT ? (unsigned)SKEP_MANAGEMENT : host_here->index;
}

uint64_t skep_now_ms(void)
{
    return host_here ? loop_now_ms(host_here->loop) : clock_mono_ms();
}

uint64_t skep_wall_ms(void)
{
    return host_here ? loop_wall_ms(host_here->loop) : clock_wall_ms();
}

/* Tasks.  One is in its module's list until its loop claims it to run it, or tasks_take_back()
 * does to drop it: whoever claims it owns the call and the hold on the instance.  The memory is
 * freed by the loop in any case, since it is in the loop's inbox; by then the module of a task
 * that was taken back may be gone. */

enum posted_state { POSTED_WAITS, POSTED_RUNS, POSTED_TAKEN_BACK };

struct posted {
    struct loop_task task;
    struct skep_module *module;
    void (*fn)(void *arg);
    void (*drop)(void *arg);
    void *arg;
    _Atomic int state;
    struct posted *next, **link;
};

static bool claim(struct posted *p, enum posted_state state)
{
    int waits = POSTED_WAITS;
    return atomic_compare_exchange_strong(&p->state, &waits, (int)state);
}

/* With the list's lock. */
static void list_put(struct module_things *things, struct posted *p)
{
    p->next = things->tasks;
    p->link = &things->tasks;
    if (p->next)
        p->next->link = &p->next;
    things->tasks = p;
}

static void list_cut(struct posted *next, struct posted **link)
{
    *link = next;
    if (next)
        next->link = link;
}

static void run_posted(struct loop_task *task, struct loop *l)
{
    struct posted *p = CONTAINER_OF(task, struct posted, task);
    struct skep_module *m = p->module;

    if (claim(p, POSTED_RUNS)) {
        lock_take(&m->things.lock);
        list_cut(p->next, p->link);
        lock_drop(&m->things.lock);
        void (*fn)(void *) = atomic_load(&m->host->ending) ? p->drop : p->fn;
        struct blame before = blame_begin(m, "task");
        if (fn)
            fn(p->arg);
        blame_end(before);
        instance_release(m);
    }
    free(p);
}

void skep_post(struct skep_module *m, unsigned loop, void (*fn)(void *arg), void *arg,
               void (*drop)(void *arg))
{
    struct host *h = m->host;
    unsigned at = loop == SKEP_MANAGEMENT ? h->loop_count : loop;

    bool there = loop == SKEP_MANAGEMENT || loop < h->loop_count;

    if (!there)
        log_error("host", "module %s posts to loop %u, which is not there", m->name, loop);
    if (!there || atomic_load(&h->ending) || atomic_load(&m->things.quiet)) {
        if (drop)
            drop(arg);
        return;
    }
    struct posted *p = xmalloc(sizeof *p);
    *p = (struct posted){.task.run = run_posted, .module = m, .fn = fn, .drop = drop, .arg = arg};
    instance_hold(m);
    lock_take(&m->things.lock);
    list_put(&m->things, p);
    lock_drop(&m->things.lock);
    loop_post(h->places[at].loop, &p->task);
}

/* Takes one task out of the list; the loop may free it as soon as it is claimed. */
static bool take_one(struct module_things *things, struct posted *out)
{
    bool found = false;

    lock_take(&things->lock);
    for (struct posted *p = things->tasks; p && !found;) {
        struct posted *next = p->next, **link = p->link;
        *out = (struct posted){.drop = p->drop, .arg = p->arg};
        found = claim(p, POSTED_TAKEN_BACK);
        if (found)
            list_cut(next, link);
        p = next;
    }
    lock_drop(&things->lock);
    return found;
}

void tasks_take_back(struct skep_module *m)
{
    struct posted taken;

    while (take_one(&m->things, &taken)) {
        if (taken.drop)
            taken.drop(taken.arg);
        instance_release(m);
    }
}

/* Jobs */

struct module_job {
    struct job job;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void job_work(struct job *j)
{
    struct module_job *mj = CONTAINER_OF(j, struct module_job, job);
    mj->work(mj->arg);
}

static void job_done(struct job *j)
{
    struct module_job *mj = CONTAINER_OF(j, struct module_job, job);
    struct blame before = blame_begin(j->module, "job done");

    if (mj->done)
        mj->done(mj->arg);
    blame_end(before);
    free(mj);
}

int skep_job(struct skep_module *m, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct module_job *mj = xcalloc(1, sizeof *mj);

    *mj = (struct module_job){
        .job = {.work = job_work, .done = job_done}, .work = work, .done = done, .arg = arg};
    if (jobs_submit(m->host, m, &mj->job) == 0)
        return 0;
    free(mj);
    return SKEP_E_LIMIT;
}
