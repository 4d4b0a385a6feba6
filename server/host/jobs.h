/* The job pool: threads for work that may block.
 *
 * A job goes from the loop that asked to a thread of the pool and back:
 *
 *     jobs_submit() ──> queue ──> work() on a pool thread ──> done() on the loop that asked
 *
 * It holds its module's instance on the whole way.  The queue is bounded: work that comes faster
 * than the pool can do it is refused at the door rather than piled up.  Threads start with the
 * first job. */
#ifndef SKEP_HOST_JOBS_H
#define SKEP_HOST_JOBS_H

#include "host/instance.h"
#include "net/loop.h"

enum { JOBS_QUEUE_MAX = 16384 };

/* Inside the caller's struct, which must live until done is called.  Fill in work and done. */
struct job {
    struct loop_task task; /* the way back */
    struct job *next;
    struct host_place *place;
    struct skep_module *module;
    void (*work)(struct job *j);
    void (*done)(struct job *j); /* the job is the callee's again: it may free it */
    uint64_t queued_ns;
    _Atomic bool cancelled;
};

struct jobs_stats {
    unsigned threads, queued, running;
    uint64_t done, refused, cancelled; /* since the start */
    uint64_t waited_us;                /* in the queue, all together */
};

/* At the host's start and end.  jobs_stop: what is queued is done (cancelled jobs: not); then
 * nothing is taken any more.  Loops must still be there.  jobs_close: nobody submits any more. */
struct host_jobs *jobs_open(struct host *h);
void jobs_stop(struct host_jobs *pool);
void jobs_close(struct host_jobs **pool);

/* 0, or ERR_LIMIT: the queue is full (or the host is ending), nothing was or will be called.  Any
 * thread; done runs on the calling thread's loop or, if it has none, on the management loop. */
int jobs_submit(struct host *h, struct skep_module *m, struct job *j);

/* Nobody wants the result: if work has not begun it will be left out.  done is called all the
 * same.  From the thread that submitted it, before done. */
void jobs_cancel(struct job *j);

/* Any thread. */
void jobs_stats(struct host *h, struct jobs_stats *out);

#endif
