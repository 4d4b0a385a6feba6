/* Packets that core has sent to a consumer and that were not handed out yet: whole ones, PUBLISH
 * and (for what was acknowledged before a restart) PUBREL. */
#ifndef SKEP_HOST_ARRIVALS_H
#define SKEP_HOST_ARRIVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/refbuf.h"
#include "core/fifo.h"
#include "mqtt/packet.h"

/* Zero-initialised is empty. */
struct arrivals {
    uint8_t *bytes;
    size_t len, cap, at; /* at: up to there they were handed out */
    struct arrival {
        uint64_t counter; /* of QoS > 0 */
        size_t end;
    } * items;
    uint32_t count, items_cap, next;
};

/* Copies them.  q1: the queue they come from, as it is at this moment. */
void arrivals_keep(struct arrivals *in, const struct fifo *q1, const struct out_vec *vec,
                   unsigned count);

/* Bytes that wait. */
static inline size_t arrivals_bytes(const struct arrivals *in)
{
    return in->len - in->at;
}

static inline bool arrivals_empty(const struct arrivals *in)
{
    return in->next == in->count;
}

/* Takes the oldest; views that live until the next call of arrivals_keep() or arrivals_trim(). */
void arrivals_next(struct arrivals *in, struct mqtt_frame *frame, uint64_t *counter);

/* Once empty: gives memory back, if it is much. */
void arrivals_trim(struct arrivals *in);
void arrivals_drop(struct arrivals *in);
void arrivals_fini(struct arrivals *in);

#endif
