/* PUBLISH, the hot path: without properties nothing is walked and nothing is
 * called.  The topic is left to topic_name_check, which the caller skips when it
 * sees the topic of the message before. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

static int publish_props(struct cursor *c, bool from_server, struct mqtt_publish *out)
{
    struct props props;
    int fault = props_read(c, from_server ? PROPS_OF_PUBLISH_FROM_SERVER : MQTT_PUBLISH, &props);

    if (fault)
        return fault;
    out->props = props.raw;
    out->props_plain = (props.seen & ~PROPS_FORWARDED) == 0;
    out->payload_format = (uint8_t)props_number(&props, PROP_PAYLOAD_FORMAT, 0);
    out->expiry = props_number(&props, PROP_MESSAGE_EXPIRY, UINT32_MAX);
    out->topic_alias = (uint16_t)props_number(&props, PROP_TOPIC_ALIAS, 0);
    out->response_topic = props_value(&props, PROP_RESPONSE_TOPIC);
    out->correlation_data = props_value(&props, PROP_CORRELATION_DATA);
    out->content_type = props_value(&props, PROP_CONTENT_TYPE);
    return 0;
}

/* The property block of MQTT 5; most have none. */
static inline int publish_tail(struct cursor *c, bool from_server, struct mqtt_publish *out)
{
    int fault;

    if (UNLIKELY(c->left == 0))
        return RC_MALFORMED;
    if (LIKELY(c->at[0] == 0))
        cursor_skip(c, 1);
    else if ((fault = publish_props(c, from_server, out)) != 0)
        return fault;
    return 0;
}

int mqtt_decode_publish(const struct mqtt_frame *frame, uint8_t version, bool from_server,
                        struct mqtt_publish *out)
{
    struct cursor c = cursor_of(frame->body);
    uint8_t qos = frame->flags >> 1 & 3;
    int fault;

    *out = (struct mqtt_publish){
        .qos = qos,
        .retain = frame->flags & 1,
        .dup = frame->flags >> 3,
        .props_plain = true,
        .expiry = UINT32_MAX,
    };
    if (UNLIKELY(qos == 3))
        return RC_MALFORMED; /* [MQTT-3.3.1-4] */
    if (UNLIKELY((frame->flags & 0x0E) == 0x08) && version >= MQTT_50)
        return RC_MALFORMED; /* [MQTT-3.3.1-2]; in 3.x the rule is the sender's alone */
    if (UNLIKELY(!cursor_binary(&c, &out->topic)))
        return RC_MALFORMED;
    if (qos) {
        if (UNLIKELY(!cursor_u16(&c, &out->packet_id)))
            return RC_MALFORMED;
        if (UNLIKELY(out->packet_id == 0))
            return RC_PROTOCOL_ERROR; /* [MQTT-2.3.1-1] [MQTT-2.2.1-3] */
    }
    if (version >= MQTT_50 && (fault = publish_tail(&c, from_server, out)) != 0)
        return fault;
    if (UNLIKELY(out->topic.len == 0) && out->topic_alias == 0)
        return version >= MQTT_50 ? RC_PROTOCOL_ERROR : RC_MALFORMED; /* [MQTT-4.7.3-1] */
    out->payload = cursor_rest(&c);
    return 0;
}
