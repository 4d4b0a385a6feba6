/* Events: one typed stream of what happens.  A module names the kinds it wants in its
 * descriptor; a kind nobody wants costs one branch.
 *
 * on_event runs where the event happens: a client's loop, the publisher's loop for deliveries.  It
 * is on the path of the traffic, in the middle of the broker's work: be brief, and never wait.
 * What it publishes is routed once that work is done; functions of consumers are not for it.
 * Topics and filters are whole, with the listener's mount point. */
#ifndef SKEP_EVENT_H
#define SKEP_EVENT_H

#include <skep/base.h>

SKEP_BEGIN

#define SKEP_EVENT_LIST(X)                                                                         \
    X(CONNECTED)       /* CONNACK with success; flag: the session was present */                   \
    X(REFUSED)         /* CONNACK with a reason */                                                 \
    X(DISCONNECTED)    /* reason, text: the cause; flag: by the client's own DISCONNECT */         \
    X(SUBSCRIBED)      /* topic: the filter; qos granted */                                        \
    X(UNSUBSCRIBED)    /* topic: the filter */                                                     \
    X(PUBLISHED)       /* a message was accepted; number: matching receivers */                    \
    X(PUBLISH_REFUSED) /* reason, text */                                                          \
    X(DELIVERED)       /* QoS 0: handed to the socket, 1: PUBACK, 2: PUBREC.  client: receiver */  \
    X(DROPPED)         /* text: why, as in $SYS/broker/ledger; client: receiver; number: how many  \
                          messages, whose topics are not known if there are several */             \
    X(RETAINED)        /* topic; flag: taken away by an empty message */                           \
    X(SESSION_BEGAN)   /* client */                                                                \
    X(SESSION_ENDED)   /* client: id and user name; text: why */                                   \
    X(ALARM)           /* text; topic: its name; flag: cleared */                                  \
    X(DECIDED)         /* a verdict of a chain: stage, verdict, text: module and place */

#define SKEP_EVENT_NAME(name) SKEP_EVENT_##name,
enum skep_event_kind { SKEP_EVENT_LIST(SKEP_EVENT_NAME) SKEP_EVENT_COUNT };
#undef SKEP_EVENT_NAME

#define SKEP_EVENT_BIT(kind) (UINT64_C(1) << (kind))

/* Borrowed until on_event returns.  What does not apply is empty or 0. */
struct skep_event {
    uint32_t size;
    enum skep_event_kind kind;
    uint64_t now_ms; /* monotonic */
    const struct skep_client *client;
    struct skep_str topic, payload, text;
    uint64_t number;
    uint8_t qos, reason, stage, verdict;
    bool retain, flag;
};

/* "connected", ... */
SKEP_EXPORT const char *skep_event_text(enum skep_event_kind kind);

SKEP_END
#endif
