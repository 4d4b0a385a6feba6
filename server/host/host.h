/* The module host: what is loaded, and what modules get from the broker.
 *
 *   instance.h   one loaded module (the SDK's struct skep_module)
 *   chain.h      who is asked, in which order, at which listener
 *   decide.h     one decision after another, for front: requests, waiting, verdicts
 *   event.h      the stream of events
 *   api_*.c      the functions of sdk/include/skep, a file for each header
 *
 * Threads: each loop has a `struct host_place`, found through host_here by the functions of the
 * SDK.  Modules are loaded and unloaded on the main thread, started and stopped on the management
 * loop, asked on the clients' loops.  What readers on loops reach through an atomic pointer is
 * retired through base/qsbr.h. */
#ifndef SKEP_HOST_HOST_H
#define SKEP_HOST_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/qsbr.h"

struct broker;
struct chain_slot;
struct host_alarms;
struct host_http;
struct host_jobs;
struct host_life;
struct host_metrics;
struct host_client;
struct host_storage;
struct listeners;
struct loop;
struct skep_http_server;
struct skep_request;
struct roll;
struct skep_module;
struct traces;
struct traffic;
struct worker;

enum { HOST_MANAGEMENT = 0xffff, HOST_TIMER_KIND = 3, HOST_LEAVE_MAX = 8 };

/* A loop as the host sees it.  Its own thread's, but for `loop`. */
struct host_place {
    struct host *host;
    struct loop *loop;
    struct worker *worker;           /* NULL on the management loop */
    unsigned index;                  /* of the loop, or HOST_MANAGEMENT */
    struct host_http *http;          /* NULL until the first request */
    struct traffic *traffic;         /* NULL on the management loop */
    unsigned within;                 /* see traffic_within_begin() */
    const struct skep_module *asked; /* whose hook is running, for the crash report */
    const char *hook;
    struct skep_request *spare_requests; /* host/request.h */
    struct host_client *clients;         /* host/decide.h */
};

/* A loop lets go of what it holds of a module that was stopped: timers, watches, slots, ... */
typedef void host_leave_fn(struct host_place *p, struct skep_module *m);

struct host {
    struct broker *broker;
    unsigned loop_count;
    struct host_place *places; /* loop_count of them, then the management loop's */
    struct loop *management;
    char *data_dir;          /* absolute; NULL: nowhere (tests) */
    _Atomic uint64_t events; /* kinds (1 << SKEP_EVENT_*) that somebody wants: event.c sums up */
    uint64_t module_events;  /* those of modules; this and the next under listen_lock */
    _Atomic(struct listeners *) listeners;
    pthread_mutex_t listen_lock;
    struct traces *traces;
    _Atomic uint32_t verdicts;  /* generation of remembered verdicts: older ones are void */
    struct chain_slot *chains;  /* never shrinks */
    struct chain_slot *nowhere; /* of those who came through no listener that still is */
    struct lock chains_lock;
    _Atomic bool receive_rules;  /* a client has, or had, rules about what it may receive */
    _Atomic(struct roll *) roll; /* all instances in force; see instance.h */
    _Atomic unsigned next_loop;  /* for SKEP_ANY_LOOP */
    bool serving;                /* the clients' loops run.  Main thread */
    host_leave_fn *leave[HOST_LEAVE_MAX];
    unsigned leave_count;
    struct qsbr_slot main_slot;       /* of the main thread; offline but while it changes things */
    _Atomic uint64_t http_numbers;    /* given out to HTTP exchanges so far */
    _Atomic bool stopping;            /* host_stop() was called */
    _Atomic bool ending;              /* services_stop() was called */
    struct skep_http_server *servers; /* open ones, of all modules; management loop */
    struct host_jobs *jobs;
    struct host_metrics *metrics;
    struct host_storage *storage;
    struct host_alarms *alarms;
    _Atomic bool reload_wanted; /* skep_request_reload(): main takes it back */
    struct host_life *life;     /* life.c: instances, objects, the running generation */
};

/* The place of the calling thread; NULL on main and in jobs. */
extern _Thread_local struct host_place *host_here;

/* workers[i] serves loops[i].  The loops are open and not started.  Opens the management loop. */
struct host *host_new(struct broker *broker, struct loop *const *loops,
                      struct worker *const *workers, unsigned count, const char *data_dir);
/* All loops have stopped and none was freed: jobs and exchanges end. */
void host_end(struct host *h);
/* The clients' loops were freed, which ran what had been posted to them. */
void host_free(struct host **h);

/* Starts the management loop's thread; host_serving() once the clients' loops run too. */
int host_start(struct host *h);
void host_serving(struct host *h);
/* After the last client, before the clients' loops stop: all modules go, then the management loop's
 * thread. */
void host_stop(struct host *h);

/* For loop_hooks.begin of loop `at`: makes host_here right. */
void host_enter(struct host *h, unsigned at);

/* The place a callback for the calling thread belongs to: its own, or the management loop's. */
struct host_place *host_place(struct host *h);

/* Each of these runs on every loop and the management loop, once for each module that was stopped,
 * when none of its hooks can be running there any more; at the end of the process on the main
 * thread, with host_here set.  In host_new() only. */
void host_on_leave(struct host *h, host_leave_fn *fn);

/* Work for the main thread, done by life_tick() in the order of posting.  Any thread; the memory
 * belongs to run() once that is called.  What is posted at the very end may not be run. */
struct host_main_task {
    struct host_main_task *next;
    void (*run)(struct host_main_task *t);
};
void host_post_main(struct host *h, struct host_main_task *t);

/* Does the broker wait for a decision of any module at all?  For tests and status. */
bool host_has_modules(const struct host *h);

#endif
