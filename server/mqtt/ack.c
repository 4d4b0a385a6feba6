/* PUBACK, PUBREC, PUBREL, PUBCOMP [MQTT 3.4 to 3.7]: one layout for the four. */
#include "base/mem.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

static bool ack_flags_ok(const struct mqtt_frame *frame, uint8_t version)
{
    if (frame->type != MQTT_PUBREL)
        return frame->flags == 0; /* [MQTT-2.2.2-2] [MQTT-2.1.3-1] */
    /* [MQTT-3.6.1-1]; 3.1 knows a PUBREL sent again with DUP [MQTT-V31-13]. */
    return frame->flags == 2 || (frame->flags == 10 && version == MQTT_31);
}

static int ack_props(struct cursor *c, uint8_t type, struct mqtt_ack *out)
{
    struct props props;
    int fault = props_read(c, type, &props);

    if (fault)
        return fault;
    out->props = props.raw;
    out->reason_string = props_value(&props, PROP_REASON_STRING);
    return 0;
}

int mqtt_decode_ack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_ack *out)
{
    struct cursor c = cursor_of(frame->body);
    int fault;

    *out = (struct mqtt_ack){0};
    if (frame->type < MQTT_PUBACK || frame->type > MQTT_PUBCOMP || !ack_flags_ok(frame, version))
        return RC_MALFORMED;
    if (!cursor_u16(&c, &out->packet_id))
        return RC_MALFORMED;
    if (out->packet_id == 0)
        return RC_PROTOCOL_ERROR;
    if (LIKELY(c.left == 0))
        return 0;
    if (version < MQTT_50 || !cursor_u8(&c, &out->reason))
        return RC_MALFORMED;
    if (!mqtt_reason_allowed(frame->type, out->reason))
        return RC_PROTOCOL_ERROR; /* [MQTT-3.4.2-1] and its sisters */
    /* The property length may be missing too. */
    if (c.left > 0 && (fault = ack_props(&c, frame->type, out)) != 0)
        return fault;
    return c.left == 0 ? 0 : RC_MALFORMED;
}
