/* Threads: tasks, timers, descriptors and jobs.
 *
 * Loops are numbered from 0 to skep_loop_count() - 1; SKEP_MANAGEMENT is the management loop. */
#ifndef SKEP_LOOP_H
#define SKEP_LOOP_H

#include <skep/base.h>

SKEP_BEGIN

enum { SKEP_MANAGEMENT = 0xffff, SKEP_NO_LOOP = 0xfffe };

/* Loops that serve clients. */
SKEP_EXPORT unsigned skep_loop_count(const struct skep_module *m);
/* The loop of the calling thread: a number, SKEP_MANAGEMENT, or SKEP_NO_LOOP (main, a job). */
SKEP_EXPORT unsigned skep_loop_here(void);

/* Monotonic milliseconds, read once a turn on a loop. */
SKEP_EXPORT uint64_t skep_now_ms(void);
/* Milliseconds since 1970 UTC. */
SKEP_EXPORT uint64_t skep_wall_ms(void);

/* Runs fn(arg) on that loop, soon.  Any thread.  Tasks of one thread for one loop keep their order.
 * All of a module's tasks have run or been taken back before unload(): then drop(arg) is called
 * instead of fn (on any thread), unless it is NULL. */
SKEP_EXPORT void skep_post(struct skep_module *m, unsigned loop, void (*fn)(void *arg), void *arg,
                           void (*drop)(void *arg));

/* -- Timers: of the loop on which they are made (from start(): the management loop), and to be
 * used on that one only.  Accurate to some 10 ms; by skep_now_ms() never early.  None fires once
 * unload() begins, which may free timers and watches whatever their loop was. -- */
struct skep_timer;
/* A timer that is not set. */
SKEP_EXPORT struct skep_timer *skep_timer_new(struct skep_module *m, void (*fn)(void *arg),
                                              void *arg);
/* Once, so many milliseconds from now; replaces what was set. */
SKEP_EXPORT void skep_timer_set(struct skep_timer *t, uint64_t ms);
/* It does not fire any more, until it is set again. */
SKEP_EXPORT void skep_timer_cancel(struct skep_timer *t);
/* Also from its own fn.  Accepts NULL. */
SKEP_EXPORT void skep_timer_free(struct skep_timer *t);

/* -- Descriptors: of the loop on which the watch is made.  Level-triggered; the descriptor stays
 * the module's. -- */
struct skep_watch;
enum { SKEP_READABLE = 1, SKEP_WRITABLE = 2 };
/* NULL: the system refused, or this thread is no loop's. */
SKEP_EXPORT struct skep_watch *skep_watch_new(struct skep_module *m, int fd, unsigned what,
                                              void (*fn)(int fd, unsigned what, void *arg),
                                              void *arg);
/* Other events, 0 for none for now. */
SKEP_EXPORT void skep_watch_set(struct skep_watch *w, unsigned what);
/* Also from its own fn.  Accepts NULL. */
SKEP_EXPORT void skep_watch_free(struct skep_watch *w);

/* -- Jobs: work that may block, in a pool of threads of its own -- */

/* Runs work(arg) in the pool, then done(arg) on the loop that asked (the management loop, if none
 * did), which may be NULL.  Any thread.  SKEP_E_LIMIT: the pool's queue is full, nothing was or
 * will be called.  Every job is done before unload(). */
SKEP_EXPORT int skep_job(struct skep_module *m, void (*work)(void *arg), void (*done)(void *arg),
                         void *arg);

/* Looks a name up ("example.com:8883", "[::1]:1883") in the pool; calls done on the loop that asked
 * with up to 8 addresses (struct sockaddr, skep_str of its bytes each), or count 0 and a reason.
 * SKEP_E_INVALID: not of that form; SKEP_E_LIMIT as above. */
SKEP_EXPORT int skep_resolve(struct skep_module *m, const char *host_and_port,
                             void (*done)(void *arg, const struct skep_str *addresses, size_t count,
                                          const char *error),
                             void *arg);

SKEP_END
#endif
