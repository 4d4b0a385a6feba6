#include "core/message.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "mqtt/packet.h"

enum {
    PUBLISH_QOS0 = MQTT_PUBLISH << 4,
    REMAINING_MAX = 268435455, /* [MQTT-1.5.5-1] */
};

static void message_release(struct refbuf *buf)
{
    struct message *m = CONTAINER_OF(buf, struct message, buf);
    pool_free(m, m->size_class);
}

/* The fixed header of a QoS 0 PUBLISH; returns its length. */
static uint8_t head_write(uint8_t *dst, uint32_t remaining)
{
    uint8_t n = 0;
    dst[n++] = PUBLISH_QOS0;
    do {
        uint8_t digit = remaining & 0x7f;
        remaining >>= 7;
        dst[n++] = digit | (remaining ? 0x80 : 0);
    } while (remaining);
    return n;
}

/* Room for the pieces with everything but the properties filled in. */
static struct message *message_build(struct str topic, struct str payload, size_t props_room,
                                     uint8_t qos, bool retain)
{
    size_t remaining = 2 + topic.len + payload.len;
    uint8_t head[5], size_class;

    if (topic.len > UINT16_MAX || remaining > REMAINING_MAX || props_room > REMAINING_MAX)
        return NULL;
    uint8_t head_len = head_write(head, (uint32_t)remaining);
    size_t size = offsetof(struct message, bytes) + head_len + remaining + props_room;
    struct message *m = pool_alloc(size < sizeof *m ? sizeof *m : size, &size_class);
    if (!m)
        return NULL;

    *m = (struct message){
        .buf = {.refs = 1, .release = message_release},
        .expires_ms = MESSAGE_NO_EXPIRY,
        .payload_len = (uint32_t)payload.len,
        .wire_len = (uint32_t)(head_len + remaining),
        .topic_len = (uint16_t)topic.len,
        .head_len = head_len,
        .qos = qos & 3,
        .retain = retain,
        .size_class = size_class,
    };
    uint8_t *p = m->bytes;
    memcpy(p, head, head_len);
    p += head_len;
    *p++ = (uint8_t)(topic.len >> 8);
    *p++ = (uint8_t)topic.len;
    if (topic.len)
        memcpy(p, topic.ptr, topic.len);
    if (payload.len)
        memcpy(p + topic.len, payload.ptr, payload.len);
    return m;
}

struct message *message_new(struct str topic, struct str payload, struct str props, uint8_t qos,
                            bool retain)
{
    struct message *m = message_build(topic, payload, props.len, qos, retain);

    if (m && props.len) {
        memcpy(m->bytes + m->wire_len, props.ptr, props.len);
        m->props_len = (uint32_t)props.len;
    }
    return m;
}

struct message *message_from_publish(struct str topic, struct str payload, struct str props_raw,
                                     bool props_plain, uint8_t qos, bool retain)
{
    if (props_plain || props_raw.len == 0)
        return message_new(topic, payload, props_raw, qos, retain);

    struct message *m = message_build(topic, payload, props_raw.len, qos, retain);
    if (m)
        m->props_len = (uint32_t)mqtt_props_forward(props_raw, m->bytes + m->wire_len);
    return m;
}
