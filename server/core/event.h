/* What happens, for a guest (core/worker.h) that wants to know.
 *
 * The ledger counts every outcome; these macros count and, when somebody wants that kind, tell.  A
 * kind that nobody wants costs one branch on a word of the worker.  The guest may do nothing but
 * look: locks are held, and the worker's lists are in use. */
#ifndef SKEP_CORE_EVENT_H
#define SKEP_CORE_EVENT_H

#include "base/mem.h"
#include "base/str.h"
#include "core/worker.h"

struct publication;
struct skep_client;

enum core_event_kind {
    /* Of connections; by front. */
    CORE_CONNECTED,    /* flag: the session was there */
    CORE_REFUSED,      /* reason, text */
    CORE_DISCONNECTED, /* reason, text; flag: by the client's own DISCONNECT */
    CORE_SUBSCRIBED,   /* topic: the filter; qos granted */
    CORE_UNSUBSCRIBED, /* topic: the filter */
    /* Of messages and sessions. */
    CORE_PUBLISHED,       /* number: sessions and groups that match */
    CORE_PUBLISH_REFUSED, /* reason; text: as in the ledger */
    CORE_DELIVERED,       /* QoS 0: written; 1: PUBACK; 2: PUBREC */
    CORE_DROPPED,  /* text: as in the ledger; number: of messages, without topic if several */
    CORE_RETAINED, /* flag: taken away */
    CORE_SESSION_BEGAN,
    CORE_SESSION_ENDED, /* text: why */
};

struct core_event {
    enum core_event_kind kind;
    struct session *session;       /* whose it is, lock held; NULL: nobody's, or see `who` */
    const struct skep_client *who; /* who published; NULL: not a client, or nobody asked */
    struct str topic, payload;
    struct str text;
    uint64_t number;
    uint8_t qos, reason;
    bool retain, flag;
};

static inline bool core_wants(const struct worker *w, enum core_event_kind kind)
{
    return UNLIKELY(w->events >> kind & 1);
}

/* Somebody wants to know who publishes: publication.who is worth its price. */
static inline bool core_wants_publisher(const struct worker *w)
{
    return UNLIKELY(w->events &
                    (1u << CORE_PUBLISHED | 1u << CORE_PUBLISH_REFUSED | 1u << CORE_RETAINED));
}

/* With e->session's lock held, if it has one. */
void core_tell_event(struct worker *w, const struct core_event *e);

/* -- Without a look at who wants it: for the macros below and behind core_wants() -- */

/* Of one message and one receiver; session lock held. */
void core_tell(struct worker *w, enum core_event_kind kind, struct session *s,
               const struct message *m, unsigned qos, const char *text);
/* The same without the lock. */
void core_tell_unlocked(struct worker *w, enum core_event_kind kind, struct session *s,
                        const struct message *m, unsigned qos, const char *text);
void core_tell_many(struct worker *w, struct session *s, uint64_t number, const char *text);
void core_tell_published(struct worker *w, const struct publication *p, uint64_t targets);
void core_tell_refused(struct worker *w, const struct publication *p, uint8_t reason,
                       const char *text);
void core_tell_retained(struct worker *w, const struct publication *p);
void core_tell_session(struct worker *w, enum core_event_kind kind, struct session *s,
                       const char *text);

/* -- Outcomes, counted and told -- */

#define DROPPED(w, s, m, qos, why)                                                                 \
    do {                                                                                           \
        COUNT(w, dropped_##why);                                                                   \
        if (core_wants(w, CORE_DROPPED))                                                           \
            core_tell(w, CORE_DROPPED, s, m, qos, #why);                                           \
    } while (0)

#define DROPPED_UNLOCKED(w, s, m, qos, why)                                                        \
    do {                                                                                           \
        COUNT(w, dropped_##why);                                                                   \
        if (core_wants(w, CORE_DROPPED))                                                           \
            core_tell_unlocked(w, CORE_DROPPED, s, m, qos, #why);                                  \
    } while (0)

/* Some of one session at once, which cannot be looked at one by one; session lock held. */
#define DROPPED_MANY(w, s, n, why)                                                                 \
    do {                                                                                           \
        uint64_t dropped_ = (n);                                                                   \
        COUNT_N(w, dropped_##why, dropped_);                                                       \
        if (core_wants(w, CORE_DROPPED) && dropped_ > 0)                                           \
            core_tell_many(w, s, dropped_, #why);                                                  \
    } while (0)

/* Told, not counted: at QoS 2 the ledger waits for PUBCOMP. */
#define DELIVERED(w, s, m, qos)                                                                    \
    do {                                                                                           \
        if (core_wants(w, CORE_DELIVERED))                                                         \
            core_tell(w, CORE_DELIVERED, s, m, qos, NULL);                                         \
    } while (0)

#define REFUSED(w, p, reason, why)                                                                 \
    do {                                                                                           \
        COUNT(w, refused_##why);                                                                   \
        if (core_wants(w, CORE_PUBLISH_REFUSED))                                                   \
            core_tell_refused(w, p, reason, #why);                                                 \
    } while (0)

#endif
