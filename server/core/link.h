/* The core's way out to one connected client.  front fills the table; tests/sim has one
 * of its own.  core never sees a socket. */
#ifndef SKEP_CORE_LINK_H
#define SKEP_CORE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/refbuf.h"

struct link;
struct skep_client;
struct alias_table;

enum link_sent {
    LINK_SENT,    /* all of it went out */
    LINK_BLOCKED, /* the link keeps the rest; send no more until it flushes the session again */
    LINK_BUSY,    /* it was blocked already: nothing was taken */
    LINK_FAILED,  /* the connection is ending; the bytes are lost */
};

struct link_ops {
    /* Called with the session's lock held, by any worker if link->shareable, else by the
     * owner only.  The link takes over all bytes, also when BLOCKED. */
    enum link_sent (*send)(struct link *link, const struct out_vec *vec, unsigned count);
    /* End this connection soon with an MQTT reason.  Session lock held; any worker. */
    void (*kick)(struct link *link, uint8_t reason);
    /* The same with a text for the client; NULL: kick. */
    void (*kick_text)(struct link *link, uint8_t reason, const char *text);
    /* A new description of who is at the other end.  Session lock held; any worker.  NULL: the
     * session tells all there is. */
    struct skep_client *(*identify)(struct link *link);
};

struct link {
    const struct link_ops *ops;
    struct alias_table *aliases; /* outgoing topic aliases; NULL until used */
    uint32_t maximum_packet;     /* the client's, UINT32_MAX if none */
    uint16_t quota;              /* QoS>0 PUBLISHes that may be unacknowledged at a time, >= 1 */
    uint16_t alias_maximum;      /* outgoing aliases allowed, 0: none [MQTT-3.1.2-26] */
    uint16_t mount_len;          /* bytes of the mount point, not shown to the client */
    uint8_t version;             /* enum mqtt_version */
    uint8_t worker;              /* index of the owner */
    bool shareable;
    bool blocked; /* guarded by the session's lock */
};

#endif
