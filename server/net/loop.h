/* One thread, one event loop.
 *
 * A loop owns a lock-free libevent base, the connections given to it for life, one
 * read buffer they share, a timing wheel, an inbox of tasks and a qsbr slot.  It
 * works in turns:
 *
 *   1. poll: sleeps until something happens or the next timer is due.  The slot is
 *      offline meanwhile; libevent callbacks only note who is ready
 *   2. the clock is read, once
 *   3. watches run, then each ready connection is read once and its data handed up
 *   4. the inbox is drained (only what was in it when this step began)
 *   5. timers run
 *   6. turn_end(): the user flushes what became dirty
 *   7. killed connections are reaped (their closed() runs here), qsbr_quiescent()
 *
 * A connection that has more to do stays ready, and the next poll does not sleep.
 *
 * Threads: loop_post() and loop_index() from anywhere; everything else from the
 * loop's own thread, or from the creator before loop_start() and after loop_stop(). */
#ifndef SKEP_NET_LOOP_H
#define SKEP_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct qsbr_slot;
struct wheel;

enum { LOOP_READ_SIZE = 65536, LOOP_MAX = 256 };

/* Intrusive work for a loop.  The poster owns the memory; once run() is called it
 * belongs to run(), which may free it or post it again.  Tasks of one poster run in
 * the order of posting. */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *self, struct loop *l);
};

/* All members may be NULL.  begin and end run on the loop's thread, first and last. */
struct loop_hooks {
    void (*begin)(struct loop *l, void *user);
    void (*turn_end)(struct loop *l, void *user);
    void (*end)(struct loop *l, void *user);
};

/* Counted since the start; written by the loop alone, readable from any thread. */
struct loop_stats {
    uint64_t turns;
    uint64_t reads, bytes_in;
    uint64_t writes, bytes_out; /* by this thread, on whosever connection */
    uint64_t connections;       /* now, those still shaking hands included */
    uint64_t handshakes;        /* TLS handshakes completed */
    uint64_t cpu_ns;            /* of the loop's thread; 0 when it has none */
};

/* index < LOOP_MAX is unique among open loops and names the thread "loop-N".  hooks
 * is copied.  Fails with ERR_SYSTEM (errno set) or ERR_EXISTS. */
int loop_open(struct loop **out, unsigned index, const struct loop_hooks *hooks, void *user);

/* Reaps every connection (closed() with CONN_SHUTDOWN), then frees.  The loop must be
 * stopped or never started, and the caller's own qsbr slot offline. */
void loop_free(struct loop **l);

/* Runs the loop on a thread of its own.  0 or ERR_SYSTEM. */
int loop_start(struct loop *l);

/* Asks the loop to end after its current turn, and waits for its thread.  Its
 * connections stay open, unserved, until loop_free(). */
void loop_stop(struct loop *l);

/* One turn on the calling thread, sleeping at most max_ms (-1: until something
 * happens); for tests and for a main thread with a loop of its own.  The caller
 * becomes the loop's thread; not for a started loop. */
void loop_turn(struct loop *l, int max_ms);

/* Any thread.  The task runs on the loop within its next turn; wakes the loop only
 * if it sleeps.  After loop_stop() tasks wait for loop_free(), which runs them. */
void loop_post(struct loop *l, struct loop_task *task);

/* Any thread but another loop's: runs fn on the loop and waits for it to return.  While
 * the loop is not started (or stopped), on the calling thread. */
void loop_call(struct loop *l, void (*fn)(struct loop *l, void *arg), void *arg);

/* The loop of the calling thread, or NULL. */
struct loop *loop_current(void);

unsigned loop_index(const struct loop *l);
void *loop_user(const struct loop *l);

/* The time, read once a turn. */
uint64_t loop_now_ms(const struct loop *l);  /* monotonic */
uint64_t loop_wall_ms(const struct loop *l); /* since 1970 UTC */

/* Timers of base/wheel.h, in milliseconds of loop_now_ms().  The loop advances it.
 * Kinds from LOOP_WHEEL_KINDS up are net's own. */
enum { LOOP_WHEEL_KINDS = 12 };
struct wheel *loop_wheel(struct loop *l);

/* For readers of shared structures and for qsbr_retire() on this loop. */
struct qsbr_slot *loop_qsbr(struct loop *l);

/* Any thread: the counters as of now. */
void loop_stats(const struct loop *l, struct loop_stats *out);

/* Calls fn with the owner of every connection that is up and not being killed.  fn may kill
 * connections; it must not adopt any. */
void loop_each_owner(struct loop *l, void (*fn)(void *owner, void *arg), void *arg);

/* Makes the next poll not sleep, so that turn_end() runs again: for work cut into slices. */
void loop_again(struct loop *l);

/* Watching a descriptor that is not a connection (control socket, signalfd).
 * Level-triggered; fn runs in step 3.  The descriptor stays the caller's. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void loop_watch_fn(struct loop *l, int fd, unsigned what, void *arg);

struct loop_watch;

/* what: 0 for none for now. */
int loop_watch_start(struct loop_watch **out, struct loop *l, int fd, unsigned what,
                     loop_watch_fn *fn, void *arg);
/* Other events from now on; what has fired and is not wanted any more is forgotten.  ERR_SYSTEM: it
 * watches for nothing. */
int loop_watch_set(struct loop_watch *w, unsigned what);
/* Also from inside fn.  Accepts NULL. */
void loop_watch_stop(struct loop_watch **w);

#endif
