/* What a server sends but PUBLISH: CONNACK, the acknowledgements, SUBACK, DISCONNECT,
 * AUTH.  Text that would push a packet over the peer's limit is left out. */
#include "mqtt/out.h"
#include "mqtt/reason.h"

#define FIRST(type, flags) ((unsigned)(type) << 4 | (flags))

/* A text too long for the wire is as one that does not fit the peer. */
static struct str text_bounded(struct str s)
{
    return s.len <= UINT16_MAX ? s : STR_NONE;
}

/* -- CONNACK -- */

static void connack_props(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_connack_out *c = arg;

    if (c->has_session_expiry)
        out_prop_u32(o, PROP_SESSION_EXPIRY, c->session_expiry);
    if (c->receive_maximum != UINT16_MAX)
        out_prop_u16(o, PROP_RECEIVE_MAXIMUM, c->receive_maximum);
    if (c->maximum_qos < 2)
        out_prop_u8(o, PROP_MAXIMUM_QOS, c->maximum_qos);
    if (c->no_retain)
        out_prop_u8(o, PROP_RETAIN_AVAILABLE, 0);
    if (c->maximum_packet_size)
        out_prop_u32(o, PROP_MAXIMUM_PACKET_SIZE, c->maximum_packet_size);
    out_prop_text(o, PROP_ASSIGNED_CLIENT_ID, c->assigned_client_id);
    if (c->topic_alias_maximum)
        out_prop_u16(o, PROP_TOPIC_ALIAS_MAXIMUM, c->topic_alias_maximum);
    out_prop_text(o, PROP_REASON_STRING, c->reason_string);
    out_raw(o, c->user_props);
    if (c->no_wildcard)
        out_prop_u8(o, PROP_WILDCARD_AVAILABLE, 0);
    if (c->no_subscription_id)
        out_prop_u8(o, PROP_SUBSCRIPTION_ID_AVAILABLE, 0);
    if (c->no_shared)
        out_prop_u8(o, PROP_SHARED_AVAILABLE, 0);
    if (c->has_server_keep_alive)
        out_prop_u16(o, PROP_SERVER_KEEP_ALIVE, c->server_keep_alive);
    out_prop_text(o, PROP_RESPONSE_INFO, c->response_info);
    out_prop_text(o, PROP_SERVER_REFERENCE, c->server_reference);
    if (c->has_auth_method) {
        out_prop_str(o, PROP_AUTH_METHOD, c->auth_method);
        out_prop_text(o, PROP_AUTH_DATA, c->auth_data);
    }
}

static void connack_body(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_connack_out *c = arg;

    out_u8(o, c->session_present);
    out_u8(o, c->reason);
    if (c->version >= MQTT_50)
        out_props(o, connack_props, c);
}

void mqtt_put_connack(struct mqtt_out *o, const struct mqtt_connack_out *given, uint32_t limit)
{
    struct mqtt_connack_out c = *given;

    if (c.version >= MQTT_50)
        ASSERT(mqtt_reason_allowed(MQTT_CONNACK, c.reason)); /* [MQTT-3.2.2-8] */
    else
        ASSERT(c.reason <= 5);
    /* [MQTT-3.2.2-4] [MQTT-3.2.2-6]; in 3.1 the byte is reserved [MQTT-V31-7] */
    if (c.reason != 0 || c.version == MQTT_31)
        c.session_present = false;
    c.reason_string = text_bounded(c.reason_string);
    if (out_packet_size(connack_body, &c) > limit)
        c.user_props = STR_NONE; /* [MQTT-3.2.2-20] */
    if (out_packet_size(connack_body, &c) > limit)
        c.reason_string = STR_NONE; /* [MQTT-3.2.2-19] */
    out_packet(o, FIRST(MQTT_CONNACK, 0), connack_body, &c);
}

/* -- PUBACK, PUBREC, PUBREL, PUBCOMP -- */

/* The arguments of all packets whose only property is optional text. */
struct answer {
    uint16_t packet_id;
    uint8_t reason;
    const uint8_t *codes;
    size_t count;
    struct str reason_string, server_reference, method, data;
};

static void answer_props(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;

    if (a->method.ptr)
        out_prop_str(o, PROP_AUTH_METHOD, a->method);
    out_prop_text(o, PROP_AUTH_DATA, a->data);
    out_prop_text(o, PROP_REASON_STRING, a->reason_string);
    out_prop_text(o, PROP_SERVER_REFERENCE, a->server_reference);
}

/* Writes the packet, without the reason string if with it the packet would exceed
 * the limit. */
static void answer_put(struct mqtt_out *o, unsigned first, out_part_fn *body, struct answer *a,
                       uint32_t limit)
{
    a->reason_string = text_bounded(a->reason_string);
    if (a->reason_string.len > 0 && out_packet_size(body, a) > limit)
        a->reason_string = STR_NONE;
    out_packet(o, first, body, a);
}

/* Reason and property length are left out where they say nothing. */
static void ack_body(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;

    out_u16(o, a->packet_id);
    if (a->reason == 0 && a->reason_string.len == 0)
        return;
    out_u8(o, a->reason);
    if (a->reason_string.len > 0)
        out_props(o, answer_props, a);
}

void mqtt_put_ack(struct mqtt_out *o, uint8_t type, uint8_t version, uint16_t packet_id,
                  uint8_t reason, struct str reason_string, uint32_t limit)
{
    unsigned first = FIRST(type, type == MQTT_PUBREL ? 2 : 0);
    struct answer a = {.packet_id = packet_id, .reason = reason, .reason_string = reason_string};

    ASSERT(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP);
    if (LIKELY(version < MQTT_50 || (reason == 0 && reason_string.len == 0))) {
        uint8_t packet[4] = {(uint8_t)first, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id};
        out_bytes(o, packet, sizeof packet);
        return;
    }
    ASSERT(mqtt_reason_allowed(type, reason)); /* [MQTT-3.4.2-1] and its sisters */
    answer_put(o, first, ack_body, &a, limit);
}

/* -- SUBACK, UNSUBACK -- */

static void suback_body_v3(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;

    out_u16(o, a->packet_id);
    out_bytes(o, a->codes, a->count);
}

static void suback_body_v5(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;

    out_u16(o, a->packet_id);
    out_props(o, answer_props, a);
    out_bytes(o, a->codes, a->count);
}

void mqtt_put_suback(struct mqtt_out *o, uint8_t type, uint8_t version, uint16_t packet_id,
                     const uint8_t *codes, size_t count, struct str reason_string, uint32_t limit)
{
    bool bare = version < MQTT_50 && type == MQTT_UNSUBACK;
    struct answer a = {.packet_id = packet_id, .codes = codes, .count = bare ? 0 : count};

    ASSERT(type == MQTT_SUBACK || type == MQTT_UNSUBACK);
    for (size_t i = 0; i < a.count; i++)
        ASSERT(version >= MQTT_50 ? mqtt_reason_allowed(type, codes[i])
                                  : codes[i] <= 2 || codes[i] == RC_UNSPECIFIED);
    if (version < MQTT_50) {
        out_packet(o, FIRST(type, 0), suback_body_v3, &a);
        return;
    }
    a.reason_string = reason_string;
    answer_put(o, FIRST(type, 0), suback_body_v5, &a, limit);
}

/* -- Pings -- */

void mqtt_put_pingresp(struct mqtt_out *o)
{
    out_u16(o, MQTT_PINGRESP << 12);
}

void mqtt_put_pingreq(struct mqtt_out *o)
{
    out_u16(o, MQTT_PINGREQ << 12);
}

/* -- DISCONNECT, AUTH -- */

static void reason_body(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;
    bool props = out_size(answer_props, a) > 0;

    if (a->reason == 0 && !props)
        return;
    out_u8(o, a->reason);
    if (props)
        out_props(o, answer_props, a);
}

void mqtt_put_disconnect(struct mqtt_out *o, uint8_t version, uint8_t reason,
                         struct str reason_string, struct str server_reference, uint32_t limit)
{
    struct answer a = {
        .reason = reason, .reason_string = reason_string, .server_reference = server_reference};

    if (version < MQTT_50) {
        out_u16(o, MQTT_DISCONNECT << 12);
        return;
    }
    ASSERT(mqtt_reason_allowed(MQTT_DISCONNECT, reason)); /* [MQTT-3.14.2-1] */
    answer_put(o, FIRST(MQTT_DISCONNECT, 0), reason_body, &a, limit);
}

static void auth_body(struct mqtt_out *o, const void *arg)
{
    const struct answer *a = arg;

    out_u8(o, a->reason);
    out_props(o, answer_props, a);
}

void mqtt_put_auth(struct mqtt_out *o, uint8_t reason, struct str method, struct str data,
                   struct str reason_string, uint32_t limit)
{
    struct answer a = {.reason = reason,
                       .method = method.ptr ? method : STR(""),
                       .data = data,
                       .reason_string = reason_string};

    /* [MQTT-3.15.2-1]; 0x19 is a client's */
    ASSERT(reason == RC_REAUTH || mqtt_reason_allowed(MQTT_AUTH, reason));
    answer_put(o, FIRST(MQTT_AUTH, 0), auth_body, &a, limit);
}
