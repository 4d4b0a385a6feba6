/* What a server answers, as its clients (skepctl, bridges) read it: CONNACK, SUBACK,
 * UNSUBACK. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

static int connack_props(struct cursor *c, struct mqtt_connack *out)
{
    struct props p;
    int fault = props_read(c, MQTT_CONNACK, &p);

    if (fault)
        return fault;
    out->props = p.raw;
    out->session_expiry = props_number(&p, PROP_SESSION_EXPIRY, out->session_expiry);
    out->receive_maximum = (uint16_t)props_number(&p, PROP_RECEIVE_MAXIMUM, UINT16_MAX);
    out->topic_alias_maximum = (uint16_t)props_number(&p, PROP_TOPIC_ALIAS_MAXIMUM, 0);
    out->maximum_packet_size = props_number(&p, PROP_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    out->maximum_qos = (uint8_t)props_number(&p, PROP_MAXIMUM_QOS, 2);
    out->retain_available = props_number(&p, PROP_RETAIN_AVAILABLE, 1) != 0;
    out->wildcard_available = props_number(&p, PROP_WILDCARD_AVAILABLE, 1) != 0;
    out->subscription_id_available = props_number(&p, PROP_SUBSCRIPTION_ID_AVAILABLE, 1) != 0;
    out->shared_available = props_number(&p, PROP_SHARED_AVAILABLE, 1) != 0;
    out->has_server_keep_alive = props_has(&p, PROP_SERVER_KEEP_ALIVE);
    out->server_keep_alive = (uint16_t)props_number(&p, PROP_SERVER_KEEP_ALIVE, 0);
    out->assigned_client_id = props_value(&p, PROP_ASSIGNED_CLIENT_ID);
    out->reason_string = props_value(&p, PROP_REASON_STRING);
    out->response_info = props_value(&p, PROP_RESPONSE_INFO);
    out->server_reference = props_value(&p, PROP_SERVER_REFERENCE);
    out->auth_method = props_value(&p, PROP_AUTH_METHOD);
    out->auth_data = props_value(&p, PROP_AUTH_DATA);
    if (props_has(&p, PROP_AUTH_DATA) && !props_has(&p, PROP_AUTH_METHOD))
        return RC_PROTOCOL_ERROR;
    return 0;
}

/* [MQTT-3.2.2-8]; the return codes of 3.x are 0 to 5 [MQTT-V31-8]. */
static bool connack_reason_ok(uint8_t version, uint8_t reason)
{
    return version >= MQTT_50 ? mqtt_reason_allowed(MQTT_CONNACK, reason) : reason <= 5;
}

int mqtt_decode_connack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_connack *out)
{
    struct cursor c = cursor_of(frame->body);
    uint8_t flags;
    int fault;

    *out = (struct mqtt_connack){
        .session_expiry = UINT32_MAX - 1,
        .receive_maximum = UINT16_MAX,
        .maximum_packet_size = UINT32_MAX,
        .maximum_qos = 2,
        .retain_available = true,
        .wildcard_available = true,
        .subscription_id_available = true,
        .shared_available = true,
    };
    if (frame->type != MQTT_CONNACK || frame->flags != 0)
        return RC_MALFORMED;
    if (!cursor_u8(&c, &flags) || !cursor_u8(&c, &out->reason))
        return RC_MALFORMED;
    if (version == MQTT_31)
        flags = 0; /* the byte is reserved and says nothing [MQTT-V31-7] */
    if (flags & 0xFE)
        return RC_MALFORMED; /* [MQTT-3.2.2-1] */
    out->session_present = flags != 0;
    if (!connack_reason_ok(version, out->reason))
        return RC_PROTOCOL_ERROR;
    if (out->session_present && out->reason != 0)
        return RC_PROTOCOL_ERROR; /* [MQTT-3.2.2-4] [MQTT-3.2.2-6] */
    if (version >= MQTT_50 && (fault = connack_props(&c, out)) != 0)
        return fault;
    return c.left == 0 ? 0 : RC_MALFORMED;
}

/* [MQTT-3.9.3-2] [MQTT-3.11.3-2] */
static bool suback_codes_ok(uint8_t type, uint8_t version, struct str codes)
{
    for (size_t i = 0; i < codes.len; i++) {
        uint8_t code = (uint8_t)codes.ptr[i];
        bool ok = version >= MQTT_50 ? mqtt_reason_allowed(type, code)
                                     : code <= 2 || code == RC_UNSPECIFIED;
        if (!ok)
            return false;
    }
    return true;
}

int mqtt_decode_suback(const struct mqtt_frame *frame, uint8_t version, struct mqtt_suback *out)
{
    struct cursor c = cursor_of(frame->body);
    bool no_codes = frame->type == MQTT_UNSUBACK && version < MQTT_50;
    struct props props;
    int fault;

    *out = (struct mqtt_suback){0};
    if ((frame->type != MQTT_SUBACK && frame->type != MQTT_UNSUBACK) || frame->flags != 0)
        return RC_MALFORMED;
    if (!cursor_u16(&c, &out->packet_id))
        return RC_MALFORMED;
    if (out->packet_id == 0)
        return RC_PROTOCOL_ERROR;
    if (version >= MQTT_50) {
        if ((fault = props_read(&c, frame->type, &props)) != 0)
            return fault;
        out->props = props.raw;
        out->reason_string = props_value(&props, PROP_REASON_STRING);
    }
    if (no_codes != (c.left == 0))
        return RC_MALFORMED;
    out->codes = cursor_rest(&c);
    return suback_codes_ok(frame->type, version, out->codes) ? 0 : RC_PROTOCOL_ERROR;
}
