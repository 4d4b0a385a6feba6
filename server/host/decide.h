/* One decision after another, for front (and for the author's test harness, which stands where
 * front does).
 *
 * A question is a `struct skep_request`.  ask_*() begins one and runs the chain as far as it comes:
 *
 *     r = ask_publish(hc, &message);
 *     if (r->verdict == SKEP_PENDING)   keep the packet, request_kept() with its copy, and return;
 *                                       ops->decided(owner, r) comes later, on the client's loop
 *     ... act on r->verdict, r->reason, r->text ...
 *     request_end(&r);
 *
 * What r points to (the packet) must live until the call returns, or until the request ends if
 * it is pending.  verdict is SKEP_ALLOW, SKEP_DENY or SKEP_PENDING; also SKEP_CONTINUE of an AUTH
 * and SKEP_DROP of a publication.
 *
 * Everything here runs on the client's loop, but for guard.h's
 * part. */
#ifndef SKEP_HOST_DECIDE_H
#define SKEP_HOST_DECIDE_H

#include <skep/decide.h>

#include "core/identity.h"
#include "host/chain.h"
#include "host/request.h"

struct mqtt_connect;
struct publication;
struct routed;
struct verdicts;

struct host_client_ops {
    /* A request that had to wait is decided: act on it and end it.  Never from inside ask_*(). */
    void (*decided)(void *owner, struct skep_request *r);
    /* A new reference to the description of a client whose CONNECT is over; see
     * session_identity(). */
    struct skep_client *(*identity)(void *owner);
    /* For those who only want to know what would be (host_client.dry): a module said so. */
    void (*step)(void *owner, const struct skep_request *r, enum skep_verdict v);
};

enum { HOST_CLIENT_MAGIC = 0x40c11e17, HOST_QUOTAS = SKEP_QUOTA_KEEP_ALIVE_S + 1 };

/* A word of a module for one client (skep_client_slot()). */
struct client_slot {
    struct skep_module *module; /* NULL: free.  Not held: see host_forget_slots() */
    void *value;
};

/* What the host keeps for one connection.  The client's loop's. */
struct host_client {
    unsigned magic;
    bool dry;       /* no connection: `skepctl explain` asks */
    bool has_rules; /* of its own: see identity_facts.rules */
    uint16_t slot_count;
    /* What every message looks at comes first: one cache line. */
    struct host_place *place;
    struct chain_slot *chain;
    struct verdicts *verdicts; /* remembered ones of publish, NULL: none */
    uint64_t *quotas;        /* HOST_QUOTAS of them, NULL: none; UINT64_MAX: that one is not set */
    struct skep_client *who; /* a reference; NULL until somebody asks, and during CONNECT */
    const struct host_client_ops *ops;
    void *owner;
    struct connecting *connecting; /* CONNECT or re-authentication under way (host/connecting.h) */
    struct skep_request *waiting;
    struct client_slot *slots;        /* by the instances' slot numbers */
    uint64_t expiry_ms;               /* wall clock; 0: never */
    struct host_client *next, **link; /* the place's list */
};

/* Made with its first question. */
struct host_client *host_client_new(struct host *h, struct chain_slot *chain,
                                    const struct host_client_ops *ops, void *owner);
/* The connection is over: what waits is cancelled, words of modules are dropped.  NULL is fine. */
void host_client_left(struct host_client **hc);

/* The instance is about to go: drops its words of all clients of this loop.  On that loop. */
void host_forget_slots(struct host_place *p, struct skep_module *m);

/* Whether anybody has to be asked at that stage.  hc may be NULL. */
static inline bool host_asks(const struct chain_slot *chain, const struct host_client *hc,
                             enum skep_stage stage);

/* -- CONNECT and AUTH -- */

/* facts: as far as they are known; the modules may add to them.  otherwise: whether it is let in
 * when nobody has an opinion. */
struct skep_request *ask_connect(struct host_client *hc, const struct mqtt_connect *packet,
                                 const struct identity_facts *facts, bool otherwise);

/* One step of an exchange: of a CONNECT (packet and facts as above), or of an AUTH after it or in
 * a re-authentication (packet and facts NULL; props is its block). */
struct skep_request *ask_auth(struct host_client *hc, const struct mqtt_connect *packet,
                              const struct identity_facts *facts, struct str method,
                              struct str data, struct str props);
/* Data for the client's AUTH or CONNACK; where else a client that was denied may go.  Until
 * host_auth_end(). */
struct str host_auth_reply(const struct host_client *hc);
struct str host_server_reference(const struct host_client *hc);

/* The CONNECT or re-authentication is over, and what was kept for it goes.  NULL is fine. */
void host_auth_end(struct host_client *hc);

/* CONNECT was allowed, or a re-authentication: the description is final, with that client id.  A
 * reference; who the client is from now on.  Before host_auth_end(). */
struct skep_client *host_client_admit(struct host_client *hc, struct str id);

/* Nobody is asked about CONNECT: the client is as the facts say. */
void host_client_introduce(struct host_client *hc, const struct identity_facts *facts);

/* Limits that modules set with SKEP_QUOTA_*; UINT64_MAX: none.  hc may be NULL. */
uint64_t host_client_quota(const struct host_client *hc, enum skep_quota quota);
/* When the connection has to end (wall clock), 0: never.  hc may be NULL. */
uint64_t host_client_expiry_ms(const struct host_client *hc);

/* -- Topics; as the client knows them, without its mount point -- */

struct skep_request *ask_will(struct host_client *hc, const struct asked_message *will);
struct skep_request *ask_publish(struct host_client *hc, const struct asked_message *message);
/* After ask_publish() allowed it, with the same request: what becomes of the message?
 * r->verdict is SKEP_ALLOW, SKEP_DROP, SKEP_DENY or SKEP_PENDING, r->change what was changed. */
void ask_message(struct skep_request *r);

/* filter: without $share/NAME/; group: NAME, or empty. */
struct skep_request *ask_subscribe(struct host_client *hc, struct str filter, struct str group,
                                   uint8_t qos, struct str props, bool resumed);

/* -- A request that waits -- */

/* The packet was copied: views into `from` become views into `to` (the same bytes elsewhere). */
void request_kept(struct skep_request *r, struct str from, const char *to);

/* Also one that waits, which is cancelled. */
void request_end(struct skep_request **r);

/* -- For messages of modules and the broker itself: nobody is asked whether, but on_message of
 * those that want it may change them.  Instead of router_publish().  On a loop. -- */
void host_publish(struct host *h, struct worker *w, struct publication *p, struct routed *out);

/* Whether a module may want to change messages of that topic. */
static inline bool host_asks_message(const struct chain_slot *chain, struct str topic)
{
    const struct chain *now = chain_now(chain);

    return (now->asks >> SKEP_STAGE_MESSAGE & 1) && topic_set_has(&now->topics, topic);
}

static inline bool host_asks_publish(const struct chain_slot *chain, const struct host_client *hc,
                                     struct str topic)
{
    const unsigned asks = chain_now(chain)->asks;

    return (asks >> SKEP_STAGE_PUBLISH & 1) || (hc && hc->has_rules) ||
           ((asks >> SKEP_STAGE_MESSAGE & 1) && host_asks_message(chain, topic));
}

static inline bool host_asks(const struct chain_slot *chain, const struct host_client *hc,
                             enum skep_stage stage)
{
    return (chain_now(chain)->asks >> stage & 1) || (hc && hc->has_rules);
}

#endif
