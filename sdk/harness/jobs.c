/* host/jobs.h without threads: a job runs when the world does, on the test's thread, where no loop
 * is current. */
#include "host/jobs.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/refuse.h"
#include "world.h"

struct host_jobs {
    struct job *first, **last;
    struct jobs_stats stats;
    bool closed;
};

static struct {
    struct host_jobs *pool;
    bool wait;
} jobs;

struct host_jobs *jobs_open(struct host *h)
{
    struct host_jobs *pool = xcalloc(1, sizeof *pool);

    pool->last = &pool->first;
    pool->stats.threads = 1;
    jobs.pool = pool;
    jobs.wait = false;
    return pool;
}

static void came_back(struct loop_task *task, struct loop *l)
{
    struct job *j = CONTAINER_OF(task, struct job, task);
    struct skep_module *m = j->module;

    j->done(j);
    instance_release(m);
}

static void job_run(struct host_jobs *pool, struct job *j)
{
    pool->first = j->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->stats.queued--;
    if (atomic_load(&j->cancelled)) {
        pool->stats.cancelled++;
    } else {
        j->work(j);
        pool->stats.done++;
    }
    loop_post(j->place->loop, &j->task);
}

static bool pool_run(struct host_jobs *pool)
{
    bool any = pool->first;

    while (pool->first)
        job_run(pool, pool->first);
    return any;
}

void world_jobs_wait(bool wait)
{
    jobs.wait = wait;
}

void world_jobs_abandon(void)
{
    jobs.pool = NULL;
}

bool world_jobs_waiting(void)
{
    return jobs.wait;
}

bool world_jobs_run(void)
{
    return jobs.pool && pool_run(jobs.pool);
}

int jobs_submit(struct host *h, struct skep_module *m, struct job *j)
{
    struct host_jobs *pool = h->jobs;

    if (pool->closed || pool->stats.queued >= JOBS_QUEUE_MAX || host_refuses()) {
        pool->stats.refused++;
        return ERR_LIMIT;
    }
    j->task.run = came_back;
    j->next = NULL;
    j->place = host_place(h);
    j->module = m;
    atomic_store(&j->cancelled, false);
    instance_hold(m);
    *pool->last = j;
    pool->last = &j->next;
    pool->stats.queued++;
    return 0;
}

void jobs_cancel(struct job *j)
{
    atomic_store(&j->cancelled, true);
}

void jobs_stop(struct host_jobs *pool)
{
    pool->closed = true;
    pool_run(pool);
}

void jobs_close(struct host_jobs **pool)
{
    if (*pool && jobs.pool == *pool)
        jobs.pool = NULL;
    free(*pool);
    *pool = NULL;
}

void jobs_stats(struct host *h, struct jobs_stats *out)
{
    *out = h->jobs->stats;
}
