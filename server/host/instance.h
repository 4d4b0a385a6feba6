/* One loaded module: the SDK's struct skep_module, as the host knows it.
 *
 * What will call into the module once more and then end (a pending request, a task, a job, an HTTP
 * exchange, a consumer) holds the instance.  Timers, watches and servers, which have no end of
 * their own, do not.  An instance that was stopped and is held by nobody is unloaded by the main
 * thread, in the order of services.h. */
#ifndef SKEP_HOST_INSTANCE_H
#define SKEP_HOST_INSTANCE_H

#include <skep/module.h>
#include <stdatomic.h>

#include "conf/complaint.h"
#include "host/host.h"
#include "host/things.h"
#include "host/topic_set.h"

enum { SKEP_MODULE_MAGIC = 0x5be30d1e, SKEP_STAGES = SKEP_STAGE_MESSAGE + 1 };

enum { INSTANCE_BUCKETS = 26 }; /* of latency, in powers of two from 1 us; the last is above 16 s */

/* What the host counts for each module and hook, on each loop (written by that loop alone). */
struct hook_stats {
    _Atomic uint64_t calls, allowed, denied, errors, timeouts, cancelled;
    _Atomic uint64_t pending_ended; /* of those that waited; calls that wait now: see `pending` */
    _Atomic uint64_t latency[INSTANCE_BUCKETS]; /* from the first call to the verdict */
    _Atomic uint64_t latency_us;
};

struct instance_stats {
    struct hook_stats hooks[SKEP_STAGES];
};

struct object; /* a .so file in memory, counted */

struct skep_module {
    unsigned magic;
    struct host *host;
    char *name;                      /* "auth_http", "auth_http:internal" */
    const struct skep_descriptor *d; /* as this host knows it: what an older module lacks is 0 */
    bool topics_named;               /* skep_module_topics() was called: */
    struct topic_set topics;
    struct skep_descriptor narrow; /* what d points to after skep_module_narrow() */
    struct object *object;
    void *conf, *self;
    void *conf_owner; /* conf lives there */
    void (*conf_release)(void *owner);
    unsigned char digest[32]; /* of its options, and of the files they name, to compare */
    struct text_pos pos;      /* of its load line */
    uint32_t decision_timeout_ms;
    enum skep_verdict on_error; /* in place of SKEP_ERROR: SKEP_DENY, SKEP_NEXT, SKEP_ALLOW */
    uint16_t slot;              /* its word in a client's slots; unique among the living */
    void (*slot_drop)(void *value);
    _Atomic uint32_t holds;
    _Atomic uint32_t pending; /* requests that wait for it */
    _Atomic bool stopped;
    struct instance_stats *stats; /* one for each place, the management loop last */
    struct module_things things;
    _Atomic uint32_t log_second, log_lines, log_left_out; /* api_log.c */
    struct skep_command *commands;                        /* not answered in time; api_command.c */
    char *directory;
    _Atomic uint32_t publishing; /* messages that wait to be routed, or for the log */
    _Atomic uint64_t publishing_bytes;
    struct skep_consumer *consumers_left; /* see traffic_forget() */
    struct lock consumers_lock;
    struct skep_module *previous; /* what it replaces, while that is being done */
    struct skep_module *next;     /* life.c's list */
    struct skep_warm *warm;
    _Atomic bool going;       /* out of the chains; see leave.c */
    _Atomic unsigned leaving; /* loops that are not through with it */
};

/* Any thread.  The caller knows that somebody holds it, or that it is running. */
static inline void instance_hold(struct skep_module *m)
{
    atomic_fetch_add_explicit(&m->holds, 1, memory_order_relaxed);
}

/* Every instance in force, in load order.  Immutable; of host.roll, until the end of the turn. */
struct roll {
    size_t count;
    struct skep_module *modules[];
};

void instance_release(struct skep_module *m);

/* The statistics of the calling thread's place. */
static inline struct instance_stats *instance_stats(struct skep_module *m)
{
    const struct host_place *p = host_here;
    return &m->stats[p && p->index != HOST_MANAGEMENT ? p->index : m->host->loop_count];
}

/* Says how many lines of it were not written. */
void instance_log_end(struct skep_module *m);

/* Whether the module takes part in that stage at all. */
bool instance_has(const struct skep_module *m, enum skep_stage stage);

#endif
