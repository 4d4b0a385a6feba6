/* A session: what the broker keeps for one client id, connected or away [MQTT 4.1].
 *
 * Two kinds of state:
 *   - guarded by `lock`: the link, the outbound queues.  Any worker delivers.
 *   - the owner's: subscriptions, inbound QoS 2 ids, the will.  The owner is the worker of
 *     the connection; while the client is away, whoever holds the session table's mutex
 *     (core/sessions.h).
 *
 * A session found in the subscription index may be ended by another worker at any moment;
 * its memory stays until this worker's next quiescent state, and `dead` (under the lock)
 * says so. */
#ifndef SKEP_CORE_SESSION_H
#define SKEP_CORE_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/str.h"
#include "core/fifo.h"
#include "core/idset.h"
#include "core/link.h"
#include "core/subtable.h"
#include "core/worker.h"

enum { SESSION_MAGIC = 0x5e551011, EXPIRY_NEVER = 0xffffffff };

struct away;        /* core/sessions.h */
struct skep_client; /* core/identity.h */
struct will;        /* core/will.h */
struct spill;
struct claim; /* core/sessions.h */

/* The outbound side; allocated with the first delivery. */
struct outbox {
    struct fifo q0; /* QoS 0, only while connected */
    struct fifo q1; /* QoS 1 and 2 */
    uint64_t q0_bytes, q1_bytes;
    uint64_t stored;     /* counters below may have been sent by an earlier process */
    uint32_t in_flight;  /* entries of q1 counting against the quota */
    struct spill *spill; /* what is behind q1 of a long queue (core/spill.h), NULL: nothing */
};

/* The queued QoS 1 or 2 message with this counter, or NULL when it is done, or not in memory. */
struct entry *outbox_entry(const struct outbox *out, uint64_t counter);

struct session {
    unsigned magic;
    struct lock lock;

    /* Guarded by lock. */
    _Atomic(struct link *) link;  /* NULL while away; written under lock */
    struct skep_client *identity; /* of the last connection; NULL: nobody has asked */
    struct outbox *out;
    bool dirty; /* on some worker's list of sessions to flush */
    bool dead;
    bool will_written; /* the owner's: the store has a will of it */
    bool began;        /* the owner's: it was told of, or is from before */
    uint32_t pins;     /* tasks under way, and holds (journal.c), that have a pointer */

    /* The owner's. */
    uint8_t version; /* of the last connection */
    bool attached;   /* guarded by the table's mutex */
    uint16_t id_len;
    _Atomic uint32_t expiry; /* seconds after the connection ends; EXPIRY_NEVER; others may look */
    uint32_t hash;           /* of the client id */
    uint32_t realm;          /* see struct claim */
    struct subtable subs;    /* .connected_s: since when, by the wall clock; front's */
    struct idset *received;  /* inbound QoS 2 ids between PUBREC and PUBREL */
    struct will *will;
    struct away *away;     /* guarded by the table's mutex */
    struct claim *claim;   /* who waits to take over; guarded by the table's mutex */
    char *username;        /* the session belongs to its user; NULL: anonymous */
    uint64_t serial;       /* unique; see serial_stored() */
    struct session *chain; /* in the table */
    char id[];
};

static inline struct str session_id(const struct session *s)
{
    return (struct str){s->id, s->id_len};
}

/* A serial is the session's number in the store, or one of this process with the top bit set:
 * then nothing of the session survives it.  Settled before the first subscription. */
static const uint64_t SERIAL_LOCAL = UINT64_C(1) << 63;

static inline bool serial_stored(uint64_t serial)
{
    return serial != 0 && !(serial & SERIAL_LOCAL);
}

static inline bool session_stored(const struct session *s)
{
    return serial_stored(s->serial);
}

/* What happens to the session is written down. */
static inline bool session_written(const struct worker *w, const struct session *s)
{
    return session_stored(s) && w->journal.store;
}

static inline struct link *session_link(const struct session *s)
{
    return atomic_load_explicit(&s->link, memory_order_relaxed);
}

/* -- Delivery: any worker -- */

enum delivery {
    DELIVERY_QUEUED,  /* an entry was made */
    DELIVERY_DROPPED, /* counted; QoS 0 or a session that is over */
    DELIVERY_FULL,    /* counted; QoS 1 or 2 refused by the queue's limit */
};

/* Takes over one reference of m. */
enum delivery session_deliver(struct worker *w, struct session *s, struct message *m, unsigned qos,
                              bool retain, uint32_t sub_id, uint16_t share);

/* Puts the session on the worker's list of those to flush, or asks its owner to.
 * Call with the lock held after the queue or the link changed. */
void session_mark_dirty(struct worker *w, struct session *s);

/* -- The owner's connection -- */

/* The client is there: what was in flight is to be sent again, in order [MQTT-4.4.0-1].
 * `first` (CONNACK) goes out before anything else; returns as session_flush does. */
enum link_sent session_attach(struct worker *w, struct session *s, struct link *link,
                              struct str first);

/* The client is gone.  Unwritten QoS 0 entries are dropped and counted. */
void session_detach(struct worker *w, struct session *s);

/* Sends `first` (control packets) and then what the queues and the quota allow.
 * After LINK_BLOCKED the link flushes again when it has room; LINK_BUSY: so it does, and
 * `first` was not taken. */
enum link_sent session_flush(struct worker *w, struct session *s, struct str first);

/* The same for a link that was blocked and has room again; nobody sends in between. */
enum link_sent session_unblock(struct worker *w, struct session *s, struct str first);

/* Acknowledgements from the client [MQTT 4.3].  Return 0, or the reason code: 0x92 when
 * the id is not in flight; 0x82 when it is, in another state. */
int session_puback(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason);
/* *release: a PUBREL is due. */
int session_pubrec(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason,
                   bool *release);
int session_pubcomp(struct worker *w, struct session *s, uint16_t packet_id, uint8_t reason);

/* The same for a receiver inside the broker, in one step whatever the QoS: it has the message with
 * that counter (core/fifo.h) and asks for no PUBREL.  False: that one is not in flight. */
bool session_took(struct worker *w, struct session *s, uint64_t counter);

/* Messages in queues, for status: waiting and in flight.  Any worker. */
uint64_t session_queued(struct session *s);
/* Of them, those sent and not acknowledged. */
uint32_t session_in_flight(struct session *s);

/* Room for so many more QoS>0 messages before the queue's limit; for pacing retained replay. */
uint64_t session_room(struct worker *w, struct session *s);

/* -- Who it is: any worker -- */

/* The client is `who` from now on, whose reference is taken over; NULL: made when somebody asks. */
void session_identify(struct session *s, struct skep_client *who);
/* A reference; made if need be, of the connection or, while away, of what the session knows. */
struct skep_client *session_identity(struct session *s);
/* The same with the lock held; borrowed until it is dropped. */
const struct skep_client *session_identity_locked(struct session *s);
/* With the lock held: a reference; one that has to be made is not kept, so that looking at all
 * clients leaves nothing behind. */
struct skep_client *session_describe(struct session *s);

/* -- Life: see core/sessions.h -- */
struct session *session_new(struct str id, uint64_t serial);
/* Drops every queued message (offering shared ones to other members first), marks it dead.
 * The memory goes when no worker can hold it any more. */
void session_bury(struct worker *w, struct session *s);

/* For a pointer that travels to another worker.  Lock held. */
void session_pin(struct session *s);
void session_unpin(struct worker *w, struct session *s);

#endif
