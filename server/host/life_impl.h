/* Shared by the files of an instance's life: life.c (building), warm.c, swap.c, leave.c (the end),
 * and by plan.c and list.c, which only look. */
#ifndef SKEP_HOST_LIFE_IMPL_H
#define SKEP_HOST_LIFE_IMPL_H

#include "host/life.h"

enum { WARM_MAGIC = 0x77a23d11 };

struct skep_warm {
    unsigned magic;
    struct host_life *life;
    _Atomic bool done;
    char *error; /* set before done */
};

/* Counters outlive an instance: the next one of that name goes on with them. */
struct life_stats {
    struct life_stats *next;
    char *name;
    struct instance_stats *stats;
};

struct life_set {
    struct host *host;
    struct life_conf conf;
    size_t count;
    struct skep_module **modules; /* in load order */
    bool *kept;                   /* runs already */
    uint64_t warm_until_ms;
    bool prepared; /* life_prepare() closed doors for it */
};

struct host_life {
    struct host *host;
    int wake_fd;
    struct life_set *running;   /* NULL: nothing was committed yet */
    struct skep_module *living; /* all that are loaded, in no order */
    struct life_stats *stats;
    _Atomic(struct host_main_task *) tasks; /* newest first */
};

/* By name; NULL: not in it.  set may be NULL. */
struct skep_module *life_set_find(const struct life_set *set, const char *name);
/* Not the instances in it. */
void life_set_free(struct life_set **set);

/* Takes it out of life->living, calls unload() and frees.  Nothing holds it. */
void life_unload(struct skep_module *m);

/* Out of the chains: stop() if it was started, then everything up to life_unload(). */
void leave_begin(struct skep_module *m, bool started);

/* Opens them again: the set will not come. */
void life_unprepare(struct life_set *set);

/* Takes every instance out of all chains, for the end. */
void life_empty(struct host *h);
void life_free(struct host_life *life);

/* What an instance must agree in to be kept. */
void life_digest(const struct load_block *b, unsigned char out[32]);

/* Runs fn(m) on the management loop and waits for it. */
void life_on_management(struct skep_module *m, void (*fn)(struct skep_module *m));

#endif
