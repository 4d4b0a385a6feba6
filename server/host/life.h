/* Instances from load to unload, and the change from one set of them to the next.
 *
 *     life_build     every instance of a configuration that is not running already (load)
 *     life_warm      lets them fetch what they need; life_warmed() says how that went
 *     life_commit    start new ones, swap all chains, stop old ones: cannot fail
 *     life_abandon   instead: the new ones go, what runs stays as it is
 *
 * An instance that is out of the chains is stopped, waits until every loop is through with what it
 * knew of it (host_on_leave) and nothing holds it any more, and is then unloaded by life_tick().
 *
 * Main thread. */
#ifndef SKEP_HOST_LIFE_H
#define SKEP_HOST_LIFE_H

#include "host/chain.h"
#include "host/load.h"

struct life_set;

enum { LIFE_WARM_MS = 10000 };

/* Who is asked at a listener. */
struct life_chain {
    const char *listener;
    const char *const *modules; /* their names; NULL: all, as loaded */
    size_t count;
};

enum life_acl { LIFE_ACL_AUTO, LIFE_ACL_ALLOW, LIFE_ACL_DENY };

/* A configuration as far as modules go. */
struct life_conf {
    const struct directive_blocks *loads; /* struct load_block */
    const struct life_chain *chains;
    size_t chain_count;
    enum life_acl acl;
    /* What all this lives in: kept by each instance, released when that is unloaded.  What is
     * committed must also outlive the next life_commit(). */
    void *owner;
    void (*retain)(void *owner);
    void (*release)(void *owner);
};

void life_open(struct host *h);
/* After life_stop(), when no loop runs and none was freed; then, when they are. */
void life_end(struct host *h);
void life_close(struct host *h);

/* 0, or a negative error and complaints; then nothing has changed. */
int life_build(struct life_set **out, struct host *h, const struct life_conf *conf,
               struct complaints *complaints);
void life_abandon(struct life_set **set);

enum life_warmth { LIFE_WARMING, LIFE_WARM, LIFE_COLD };
void life_warm(struct life_set *set, uint64_t now_ms);
/* LIFE_COLD: complained. */
enum life_warmth life_warmed(struct life_set *set, uint64_t now_ms, struct complaints *complaints);
/* A listener that is not there yet refuses publications until life_commit(). */
void life_prepare(struct life_set *set);
void life_commit(struct life_set **set);

/* Stops and unloads what runs, for the end: after the last client, before the loops stop. */
void life_stop(struct host *h);

/* Readable when life_tick() has something to do: instances that are over, tasks for this thread. */
int life_wake_fd(const struct host *h);
void life_tick(struct host *h);
/* Makes that descriptor readable.  Any thread. */
struct host_life;
void life_wake(struct host_life *life);

/* What a reload would do with each module, for `skepctl reload --plan`; NULL behind the last. */
struct life_step {
    struct life_step *next;
    const char *name, *what; /* "kept", "reloaded: its file changed", ... */
    bool changes;            /* something would happen */
};
struct life_step *life_plan(struct host *h, const struct life_conf *conf, struct arena *arena);

/* The running instance of that name, or NULL. */
struct skep_module *life_find(struct host *h, const char *name);

/* Each instance that is in force, in load order, on any loop or main, until the end of the turn. */
const struct roll *life_roll(const struct host *h);

/* What is in force, as one JSON array for `skepctl module list`, or one object for `info`; NULL
 * when nothing has that name.  The caller deletes it. */
struct cJSON;
struct cJSON *life_list(struct host *h);
struct cJSON *life_info(struct host *h, const char *name);

#endif
