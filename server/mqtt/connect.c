/* CONNECT [MQTT 3.1]: name and level first, since they say how to read the rest. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum {
    FLAG_RESERVED = 0x01,
    FLAG_CLEAN = 0x02,
    FLAG_WILL = 0x04,
    FLAG_WILL_QOS = 0x18,
    FLAG_WILL_RETAIN = 0x20,
    FLAG_PASSWORD = 0x40,
    FLAG_USERNAME = 0x80,
};

#define BRIDGE_BIT 0x80

/* Bridges of other brokers mark themselves with bit 0x80 in levels 3 and 4. */
static int connect_level(struct str name, uint8_t level, struct mqtt_connect *out)
{
    bool old = str_eq(name, STR("MQIsdp")), current = str_eq(name, STR("MQTT"));
    uint8_t plain = level & (uint8_t)~BRIDGE_BIT;

    if ((old && plain == MQTT_31) || (current && plain == MQTT_311) ||
        (current && level == MQTT_50)) {
        out->version = plain;
        out->bridge = level != plain;
        return 0;
    }
    /* [MQTT-3.1.2-1] [MQTT-3.1.2-2]; who says MQIsdp can read an answer of 3.1 only
     * [MQTT-V31-2] [MQTT-V31-3]. */
    out->version = old ? MQTT_31 : level;
    return RC_UNSUPPORTED_VERSION;
}

static int connect_flags(uint8_t flags, struct mqtt_connect *out)
{
    bool strict = out->version != MQTT_31; /* 3.1 calls these bits unused, not reserved */

    if ((flags & FLAG_RESERVED) && strict)
        return RC_MALFORMED; /* [MQTT-3.1.2-3] */
    out->clean_start = (flags & FLAG_CLEAN) != 0;
    out->has_will = (flags & FLAG_WILL) != 0;
    out->has_username = (flags & FLAG_USERNAME) != 0;
    out->has_password = (flags & FLAG_PASSWORD) != 0;
    if (out->has_will) {
        out->will.qos = (flags & FLAG_WILL_QOS) >> 3;
        out->will.retain = (flags & FLAG_WILL_RETAIN) != 0;
        if (out->will.qos == 3)
            return RC_MALFORMED; /* [MQTT-3.1.2-12] [MQTT-3.1.2-14] */
    } else if ((flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) && strict) {
        return RC_MALFORMED; /* [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15] */
    }
    if (out->has_password && !out->has_username && out->version != MQTT_50)
        return RC_MALFORMED; /* [MQTT-3.1.2-22] [MQTT-V31-18] */
    return 0;
}

static int connect_props(struct cursor *c, struct mqtt_connect *out)
{
    struct props props;
    int fault = props_read(c, MQTT_CONNECT, &props);

    if (fault)
        return fault;
    out->props = props.raw;
    out->session_expiry = props_number(&props, PROP_SESSION_EXPIRY, 0);
    out->receive_maximum = (uint16_t)props_number(&props, PROP_RECEIVE_MAXIMUM, UINT16_MAX);
    out->maximum_packet_size = props_number(&props, PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    out->topic_alias_maximum = (uint16_t)props_number(&props, PROP_TOPIC_ALIAS_MAXIMUM, 0);
    out->request_response_info = props_number(&props, PROP_REQUEST_RESPONSE_INFO, 0) != 0;
    out->request_problem_info = props_number(&props, PROP_REQUEST_PROBLEM_INFO, 1) != 0;
    out->has_auth_method = props_has(&props, PROP_AUTH_METHOD);
    out->auth_method = props_value(&props, PROP_AUTH_METHOD);
    out->auth_data = props_value(&props, PROP_AUTH_DATA);
    if (props_has(&props, PROP_AUTH_DATA) && !out->has_auth_method)
        return RC_PROTOCOL_ERROR;
    return 0;
}

static int connect_will(struct cursor *c, struct mqtt_connect *out)
{
    struct mqtt_will *will = &out->will;
    struct props props;
    int fault;

    if (out->version == MQTT_50) {
        if ((fault = props_read(c, PROPS_OF_WILL, &props)) != 0)
            return fault;
        will->props = props.raw;
        will->delay = props_number(&props, PROP_WILL_DELAY, 0);
        will->expiry = props_expiry(&props);
    }
    if (!cursor_text(c, &will->topic) || !cursor_binary(c, &will->payload))
        return RC_MALFORMED; /* [MQTT-3.1.2-9] [MQTT-3.1.3-10] [MQTT-3.1.3-11] */
    if (topic_name_check(will->topic, 0) != TOPIC_OK)
        return RC_TOPIC_INVALID; /* [MQTT-4.7.0-1] [MQTT-4.7.1-1] [MQTT-4.7.3-1] */
    return 0;
}

/* [MQTT-3.1.3-1]: client id, will, user name, password, and nothing behind. */
static int connect_payload(struct cursor *c, struct mqtt_connect *out)
{
    int fault;

    if (!cursor_text(c, &out->client_id))
        return RC_MALFORMED; /* [MQTT-3.1.3-3] [MQTT-3.1.3-4] */
    if (out->has_will && (fault = connect_will(c, out)) != 0)
        return fault;
    if (out->has_username && !cursor_text(c, &out->username))
        return RC_MALFORMED; /* [MQTT-3.1.3-11] [MQTT-3.1.3-12] [MQTT-V31-19] */
    if (out->has_password && !cursor_binary(c, &out->password))
        return RC_MALFORMED;
    return c->left == 0 ? 0 : RC_MALFORMED; /* [MQTT-3.1.2-16] [MQTT-3.1.2-18] */
}

static void connect_defaults(struct mqtt_connect *out)
{
    out->session_expiry = out->clean_start ? 0 : UINT32_MAX;
    out->receive_maximum = UINT16_MAX;
    out->maximum_packet_size = UINT32_MAX;
    out->request_problem_info = true;
}

int mqtt_decode_connect(const struct mqtt_frame *frame, struct mqtt_connect *out)
{
    struct cursor c = cursor_of(frame->body);
    struct str name;
    uint8_t level, flags;
    int fault;

    *out = (struct mqtt_connect){.will.expiry = UINT32_MAX};
    if (frame->type != MQTT_CONNECT || frame->flags != 0)
        return RC_MALFORMED; /* [MQTT-2.2.2-2] [MQTT-2.1.3-1] */
    if (!cursor_binary(&c, &name) || !cursor_u8(&c, &level))
        return RC_MALFORMED;
    if ((fault = connect_level(name, level, out)) != 0)
        return fault;
    if (!cursor_u8(&c, &flags) || !cursor_u16(&c, &out->keep_alive))
        return RC_MALFORMED;
    if ((fault = connect_flags(flags, out)) != 0)
        return fault;
    connect_defaults(out);
    if (out->version == MQTT_50 && (fault = connect_props(&c, out)) != 0)
        return fault;
    return connect_payload(&c, out);
}
