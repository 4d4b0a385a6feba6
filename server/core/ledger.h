/* The ledger: every message ends in exactly one counted outcome.
 *
 * Two accounts balance at any quiet moment:
 *
 *     received = refused + accepted                (per message handed in)
 *     routed   = delivered + dropped + waiting     (per message and target)
 *
 * `waiting` is what stands in queues; ledger_waiting() is the difference.  Each worker
 * writes its own ledger (relaxed atomics, so plain moves); anyone may sum them. */
#ifndef SKEP_CORE_LEDGER_H
#define SKEP_CORE_LEDGER_H

#include <stdatomic.h>
#include <stdint.h>

/* Counters of work done. */
#define LEDGER_COUNTS(X)                                                                           \
    X(bytes_received)                                                                              \
    X(bytes_sent)                                                                                  \
    X(packets_received)                                                                            \
    X(connections_accepted)                                                                        \
    X(connects) /* CONNACK with success */                                                         \
    X(connects_refused)                                                                            \
    X(disconnects) /* ends of established connections */                                           \
    X(takeovers)                                                                                   \
    X(protocol_errors)                                                                             \
    X(subscribes)                                                                                  \
    X(unsubscribes)                                                                                \
    X(sessions_expired)                                                                            \
    X(wills_published)                                                                             \
    X(received_qos0) /* PUBLISHes handed in by clients, wills and modules */                       \
    X(received_qos1)                                                                               \
    X(received_qos2)                                                                               \
    X(accepted)                                                                                    \
    X(accepted_unmatched) /* of those: nobody subscribed */                                        \
    X(accepted_dropped)   /* of those: a module kept it from going anywhere */                     \
    X(retained_set)                                                                                \
    X(retained_cleared)                                                                            \
    X(routed)         /* targets that got an entry, or should have */                              \
    X(delivered_qos0) /* handed to the socket */                                                   \
    X(delivered_qos1) /* acknowledged by PUBACK */                                                 \
    X(delivered_qos2) /* completed by PUBCOMP */                                                   \
    X(redelivered)    /* PUBLISHes sent again; not an outcome */                                   \
    X(sent_publishes) /* PUBLISH packets written; not an outcome */                                \
    X(sent_control)   /* all other packets written */

/* Why a message never reached one target. */
#define LEDGER_DROPS(X)                                                                            \
    X(queue_full)        /* the session's queue limit */                                           \
    X(slow_consumer)     /* QoS 0 above the high-water mark */                                     \
    X(offline)           /* QoS 0 for a session whose client is away */                            \
    X(expired)           /* message expiry */                                                      \
    X(too_large)         /* above the client's maximum packet size */                              \
    X(outside_mount)     /* the topic is the mount point's own parent */                           \
    X(not_authorized)    /* a module or a rule does not let the client have it */                  \
    X(session_ended)     /* waiting when the session ended */                                      \
    X(connection_lost)   /* QoS 0 not yet written when the connection went */                      \
    X(lost)              /* the store has it no more: damage */                                    \
    X(refused_by_client) /* PUBACK or PUBREC with an error */

/* Why a message handed in was not accepted. */
#define LEDGER_REFUSALS(X)                                                                         \
    X(not_authorized)                                                                              \
    X(quota)   /* every target's queue was full, or the retained limit */                          \
    X(invalid) /* topic, payload format, size, QoS or retain not allowed */                        \
    X(memory)                                                                                      \
    X(store) /* the disk takes nothing now */

struct ledger {
#define LEDGER_FIELD(name)         _Atomic uint64_t name;
#define LEDGER_DROP_FIELD(name)    _Atomic uint64_t dropped_##name;
#define LEDGER_REFUSAL_FIELD(name) _Atomic uint64_t refused_##name;
    LEDGER_COUNTS(LEDGER_FIELD)
    LEDGER_DROPS(LEDGER_DROP_FIELD)
    LEDGER_REFUSALS(LEDGER_REFUSAL_FIELD)
#undef LEDGER_FIELD
#undef LEDGER_DROP_FIELD
#undef LEDGER_REFUSAL_FIELD
};

/* Only the thread that owns the ledger adds to it. */
static inline void ledger_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* A snapshot as plain numbers, in the order of struct ledger. */
struct ledger_sum {
#define LEDGER_FIELD(name)         uint64_t name;
#define LEDGER_DROP_FIELD(name)    uint64_t dropped_##name;
#define LEDGER_REFUSAL_FIELD(name) uint64_t refused_##name;
    LEDGER_COUNTS(LEDGER_FIELD)
    LEDGER_DROPS(LEDGER_DROP_FIELD)
    LEDGER_REFUSALS(LEDGER_REFUSAL_FIELD)
#undef LEDGER_FIELD
#undef LEDGER_DROP_FIELD
#undef LEDGER_REFUSAL_FIELD
};

/* Adds one worker's ledger into the sum. */
void ledger_sum_add(struct ledger_sum *sum, const struct ledger *ledger);

uint64_t ledger_received(const struct ledger_sum *sum);
uint64_t ledger_refused(const struct ledger_sum *sum);
uint64_t ledger_delivered(const struct ledger_sum *sum);
uint64_t ledger_dropped(const struct ledger_sum *sum);
/* routed - delivered - dropped: messages standing in queues and in flight. */
uint64_t ledger_waiting(const struct ledger_sum *sum);

/* Calls each(arg, name, value) for every counter, in order. */
void ledger_each(const struct ledger_sum *sum,
                 void (*each)(void *arg, const char *name, uint64_t value), void *arg);

#endif
