/* The fixed header: type, flags and remaining length. */
#include "base/mem.h"
#include "mqtt/packet.h"

const char *mqtt_type_name(unsigned type)
{
    static const char *const names[] = {
        [MQTT_CONNECT] = "CONNECT",   [MQTT_CONNACK] = "CONNACK",
        [MQTT_PUBLISH] = "PUBLISH",   [MQTT_PUBACK] = "PUBACK",
        [MQTT_PUBREC] = "PUBREC",     [MQTT_PUBREL] = "PUBREL",
        [MQTT_PUBCOMP] = "PUBCOMP",   [MQTT_SUBSCRIBE] = "SUBSCRIBE",
        [MQTT_SUBACK] = "SUBACK",     [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE",
        [MQTT_UNSUBACK] = "UNSUBACK", [MQTT_PINGREQ] = "PINGREQ",
        [MQTT_PINGRESP] = "PINGRESP", [MQTT_DISCONNECT] = "DISCONNECT",
        [MQTT_AUTH] = "AUTH",
    };

    return type < ARRAY_LEN(names) && names[type] ? names[type] : "reserved";
}

static int frame_finish(const uint8_t *buf, size_t len, unsigned header, uint32_t body,
                        struct mqtt_frame *frame)
{
    frame->size = header + body;
    if (len < frame->size)
        return 0;
    frame->body = (struct str){(const char *)buf + header, body};
    return 1;
}

/* Remaining lengths of two to four bytes. */
static int frame_peek_long(const uint8_t *buf, size_t len, struct mqtt_frame *frame)
{
    uint32_t body = buf[1] & 0x7F;

    for (unsigned i = 2; i <= 4; i++) {
        if (len <= i)
            return 0;
        body |= (uint32_t)(buf[i] & 0x7F) << (7 * (i - 1));
        if (buf[i] & 0x80)
            continue;
        if (buf[i] == 0)
            return -1; /* not in the fewest bytes [MQTT-1.5.5-1] */
        return frame_finish(buf, len, i + 1, body, frame);
    }
    return -1;
}

int mqtt_frame_peek(const uint8_t *buf, size_t len, struct mqtt_frame *frame)
{
    frame->size = 0;
    frame->body = STR_NONE;
    if (UNLIKELY(len < 2)) {
        frame->type = len ? buf[0] >> 4 : 0;
        frame->flags = len ? buf[0] & 15 : 0;
        return 0;
    }
    frame->type = buf[0] >> 4;
    frame->flags = buf[0] & 15;
    if (LIKELY(buf[1] < 0x80))
        return frame_finish(buf, len, 2, buf[1], frame);
    return frame_peek_long(buf, len, frame);
}
