/* One decision that is being made: the SDK's struct skep_request, and its answer.
 *
 * Requests come from a freelist of the loop, so that a question answered at once costs no
 * allocation, and keep their address when they have to wait. */
#ifndef SKEP_HOST_REQUEST_H
#define SKEP_HOST_REQUEST_H

#include <skep/decide.h>

#include "base/arena.h"
#include "base/str.h"
#include "core/identity.h"
#include "host/host.h"

struct chain_slot;
struct connecting;
struct wait;

enum { SKEP_REQUEST_MAGIC = 0x7e9ae57a };

/* A publication that is asked about.  Topics are as the client knows them. */
struct asked_message {
    struct str topic, payload;
    struct str props; /* MQTT 5 properties as received, or only those to forward (props_plain) */
    uint32_t expiry;  /* seconds, UINT32_MAX: none */
    uint8_t qos;
    bool retain, props_plain;
    bool is_will; /* that is being sent */
};

/* One more copy that on_message asked for. */
struct message_copy {
    struct message_copy *next;
    struct asked_message message;
};

struct skep_request {
    unsigned magic;
    uint8_t stage, verdict;
    uint8_t reason; /* of a denial; 0x80 and above */
    uint8_t qos;    /* on_subscribe: asked for; granted_qos: at most this is given */
    uint8_t granted_qos;
    bool dry;           /* nothing comes of it: `skepctl explain` */
    bool at_once;       /* cannot wait */
    bool would_wait;    /* and somebody wanted to */
    bool cacheable;     /* said so by the module that is asked ... */
    bool all_cacheable; /* ... and by all before it */
    bool waited;
    bool resumed; /* on_subscribe: for a session that was there already */
    bool changed; /* on_message: `message` is not what came */
    bool silent;  /* a remembered or trivial answer: not for the ring */
    struct host_place *place;
    struct host_client *client;    /* NULL: nobody connected asks */
    const struct skep_client *who; /* NULL: during CONNECT, see request_who() */
    struct chain_slot *chain;
    struct skep_module *module; /* that was asked last; NULL: nobody, or the host itself decided */
    unsigned at;                /* place in the chain of who is asked next */
    uint32_t chain_number;      /* of the chain that `at` is a place in */
    struct wait *wait;          /* NULL: it does not wait */
    void *data;                 /* skep_request_data() */
    uint64_t waits_since_ns, deadline_ms;
    struct str text; /* reason string; terminated */
    const char *note_file, *note_text;
    unsigned note_line;
    struct asked_message message;
    struct message_copy *copies, **copies_last;
    struct str filter, group;
    struct str props;              /* of the packet, for user properties */
    struct connecting *connecting; /* CONNECT and AUTH; the client's */
    struct arena memory;
    size_t memory_used;                /* by skep_request_memory() */
    struct skep_request *next, **link; /* the client's list, or the freelist */
};

/* -- For the host -- */

/* From the place's freelist; zeroed but for place, client, chain, who. */
struct skep_request *request_take(struct host_place *p, struct host_client *hc,
                                  struct chain_slot *chain, enum skep_stage stage);
/* At the end of the host: what is on the freelist. */
void request_spares_free(struct host_place *p);

/* Runs the chain until the request is decided or has to wait. */
void request_run(struct skep_request *r);

/* Who asks; borrowed until the request ends. */
const struct skep_client *request_who(const struct skep_request *r);

/* A wait is over: v is what the module said then. */
void request_resume(struct skep_request *r, enum skep_verdict v);
/* A wait is over because its time is up. */
void request_timed_out(struct skep_request *r);

#endif
