/* DISCONNECT, AUTH and the pings [MQTT 3.12 to 3.15]. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

/* Codes that only a client sends; the others are those a server may send too. */
static bool disconnect_reason_ok(uint8_t reason)
{
    return reason == RC_NORMAL_DISCONNECT || reason == RC_DISCONNECT_WITH_WILL ||
           mqtt_reason_allowed(MQTT_DISCONNECT, reason);
}

static int disconnect_props(struct cursor *c, struct mqtt_disconnect *out)
{
    struct props props;
    int fault = props_read(c, MQTT_DISCONNECT, &props);

    if (fault)
        return fault;
    out->props = props.raw;
    out->has_session_expiry = props_has(&props, PROP_SESSION_EXPIRY);
    out->session_expiry = props_number(&props, PROP_SESSION_EXPIRY, 0);
    out->reason_string = props_value(&props, PROP_REASON_STRING);
    out->server_reference = props_value(&props, PROP_SERVER_REFERENCE);
    return 0;
}

int mqtt_decode_disconnect(const struct mqtt_frame *frame, uint8_t version,
                           struct mqtt_disconnect *out)
{
    struct cursor c = cursor_of(frame->body);
    int fault;

    *out = (struct mqtt_disconnect){0};
    if (frame->type != MQTT_DISCONNECT || frame->flags != 0)
        return RC_MALFORMED; /* [MQTT-3.14.1-1] */
    if (c.left == 0)
        return 0; /* reason 0 and no properties go without saying */
    if (version < MQTT_50 || !cursor_u8(&c, &out->reason))
        return RC_MALFORMED;
    if (!disconnect_reason_ok(out->reason))
        return RC_PROTOCOL_ERROR; /* [MQTT-3.14.2-1] */
    if (c.left > 0 && (fault = disconnect_props(&c, out)) != 0)
        return fault;
    return c.left == 0 ? 0 : RC_MALFORMED;
}

int mqtt_decode_auth(const struct mqtt_frame *frame, struct mqtt_auth *out)
{
    struct cursor c = cursor_of(frame->body);
    struct props props;
    int fault;

    *out = (struct mqtt_auth){0};
    if (frame->type != MQTT_AUTH || frame->flags != 0)
        return RC_MALFORMED; /* [MQTT-3.15.1-1] */
    if (c.left == 0)
        return 0;
    if (!cursor_u8(&c, &out->reason))
        return RC_MALFORMED;
    if (out->reason != RC_SUCCESS && out->reason != RC_CONTINUE_AUTH && out->reason != RC_REAUTH)
        return RC_PROTOCOL_ERROR; /* [MQTT-3.15.2-1] */
    if ((fault = props_read(&c, MQTT_AUTH, &props)) != 0)
        return fault;
    if (c.left > 0)
        return RC_MALFORMED;
    if (!props_has(&props, PROP_AUTH_METHOD))
        return RC_PROTOCOL_ERROR; /* 3.15.2.2.2: only the empty AUTH may go without it */
    out->has_method = true;
    out->props = props.raw;
    out->method = props_value(&props, PROP_AUTH_METHOD);
    out->data = props_value(&props, PROP_AUTH_DATA);
    out->reason_string = props_value(&props, PROP_REASON_STRING);
    return 0;
}

int mqtt_decode_ping(const struct mqtt_frame *frame)
{
    bool ping = frame->type == MQTT_PINGREQ || frame->type == MQTT_PINGRESP;

    return ping && frame->flags == 0 && frame->body.len == 0 ? 0 : RC_MALFORMED;
}
