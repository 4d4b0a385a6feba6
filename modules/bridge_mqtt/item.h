/* A message on its way out: a copy, kept until the remote broker has acknowledged it. */
#ifndef BRIDGE_ITEM_H
#define BRIDGE_ITEM_H

#include <skep/message.h>

enum item_state {
    ITEM_WAITING,  /* to be sent (again, if `sent`) */
    ITEM_SENT,     /* PUBACK or PUBREC awaited */
    ITEM_NOTING,   /* PUBREC came; that is being written down */
    ITEM_RELEASED, /* it is written down: PUBREL is due or sent, PUBCOMP awaited */
    ITEM_CLEARING, /* the remote broker lost our session: what was written down has to go first */
};

struct item {
    struct item *next;
    struct item *same; /* the next one in flight with the same low bits of packet_id */
    uint64_t id;       /* what the consumer calls it; 0: QoS 0 */
    uint64_t ends_ms;  /* when it expires; 0: never */
    size_t bytes;
    uint16_t packet_id;
    uint8_t state;
    bool sent;             /* a PUBLISH of it went out in this session: DUP on the next */
    bool slow;             /* of the backlog that live messages go by */
    struct skep_message m; /* views into the bytes behind this struct */
};

/* FIFO, linked by `next`. */
struct items {
    struct item *first, **last; /* last NULL: empty, never used */
    size_t count, bytes;
};

/* topic and properties in place of the message's own.  QoS as in m. */
struct item *item_new(const struct skep_message *m, struct skep_str topic,
                      const struct skep_user_property *properties, size_t count, uint64_t now_ms);

void items_add(struct items *l, struct item *i);
/* In front of all others. */
void items_push(struct items *l, struct item *i);
struct item *items_take(struct items *l);
/* It has to be in it. */
void items_remove(struct items *l, struct item *i);
void items_fini(struct items *l);

#endif
