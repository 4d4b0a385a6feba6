/* The queues of a bridge: durable sessions of this broker whose client is the bridge.
 *
 * The first has the subscriptions.  With `live_first` there is a second one, the backlog: what
 * arrives while the line is down is moved there (published under a topic that the second one alone
 * subscribes to), so that the first is free for live messages when the line is up again.
 *
 * Ids of items: the consumer's id, doubled, and the queue's number. */
#ifndef BRIDGE_QUEUE_H
#define BRIDGE_QUEUE_H

#include <skep/loop.h>
#include <skep/message.h>

struct bridge;

enum { QUEUE_LIVE, QUEUE_BACKLOG, QUEUE_COUNT };

struct queue {
    struct bridge *bridge;
    unsigned number;
    struct skep_consumer *consumer;
    struct skep_timer *timer; /* to open it again */
    bool ready, flowing;
    uint64_t *late; /* acknowledged by the remote broker while there was no consumer */
    size_t late_count, late_cap;
};

/* Begins to open it; queue_is_open() of the bridge follows. */
void queue_open(struct queue *q, struct bridge *b, unsigned number);
/* forget: what is in it is lost. */
void queue_close(struct queue *q, bool forget);
void queue_free(struct queue *q);
/* Another instance of the module has it from now on. */
void queue_adopt(struct queue *q, struct queue *old);

void queue_flow(struct queue *q, bool flow);
uint64_t queue_length(const struct queue *q);
/* The item is done with; 0: QoS 0, nothing to do. */
void queue_ack(struct queue *queues, uint64_t item_id);
/* True: it was acknowledged already, and is told the consumer now. */
bool queue_was_late(struct queue *q, uint64_t id);

static inline uint64_t queue_item_id(const struct queue *q, uint64_t id)
{
    return id ? id << 1 | q->number : 0;
}

#endif
