/* Who is asked, in which order.
 *
 * A chain is immutable.  Each listener has a slot that holds the chain in force; a reload puts a
 * new one in and retires the old.  A client keeps its slot, so that it is always asked about by
 * the newest rules. */
#ifndef SKEP_HOST_CHAIN_H
#define SKEP_HOST_CHAIN_H

#include "host/instance.h"

struct chain_stage {
    unsigned count;
    struct skep_module **modules;
};

struct chain {
    struct chain_stage stages[SKEP_STAGES];
    uint8_t asks;       /* bit SKEP_STAGE_*: somebody has to be asked, or nobody is allowed to */
    bool acl_allow;     /* publish and subscribe when nobody had an opinion */
    bool deliver_allow; /* deliver; see chain_new() */
    bool sees_internal; /* somebody's on_message wants what modules publish, too */
    uint32_t number;    /* rises with each swap */
    struct topic_set topics; /* that some on_message may be about */
};

struct chain_slot {
    struct chain_slot *next;
    char *listener; /* "" is for sessions that came through no listener that still is */
    _Atomic(struct chain *) chain; /* never NULL */
};

/* The slot of that listener; made if need be.  Any thread; lives as long as the host. */
struct chain_slot *chain_slot(struct host *h, const char *listener);

/* On a loop, until the end of the turn. */
static inline const struct chain *chain_now(const struct chain_slot *slot)
{
    return atomic_load_explicit(&slot->chain, memory_order_acquire);
}

/* At the end of the host. */
void chains_free(struct host *h);

/* Main thread: modules in their order.  acl_allow decides about deliveries as well if one of those
 * with an on_deliver also decides about publish or subscribe (an access list); mere filters of
 * deliveries stop what they deny. */
struct chain *chain_new(struct skep_module *const *modules, size_t count, bool acl_allow);
/* Replaces what the slot held. */
void chain_swap(struct host *h, struct chain_slot *slot, struct chain *chain);

#endif
