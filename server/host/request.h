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

    /* Set when it begins. */
    struct host_place *place;
    struct host_client *client; /* NULL: nobody who is connected asks */
    struct chain_slot *chain;

    /* Zero when a request begins. */
    uint8_t stage, verdict;
    uint8_t reason;     /* of a denial; 0x80 and above */
    uint8_t qos;        /* on_subscribe: asked for */
    uint8_t granted;    /* on_subscribe: at most this is given */
    bool dry;           /* nothing comes of it: `skepctl explain` */
    bool at_once;       /* cannot wait */
    bool internal;      /* on_message: no client published it */
    bool would_wait;    /* and somebody wanted to */
    bool cacheable;     /* said so by the module that is asked */
    bool not_cacheable; /* somebody before it did not */
    bool remembered;    /* the answer is */
    bool waited;        /* somebody did not answer at once */
    bool resumed;       /* on_subscribe: for a session that was there already */
    bool changed;       /* on_message: `message` is not what came */
    bool listed;        /* among the client's waiting ones */
    unsigned note_line;
    unsigned at;                /* place in the chain of who is asked next */
    uint32_t chain_number;      /* of the chain that `at` is a place in */
    uint32_t generation;        /* of verdicts, when the first module was asked */
    struct skep_module *module; /* that spoke last; NULL: nobody, the host itself decided */
    const char *note_file, *note_text;
    struct wait *wait; /* NULL: it does not wait */
    void *data;        /* skep_request_data() */
    uint64_t asked_ns; /* when the module that is asked began to wait */
    uint64_t deadline_ms;
    struct str text; /* reason string */
    struct str filter, group;
    struct str props;              /* of the packet, for user properties */
    struct connecting *connecting; /* CONNECT and AUTH; the client's */
    struct message_copy *copies, **copies_last;
    const struct skep_client *who; /* NULL: of the client, see request_who() */
    size_t memory_used;            /* by skep_request_memory() */

    /* Set when it begins, in the stages of publications. */
    struct asked_message message;

    /* Kept over the request's end. */
    struct arena memory;
    struct skep_request *next, **link; /* the client's list, or the freelist */
};

/* It was allowed, and is to be routed as it came. */
static inline bool request_is_plain(const struct skep_request *r)
{
    return r->verdict == SKEP_ALLOW && !r->changed && !r->copies;
}

/* -- For the host -- */

/* From the place's freelist.  hc may be NULL. */
struct skep_request *request_take(struct host_place *p, struct host_client *hc,
                                  struct chain_slot *chain, enum skep_stage stage);
/* At the end of the host: what is on the freelist. */
void request_spares_free(struct host_place *p);

/* Runs the chain until the request is decided or has to wait. */
void request_run(struct skep_request *r);

/* The host itself decides; text may be NULL and must live for ever. */
void request_decide(struct skep_request *r, enum skep_verdict verdict, uint8_t reason,
                    const char *note);

/* Who asks; borrowed until the request ends. */
const struct skep_client *request_who(const struct skep_request *r);

/* A wait is over: v is what the module said then.  The module is held by the caller. */
void request_resume(struct skep_request *r, enum skep_verdict v);
/* A wait is over because its time is up. */
void request_timed_out(struct skep_request *r);

/* Copies text into the request's memory, cut to `most` bytes, terminated. */
struct str request_text(struct skep_request *r, const char *text, size_t most);

#endif
