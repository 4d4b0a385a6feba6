/* PUBLISH, the hot path: without properties nothing is walked and nothing is
 * called.  The topic is left to topic_name_check, which the caller skips when it
 * sees the topic of the message before.
 *
 * Fields are read by hand here and no local's address is taken: with struct cursor
 * and one initialiser for the whole result (a `rep stos`) this took 1.8 times as
 * long. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

/* The property block at the head of `rest` (not empty), then the payload. */
static __attribute__((noinline)) int publish_props(struct str rest, bool from_server,
                                                   struct mqtt_publish *out)
{
    struct cursor c = cursor_of(rest);
    struct props props;
    int fault = props_read(&c, from_server ? PROPS_OF_PUBLISH_FROM_SERVER : MQTT_PUBLISH, &props);

    if (fault)
        return fault;
    out->props = props.raw;
    out->props_plain = (props.seen & ~PROPS_FORWARDED) == 0;
    out->payload_format = (uint8_t)props_number(&props, PROP_PAYLOAD_FORMAT, 0);
    out->expiry = props_expiry(&props);
    out->topic_alias = (uint16_t)props_number(&props, PROP_TOPIC_ALIAS, 0);
    out->response_topic = props_value(&props, PROP_RESPONSE_TOPIC);
    out->correlation_data = props_value(&props, PROP_CORRELATION_DATA);
    out->content_type = props_value(&props, PROP_CONTENT_TYPE);
    out->payload = cursor_rest(&c);
    if (out->topic.len == 0 && out->topic_alias == 0)
        return RC_PROTOCOL_ERROR; /* [MQTT-4.7.3-1] */
    return 0;
}

static inline void publish_defaults(uint8_t flags, struct mqtt_publish *out)
{
    out->packet_id = 0;
    out->topic_alias = 0;
    out->qos = flags >> 1 & 3;
    out->retain = flags & 1;
    out->dup = flags >> 3 & 1;
    out->props_plain = true;
    out->payload_format = 0;
    out->expiry = UINT32_MAX;
    out->props = STR_NONE;
    out->response_topic = STR_NONE;
    out->correlation_data = STR_NONE;
    out->content_type = STR_NONE;
}

int mqtt_decode_publish(const struct mqtt_frame *frame, uint8_t version, bool from_server,
                        struct mqtt_publish *out)
{
    const uint8_t *p = (const uint8_t *)frame->body.ptr;
    size_t left = frame->body.len, topic_len;
    uint8_t flags = frame->flags;

    publish_defaults(flags, out);
    if (UNLIKELY((flags & 0x06) == 0x06))
        return RC_MALFORMED; /* [MQTT-3.3.1-4] */
    if (UNLIKELY((flags & 0x0E) == 0x08) && version >= MQTT_50)
        return RC_MALFORMED; /* [MQTT-3.3.1-2]; in 3.x the rule is the sender's alone */
    if (UNLIKELY(left < 2))
        return RC_MALFORMED;
    topic_len = (size_t)p[0] << 8 | p[1];
    if (UNLIKELY(left - 2 < topic_len))
        return RC_MALFORMED;
    out->topic = (struct str){(const char *)p + 2, topic_len};
    p += 2 + topic_len;
    left -= 2 + topic_len;
    if (flags & 0x06) {
        if (UNLIKELY(left < 2))
            return RC_MALFORMED;
        out->packet_id = (uint16_t)(p[0] << 8 | p[1]);
        if (UNLIKELY(out->packet_id == 0))
            return RC_PROTOCOL_ERROR; /* [MQTT-2.3.1-1] [MQTT-2.2.1-3] */
        p += 2;
        left -= 2;
    }
    if (version >= MQTT_50) {
        if (UNLIKELY(left == 0))
            return RC_MALFORMED;
        if (p[0] != 0)
            return publish_props((struct str){(const char *)p, left}, from_server, out);
        p++;
        left--;
    }
    out->payload = (struct str){(const char *)p, left};
    if (UNLIKELY(topic_len == 0))
        return version >= MQTT_50 ? RC_PROTOCOL_ERROR : RC_MALFORMED; /* [MQTT-4.7.3-1] */
    return 0;
}
