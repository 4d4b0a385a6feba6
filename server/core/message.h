/* An application message: immutable once routed, counted, shared by all queues.
 *
 * One block of memory holds the struct and, behind it, the wire image that the
 * commonest delivery needs: a complete MQTT 3.1.1 QoS 0 PUBLISH, so that such a
 * delivery is one copy.  The other layouts are put together from its pieces:
 *
 *     head[head_len] | topic length, topic | payload | forwarded properties
 *     ^ message_wire()
 *
 * Freed to a per-thread freelist by whoever drops the last reference.  Any thread. */
#ifndef SKEP_CORE_MESSAGE_H
#define SKEP_CORE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/refbuf.h"
#include "base/str.h"

enum { MESSAGE_NO_EXPIRY = 0 };

struct message {
    struct refbuf buf;
    uint64_t expires_ms; /* monotonic broker clock (see core/broker.h); MESSAGE_NO_EXPIRY */
    uint64_t publisher;  /* the publishing session's serial (no-local); 0: the broker itself */
    uint32_t payload_len;
    uint32_t wire_len;  /* of the QoS 0 packet: head + topic + payload */
    uint32_t props_len; /* forwarded properties, MQTT 5 encoding */
    uint16_t topic_len;
    uint8_t head_len;   /* first byte and remaining length of the QoS 0 packet: 2 to 5 */
    uint8_t qos : 2;    /* as published */
    uint8_t retain : 1; /* as published */
    uint8_t size_class;
    uint8_t bytes[];
};

/* topic, payload and props are copied.  props must already be filtered to what is
 * forwarded (mqtt_props_forward).  NULL when memory is refused (the caller answers
 * 0x97).  The result has one reference. */
struct message *message_new(struct str topic, struct str payload, struct str props, uint8_t qos,
                            bool retain);

/* As message_new with props_raw filtered on the way (mqtt_props_forward) unless plain. */
struct message *message_from_publish(struct str topic, struct str payload, struct str props_raw,
                                     bool props_plain, uint8_t qos, bool retain);

static inline void message_ref(struct message *m, uint32_t count)
{
    refbuf_ref(&m->buf, count);
}

static inline void message_unref(struct message *m)
{
    refbuf_unref(&m->buf);
}

/* The bytes of the QoS 0 packet, wire_len long. */
static inline const uint8_t *message_wire(const struct message *m)
{
    return m->bytes;
}

static inline struct str message_topic(const struct message *m)
{
    return (struct str){(const char *)m->bytes + m->head_len + 2, m->topic_len};
}

static inline struct str message_payload(const struct message *m)
{
    return (struct str){(const char *)m->bytes + m->head_len + 2 + m->topic_len, m->payload_len};
}

static inline struct str message_props(const struct message *m)
{
    return (struct str){(const char *)m->bytes + m->wire_len, m->props_len};
}

/* What a message weighs in a queue's limits: all that a publisher can make large. */
static inline size_t message_size(const struct message *m)
{
    return (size_t)m->wire_len + m->props_len;
}

/* Memory one message holds, for budgets: struct, topic, payload, properties. */
static inline size_t message_cost(const struct message *m)
{
    return sizeof *m + m->wire_len + m->props_len;
}

#endif
