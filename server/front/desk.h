/* A desk: what the front keeps for one loop.  It serves that loop's clients with that
 * loop's worker; nothing here is touched by another thread. */
#ifndef SKEP_FRONT_DESK_H
#define SKEP_FRONT_DESK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "core/worker.h"
#include "net/loop.h"

struct broker;
struct client;
struct door;
struct host;
struct server;

/* Kinds of timers on a desk's loop. */
enum { TIMER_CLIENT, TIMER_DESK, TIMER_SYS };

struct client_list {
    struct client **items;
    uint32_t count, cap;
};

struct desk {
    struct loop *loop;
    struct worker *w;
    struct door *door;
    struct host *host;
    uint32_t unflushed; /* bytes taken in since output was last flushed */

    struct client_list talking;   /* have control bytes to send */
    struct client_list replaying; /* have retained messages to get, and room for them */
    struct client_list paused;    /* not read from, for a rate limit or memory pressure */
    struct client_list parking;   /* parked something in this turn */
    struct client_list parked;    /* have acknowledgements that wait for the log */
    struct loop_task settle_task; /* posted by the store's committer */
    _Atomic bool settle_posted;

    struct wheel_timer tick; /* armed while somebody is paused */
    uint8_t *topic;          /* 64 KB, for topics with the mount point put in front */
};

/* The desk's loop must be open and not started. */
struct desk *desk_new(struct broker *broker, struct loop *loop, struct door *door);
void desk_free(struct desk **desk);

/* A loop's user data is the place where the server keeps its desk. */
static inline struct desk *desk_of(struct loop *l)
{
    return *(struct desk **)loop_user(l);
}

/* The worker, told the time once a turn. */
static inline struct worker *desk_worker(struct desk *d)
{
    worker_turn(d->w, loop_now_ms(d->loop));
    return d->w;
}

/* Arms the tick that looks after paused clients. */
void desk_watch_paused(struct desk *d);
/* Reads from a paused client again, if nothing holds it any more. */
void desk_unpause(struct desk *d, struct client *c);

/* Bytes of a connection were worked off.  A turn that takes in more than the caches hold
 * flushes on the way, while the messages are still in them. */
void desk_took(struct desk *d, size_t bytes);

/* So much is on its way to the disk that who adds to it is not read from. */
bool desk_store_behind(const struct desk *d);

/* Something this desk handed over has settled.  Any thread. */
void desk_settled(struct desk *d);

/* End of a turn: retained replay in slices, then everything that became dirty is flushed. */
void desk_turn_end(struct desk *d);

void client_list_add(struct client_list *list, struct client *c);
void client_list_remove(struct client_list *list, const struct client *c);

#endif
