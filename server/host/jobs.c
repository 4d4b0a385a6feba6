#include "host/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/crash.h"

enum { THREADS_MAX = 64 };

struct host_jobs {
    struct host *host;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *first, **last;
    unsigned queued, running, wanted, threads;
    bool closing;
    uint64_t done, refused, cancelled, waited_ns;
    pthread_t ids[THREADS_MAX];
};

struct host_jobs *jobs_open(struct host *h)
{
    struct host_jobs *pool = xcalloc(1, sizeof *pool);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    pool->host = h;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->last = &pool->first;
    pool->wanted = cores < 2 ? 2 : cores > THREADS_MAX ? THREADS_MAX : (unsigned)cores;
    return pool;
}

/* The way back ends here, on the loop that asked. */
static void came_back(struct loop_task *task, struct loop *l)
{
    struct job *j = CONTAINER_OF(task, struct job, task);
    struct skep_module *m = j->module;

    j->done(j);
    instance_release(m);
}

/* With the lock; NULL: the pool is closing and nothing is queued. */
static struct job *next_job(struct host_jobs *pool)
{
    while (!pool->first) {
        if (pool->closing)
            return NULL;
        pthread_cond_wait(&pool->work, &pool->lock);
    }
    struct job *j = pool->first;
    pool->first = j->next;
    if (!pool->first)
        pool->last = &pool->first;
    pool->queued--;
    pool->running++;
    pool->waited_ns += clock_mono_ns() - j->queued_ns;
    return j;
}

static void do_work(struct job *j)
{
    struct blame before = blame_begin(j->module, "job");

    j->work(j);
    blame_end(before);
}

static void *pool_main(void *arg)
{
    struct host_jobs *pool = arg;
    struct job *j;

    pthread_setname_np(pthread_self(), "job");
    crash_thread();
    pthread_mutex_lock(&pool->lock);
    while ((j = next_job(pool))) {
        pthread_mutex_unlock(&pool->lock);
        bool cancelled = atomic_load(&j->cancelled);
        if (!cancelled)
            do_work(j);
        pthread_mutex_lock(&pool->lock);
        /* Counted before it is handed back: whoever saw done() run sees it counted. */
        pool->running--;
        pool->done += !cancelled;
        pool->cancelled += cancelled;
        pthread_mutex_unlock(&pool->lock);
        loop_post(j->place->loop, &j->task);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the main thread; those of a crash go where they happen. */
static int start_thread(struct host_jobs *pool)
{
    sigset_t all, before;

    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&pool->ids[pool->threads], NULL, pool_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err)
        return ERR_SYSTEM;
    pool->threads++;
    return 0;
}

/* With the lock.  Fewer threads than wanted is no failure, none at all is. */
static int start_threads(struct host_jobs *pool)
{
    while (pool->threads < pool->wanted) {
        if (start_thread(pool) < 0) {
            log_limited(LOG_LEVEL_ERROR, "host", "cannot start a thread for jobs");
            break;
        }
    }
    return pool->threads > 0 ? 0 : ERR_LIMIT;
}

static int enqueue(struct host_jobs *pool, struct job *j)
{
    if (pool->closing || pool->queued >= JOBS_QUEUE_MAX || start_threads(pool) < 0) {
        pool->refused++;
        return ERR_LIMIT;
    }
    *pool->last = j;
    pool->last = &j->next;
    pool->queued++;
    pthread_cond_signal(&pool->work);
    return 0;
}

int jobs_submit(struct host *h, struct skep_module *m, struct job *j)
{
    struct host_jobs *pool = h->jobs;

    j->task.run = came_back;
    j->next = NULL;
    j->place = host_place(h);
    j->module = m;
    j->queued_ns = clock_mono_ns();
    atomic_store(&j->cancelled, false);
    instance_hold(m);
    pthread_mutex_lock(&pool->lock);
    int err = enqueue(pool, j);
    pthread_mutex_unlock(&pool->lock);
    if (err < 0)
        instance_release(m);
    return err;
}

void jobs_cancel(struct job *j)
{
    atomic_store(&j->cancelled, true);
}

void jobs_stop(struct host_jobs *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    pool->threads = 0;
}

void jobs_close(struct host_jobs **poolp)
{
    struct host_jobs *pool = *poolp;

    if (!pool)
        return;
    jobs_stop(pool);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    *poolp = NULL;
}

void jobs_stats(struct host *h, struct jobs_stats *out)
{
    struct host_jobs *pool = h->jobs;

    pthread_mutex_lock(&pool->lock);
    *out = (struct jobs_stats){
        .threads = pool->threads,
        .queued = pool->queued,
        .running = pool->running,
        .done = pool->done,
        .refused = pool->refused,
        .cancelled = pool->cancelled,
        .waited_us = pool->waited_ns / 1000,
    };
    pthread_mutex_unlock(&pool->lock);
}
