/* The protocol of one connection to another broker.  Bytes in, bytes out: no socket, no clock of
 * its own, nothing of Skep but the words of <skep/message.h>.
 *
 *     IDLE --open--> ASKED --CONNACK--> SUBSCRIBING --SUBACKs--> LIVE
 *       ^                                                          |
 *       +------------------------- engine_lost() -----------------+
 *
 * It outlives its connections: what is in flight when one is lost is sent again on the next.
 *
 * Out: items are sent in their order, as many at a time as the remote broker takes.  The packet id
 * follows from the item's id, so that a process that was killed sends the same message under the
 * same packet id again.  With QoS 2 the PUBREC is written down (calls.note) before PUBREL goes
 * out: a later process knows then not to send the message again.
 *
 * In: each message is handed on, and acknowledged when engine_taken() says so, in order. */
#ifndef BRIDGE_ENGINE_H
#define BRIDGE_ENGINE_H

#include "item.h"
#include "pace.h"
#include "wire.h"

enum engine_state { ENGINE_IDLE, ENGINE_ASKED, ENGINE_SUBSCRIBING, ENGINE_LIVE };

enum outcome {
    OUTCOME_DONE,      /* the remote broker has it */
    OUTCOME_REFUSED,   /* it never will: see reason */
    OUTCOME_EXPIRED,   /* its time ran out here */
    OUTCOME_TOO_LARGE, /* for the remote broker */
    OUTCOME_OVERFLOW,  /* QoS 0, and the line is too slow */
};

/* A message that came in and is not acknowledged yet. */
struct incoming {
    struct incoming *next;
    struct engine *engine; /* NULL: the connection that it came on is gone */
    uint16_t packet_id;
    uint8_t qos, reason;
    bool taken;
};

enum handing { HANDED, HAND_LATER, HAND_FAILED };

struct engine_calls {
    /* CONNACK came; session: it has ours.  Fill *subs and *unsubs (views that live until the
     * engine is LIVE). */
    void (*up)(void *arg, bool session);
    void (*live)(void *arg);
    /* A filter was refused by the remote broker. */
    void (*refused)(void *arg, struct skep_str filter, unsigned reason);
    /* in: NULL for QoS 0; else engine_taken() it.  LATER: call engine_resume() when it may be
     * tried again.  FAILED: the connection is given up. */
    enum handing (*message)(void *arg, const struct wire_packet *p, struct incoming *in);
    /* PUBREL: forget the packet id, then engine_complete() it. */
    void (*forget)(void *arg, uint16_t packet_id);
    /* PUBREC came for the item: write it down, then engine_noted(). */
    void (*note)(void *arg, const struct item *item);
    /* The note is void: remove it, then engine_cleared(). */
    void (*clear)(void *arg, const struct item *item);
    /* The item has left and is freed after this. */
    void (*left)(void *arg, const struct item *item, enum outcome outcome, unsigned reason);
};

struct engine_conf {
    struct wire_connect connect; /* strings live as long as the engine */
    uint32_t ping_timeout_ms;
    uint16_t window;   /* items in flight at most */
    uint16_t window2;  /* of those, QoS 2 */
    uint32_t most_out; /* bytes of a packet out; 0: what the remote broker says */
    size_t q0_bytes;   /* of QoS 0 items that wait */
};

enum { ENGINE_BUCKETS = 256, ENGINE_FILTERS = 16, ENGINE_OUT_MOST = 128 * 1024 };

struct engine {
    const struct engine_conf *conf;
    const struct engine_calls *calls;
    void *arg;
    enum engine_state state;
    const char *why; /* after -1 */
    unsigned reason; /* of CONNACK or DISCONNECT, if that was it */
    bool temporary;  /* it may well go on after a while */
    struct buf in, out;
    bool waiting; /* a message could not be handed on */
    bool handing; /* within engine_input() */

    /* What the remote broker allows. */
    uint32_t maximum_packet;
    uint16_t quota, quota2; /* 2: of QoS 2 */
    uint8_t maximum_qos;
    bool retain, wildcard;

    /* Subscriptions to be made and ended; set by calls.up. */
    struct wire_filter *subs;
    struct skep_str *unsubs;
    size_t sub_count, sub_done, unsub_count, unsub_done, asked;

    struct items fast;   /* QoS 0 */
    struct items queue;  /* QoS 1 and 2, not in flight */
    struct items slow;   /* those of them that live messages go by */
    struct items flight; /* in the order of sending */
    struct item *by_id[ENGINE_BUCKETS];
    struct bucket pace; /* of a backlog */
    uint64_t pace_left; /* items of `queue` that it holds for; for `slow` it always holds */
    size_t slow_flight; /* of the items in flight */
    size_t qos2_flight;
    uint64_t retry_ms; /* not before then is there more to send; 0: nothing waits for time */

    struct incoming *acks, **acks_last;
    uint64_t heard_ms, sent_ms, ping_ms; /* ping_ms 0: none under way */
    uint32_t keep_alive_ms;
};

void engine_init(struct engine *e, const struct engine_conf *conf, const struct engine_calls *calls,
                 void *arg);
void engine_fini(struct engine *e);

/* The line is there: CONNECT is put in e->out.  bridge: try the private bit (3.1.1). */
void engine_open(struct engine *e, uint64_t now_ms, bool bridge);
/* Bytes came (none, after engine_resume()).  0; -1: give the line up, e->why says why. */
int engine_input(struct engine *e, const void *data, size_t len, uint64_t now_ms);
static inline void engine_resume(struct engine *e)
{
    e->waiting = false;
}
/* Time passed: pings.  0 or -1.  Call every second or so. */
int engine_tick(struct engine *e, uint64_t now_ms);
/* The line is gone. */
void engine_lost(struct engine *e);

/* Takes the item over.  released: PUBREC was noted for it by an earlier process. */
void engine_put(struct engine *e, struct item *item, bool released);
/* Whether an item with that id is here already. */
bool engine_has(const struct engine *e, uint64_t id);
/* Puts in e->out what may be sent now. */
void engine_pump(struct engine *e, uint64_t now_ms);
void engine_noted(struct engine *e, uint64_t id);
void engine_cleared(struct engine *e, uint64_t id);
/* Slow items keep to this rate (0: no limit), and the next `count` others of QoS 1 and 2. */
void engine_pace(struct engine *e, double rate, uint64_t count, uint64_t now_ms);

/* `in` is freed. */
void engine_taken(struct incoming *in, unsigned reason);
void engine_complete(struct engine *e, uint16_t packet_id);

/* DISCONNECT, in order. */
void engine_leave(struct engine *e);

static inline uint16_t engine_packet_id(uint64_t id)
{
    return (uint16_t)(id % 65534 + 1);
}
enum { ENGINE_OWN_ID = 65535 }; /* of SUBSCRIBE and UNSUBSCRIBE, one at a time */

/* engine_out.c */
void engine_answered(struct engine *e, const struct wire_packet *p);
void engine_rewind(struct engine *e, bool session);

#endif
