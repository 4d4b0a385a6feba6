/* The last decisions about a client, for `skepctl client ID`.
 *
 * A handful of small records in one block that its presence holds, under the presence's lock: also
 * deliveries, which happen on any loop, leave one. */
#ifndef SKEP_HOST_RING_H
#define SKEP_HOST_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/identity.h"

enum { RING_RECORDS = 16, RING_BYTES = 2048, RING_TOPIC = 128, RING_TEXT = 160 };

struct ring_entry {
    uint64_t wall_ms;
    uint8_t stage, verdict, reason, qos;
    struct str topic;  /* or filter; cut to RING_TOPIC */
    struct str module; /* empty: the host itself */
    struct str where;  /* "file:line text"; cut to RING_TEXT */
};

/* Any thread. */
void ring_add(struct presence *p, const struct ring_entry *e);

/* Calls each for what is there, oldest first, with the lock held.  Any thread. */
void ring_each(struct presence *p, void (*each)(void *arg, const struct ring_entry *e), void *arg);

#endif
