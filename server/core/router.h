/* From a publication to its targets: match, keep if retained, deliver. */
#ifndef SKEP_CORE_ROUTER_H
#define SKEP_CORE_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/worker.h"

struct skep_client;

struct publication {
    struct str topic; /* checked */
    struct str payload;
    struct str props; /* MQTT 5 properties as received, or already filtered (props_plain) */
    bool props_plain;
    uint8_t qos;
    bool retain;
    bool internal;                 /* the broker's own ($SYS): not counted as received */
    uint32_t expiry;               /* seconds, UINT32_MAX: none */
    uint64_t publisher;            /* session serial for no-local, 0: none */
    const struct skep_client *who; /* the publisher, for events; NULL: nobody asked, or no client */
    uint32_t publisher_hash;       /* of the client id, for hashed shared groups */
    uint64_t origin;               /* stored session that this is from, 0: none; for the next two */
    uint16_t packet_id;            /* it came at QoS 2 under this id */
    bool from_will;                /* it is the session's will, which it has no more */
    bool refusable;                /* the publisher can be told that it was refused */
};

struct routed {
    uint32_t targets;    /* matching sessions and shared groups */
    uint32_t full;       /* of those: QoS>0 deliveries refused by a full queue */
    bool retain_refused; /* the retained store is at its limit */
    bool memory;         /* no memory for the message: nothing was done */
    bool store;          /* the disk takes nothing now: nothing was done */
    bool written;        /* the acknowledgement has to wait for the log */
    bool id_written;     /* packet_id stands in it too */
    uint8_t denied;      /* not routed: the reason (0x80 and above) that somebody gave; 0: none */
};

/* Counts the publication as received, and as accepted or refused.  All bytes are copied
 * at most once.  Any worker. */
void router_publish(struct worker *w, const struct publication *p, struct routed *out);

/* Counts a message handed in that is refused before it gets to router_publish(). */
void router_count_received(struct worker *w, unsigned qos);

#endif
