/* SUBSCRIBE and UNSUBSCRIBE [MQTT 3.8, 3.10].  The packet is checked from end to end
 * first, so the cursor that hands the filters out cannot fail half way. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum {
    OPTION_QOS = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING = 0x30,
    OPTION_RESERVED = 0xC0,
    OPTION_RESERVED_311 = 0xFC,
};

/* Flags, packet id and properties, the same in both packets. */
static int subscribe_head(const struct mqtt_frame *frame, uint8_t version,
                          struct mqtt_subscribe *out)
{
    struct cursor c = cursor_of(frame->body);
    struct props props;
    int fault;

    *out = (struct mqtt_subscribe){.version = version};
    /* [MQTT-3.8.1-1] [MQTT-3.10.1-1]; DUP is legal in 3.1 [MQTT-V31-13] */
    if (frame->flags != 2 && !(frame->flags == 10 && version == MQTT_31))
        return RC_MALFORMED;
    if (!cursor_u16(&c, &out->packet_id))
        return RC_MALFORMED;
    if (out->packet_id == 0)
        return RC_PROTOCOL_ERROR; /* [MQTT-2.3.1-1] [MQTT-2.2.1-3] */
    if (version >= MQTT_50) {
        if ((fault = props_read(&c, frame->type, &props)) != 0)
            return fault;
        out->props = props.raw;
        out->subscription_id = props_number(&props, PROP_SUBSCRIPTION_ID, 0);
    }
    if (c.left == 0)
        return RC_PROTOCOL_ERROR; /* [MQTT-3.8.3-2] [MQTT-3.8.3-3] [MQTT-3.10.3-2] */
    out->rest = cursor_rest(&c);
    return 0;
}

static int option_check(uint8_t option, uint8_t version, struct str filter)
{
    if ((option & OPTION_QOS) == 3)
        return RC_MALFORMED; /* [MQTT-3.8.3-4] [MQTT-3.8.3-5] */
    if (version == MQTT_31)
        return 0; /* 3.1 calls the other bits unused, not reserved */
    if (version == MQTT_311)
        return option & OPTION_RESERVED_311 ? RC_MALFORMED : 0;
    if ((option & OPTION_RESERVED) || (option & OPTION_RETAIN_HANDLING) == OPTION_RETAIN_HANDLING)
        return RC_MALFORMED;
    if ((option & OPTION_NO_LOCAL) && str_starts(filter, STR("$share/")))
        return RC_PROTOCOL_ERROR; /* [MQTT-3.8.3-4] */
    return 0;
}

int mqtt_decode_subscribe(const struct mqtt_frame *frame, uint8_t version,
                          struct mqtt_subscribe *out)
{
    struct cursor c;
    struct str filter;
    uint8_t option;
    int fault;

    if (frame->type != MQTT_SUBSCRIBE)
        return RC_MALFORMED;
    if ((fault = subscribe_head(frame, version, out)) != 0)
        return fault;
    for (c = cursor_of(out->rest); c.left > 0; out->count++) {
        if (!cursor_text(&c, &filter) || !cursor_u8(&c, &option))
            return RC_MALFORMED; /* [MQTT-3.8.3-1] */
        if ((fault = option_check(option, version, filter)) != 0)
            return fault;
    }
    return 0;
}

bool mqtt_subscribe_next(struct mqtt_subscribe *s, struct mqtt_subscription *out)
{
    struct cursor c = cursor_of(s->rest);
    uint8_t option;

    if (!cursor_binary(&c, &out->filter) || !cursor_u8(&c, &option))
        return false;
    s->rest = cursor_rest(&c);
    out->qos = option & OPTION_QOS;
    if (s->version < MQTT_50)
        option = 0; /* what 3.1 lets through has no meaning */
    out->no_local = (option & OPTION_NO_LOCAL) != 0;
    out->retain_as_published = (option & OPTION_RETAIN_AS_PUBLISHED) != 0;
    out->retain_handling = (option & OPTION_RETAIN_HANDLING) >> 4;
    return true;
}

int mqtt_decode_unsubscribe(const struct mqtt_frame *frame, uint8_t version,
                            struct mqtt_subscribe *out)
{
    struct cursor c;
    struct str filter;
    int fault;

    if (frame->type != MQTT_UNSUBSCRIBE)
        return RC_MALFORMED;
    if ((fault = subscribe_head(frame, version, out)) != 0)
        return fault;
    for (c = cursor_of(out->rest); c.left > 0; out->count++)
        if (!cursor_text(&c, &filter))
            return RC_MALFORMED; /* [MQTT-3.10.3-1] */
    return 0;
}

bool mqtt_unsubscribe_next(struct mqtt_subscribe *s, struct str *filter)
{
    struct cursor c = cursor_of(s->rest);

    if (!cursor_binary(&c, filter))
        return false;
    s->rest = cursor_rest(&c);
    return true;
}
