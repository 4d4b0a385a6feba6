/* An entrance: a listener as the front sees it, with the policy for its clients and the
 * global limits on who may come in. */
#ifndef SKEP_FRONT_ENTRANCE_H
#define SKEP_FRONT_ENTRANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "front/server.h"

struct chain_slot;
struct client;
struct door;
struct host;
struct worker;

/* Immutable and counted: a reload makes a new one, clients keep theirs. */
struct policy {
    _Atomic uint32_t refs;
    bool anonymous;
    bool username_from_psk;
    unsigned versions; /* VERSION_* */
    uint32_t connect_timeout_ms;
    enum username_from username_from;
    uint16_t mount_len; /* 0: no mount point */
    uint32_t realm;     /* stands for the mount point where sessions are compared; 0: none */
    char *mount_point;
    char *name;               /* of the listener, for logs */
    struct chain_slot *chain; /* the modules that decide about its clients; the host's */
};

const struct policy *policy_new(struct host *host, const struct server_listener *conf);
void policy_unref(const struct policy *policy); /* accepts NULL */

/* The counts behind max_connections, max_pending_connects and connect_rate; one per server,
 * shared by all loops. */
struct door {
    _Atomic uint32_t connections; /* clients, from accept to close */
    _Atomic uint32_t pending;     /* of those, without CONNACK yet */
    _Atomic uint64_t rate_window; /* second << 32 | CONNECTs in it */
    _Atomic bool draining;
};

struct entrance {
    struct door *door;
    struct listener *listener;
    char *name, *address;
    _Atomic(const struct policy *) policy;
};

/* Counts a new connection in, or refuses it. */
bool entrance_admit(struct entrance *e, struct worker *w);

/* The policy with a reference.  Any loop: reload swaps under QSBR. */
const struct policy *entrance_policy(struct entrance *e);

/* CONNECT is answered with success: no longer pending. */
void entrance_settled(struct client *c);
/* The connection is over. */
void entrance_left(struct client *c);

/* Whether one more CONNECT may be taken this second. */
bool entrance_connect_rate(struct client *c);

#endif
