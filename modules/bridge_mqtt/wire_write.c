/* Packets of a client. */
#include "wire.h"

static size_t varint_size(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static void put_varint(struct buf *out, size_t value)
{
    do {
        unsigned byte = value & 0x7f;
        value >>= 7;
        buf_u8(out, byte | (value ? 0x80 : 0));
    } while (value);
}

static size_t str_size(struct skep_str s)
{
    return s.len ? 3 + s.len : 0;
}

static void put_prop_str(struct buf *out, unsigned id, struct skep_str s)
{
    if (s.len == 0)
        return;
    buf_u8(out, id);
    buf_str(out, s);
}

/* -- CONNECT -- */

static size_t connect_props_size(const struct wire_connect *c)
{
    return (c->session_expiry_s ? 5 : 0) + (c->receive_maximum ? 3 : 0) +
           (c->maximum_packet ? 5 : 0);
}

static void put_connect_props(struct buf *out, const struct wire_connect *c)
{
    put_varint(out, connect_props_size(c));
    if (c->session_expiry_s) {
        buf_u8(out, 17);
        buf_u32(out, c->session_expiry_s);
    }
    if (c->receive_maximum) {
        buf_u8(out, 33);
        buf_u16(out, c->receive_maximum);
    }
    if (c->maximum_packet) {
        buf_u8(out, 39);
        buf_u32(out, c->maximum_packet);
    }
}

void wire_connect(struct buf *out, const struct wire_connect *c)
{
    bool five = c->version == WIRE_5;
    const struct wire_will *w = c->will;
    size_t props = five ? connect_props_size(c) : 0;
    size_t body = 10 + 2 + c->client_id.len + (five ? varint_size(props) + props : 0) +
                  (w ? (size_t)five + 4 + w->topic.len + w->payload.len : 0) +
                  (c->has_username ? 2 + c->username.len : 0) +
                  (c->has_password ? 2 + c->password.len : 0);
    unsigned flags = (c->clean ? 2u : 0) | (c->has_username ? 0x80u : 0) |
                     (c->has_password ? 0x40u : 0) |
                     (w ? 4u | (unsigned)w->qos << 3 | (w->retain ? 0x20u : 0) : 0);

    buf_u8(out, WIRE_CONNECT << 4);
    put_varint(out, body);
    buf_str(out, SKEP_STR("MQTT"));
    buf_u8(out, (unsigned)c->version | (c->bridge ? 0x80 : 0));
    buf_u8(out, flags);
    buf_u16(out, c->keep_alive_s);
    if (five)
        put_connect_props(out, c);
    buf_str(out, c->client_id);
    if (w) {
        if (five)
            buf_u8(out, 0);
        buf_str(out, w->topic);
        buf_str(out, w->payload);
    }
    if (c->has_username)
        buf_str(out, c->username);
    if (c->has_password)
        buf_str(out, c->password);
}

/* -- PUBLISH -- */

static size_t publish_props_size(const struct skep_message *m)
{
    size_t size = (m->payload_is_utf8 ? 2 : 0) + (m->expiry_s ? 5 : 0) + str_size(m->content_type) +
                  str_size(m->response_topic) + str_size(m->correlation_data);

    for (size_t i = 0; i < m->user_property_count; i++)
        size += 5 + m->user_properties[i].name.len + m->user_properties[i].value.len;
    return size;
}

static void put_publish_props(struct buf *out, const struct skep_message *m)
{
    put_varint(out, publish_props_size(m));
    if (m->payload_is_utf8) {
        buf_u8(out, 1);
        buf_u8(out, 1);
    }
    if (m->expiry_s) {
        buf_u8(out, 2);
        buf_u32(out, m->expiry_s);
    }
    put_prop_str(out, 3, m->content_type);
    put_prop_str(out, 8, m->response_topic);
    put_prop_str(out, 9, m->correlation_data);
    for (size_t i = 0; i < m->user_property_count; i++) {
        buf_u8(out, 38);
        buf_str(out, m->user_properties[i].name);
        buf_str(out, m->user_properties[i].value);
    }
}

static size_t publish_body(enum wire_version version, const struct skep_message *m)
{
    size_t props = version == WIRE_5 ? publish_props_size(m) : 0;

    return 2 + m->topic.len + (m->qos ? 2 : 0) +
           (version == WIRE_5 ? varint_size(props) + props : 0) + m->payload.len;
}

size_t wire_publish_size(enum wire_version version, const struct skep_message *m)
{
    size_t body = publish_body(version, m);

    return 1 + varint_size(body) + body;
}

void wire_publish(struct buf *out, enum wire_version version, const struct skep_message *m,
                  uint16_t id, bool dup)
{
    buf_room(out, wire_publish_size(version, m));
    buf_u8(out, WIRE_PUBLISH << 4 | (dup ? 8u : 0) | (unsigned)m->qos << 1 | (m->retain ? 1u : 0));
    put_varint(out, publish_body(version, m));
    buf_str(out, m->topic);
    if (m->qos)
        buf_u16(out, id);
    if (version == WIRE_5)
        put_publish_props(out, m);
    buf_put(out, m->payload.ptr, m->payload.len);
}

void wire_ack(struct buf *out, enum wire_version version, enum wire_type type, uint16_t id,
              unsigned reason)
{
    bool told = version == WIRE_5 && reason != 0;

    buf_u8(out, (unsigned)type << 4 | (type == WIRE_PUBREL ? 2u : 0));
    buf_u8(out, told ? 3 : 2);
    buf_u16(out, id);
    if (told)
        buf_u8(out, reason);
}

/* -- SUBSCRIBE and the rest -- */

void wire_subscribe(struct buf *out, enum wire_version version, uint16_t id,
                    const struct wire_filter *filters, size_t count)
{
    size_t body = 2 + (version == WIRE_5 ? 1 : 0);

    for (size_t i = 0; i < count; i++)
        body += 3 + filters[i].filter.len;
    buf_u8(out, WIRE_SUBSCRIBE << 4 | 2);
    put_varint(out, body);
    buf_u16(out, id);
    if (version == WIRE_5)
        buf_u8(out, 0);
    for (size_t i = 0; i < count; i++) {
        const struct wire_filter *f = &filters[i];
        unsigned options = f->qos;

        if (version == WIRE_5)
            options |=
                (f->no_local ? 4u : 0) | (f->keep_retain ? 8u : 0) | (f->only_new ? 0x10u : 0);
        buf_str(out, f->filter);
        buf_u8(out, options);
    }
}

void wire_unsubscribe(struct buf *out, enum wire_version version, uint16_t id,
                      const struct skep_str *filters, size_t count)
{
    size_t body = 2 + (version == WIRE_5 ? 1 : 0);

    for (size_t i = 0; i < count; i++)
        body += 2 + filters[i].len;
    buf_u8(out, WIRE_UNSUBSCRIBE << 4 | 2);
    put_varint(out, body);
    buf_u16(out, id);
    if (version == WIRE_5)
        buf_u8(out, 0);
    for (size_t i = 0; i < count; i++)
        buf_str(out, filters[i]);
}

void wire_ping(struct buf *out)
{
    buf_put(out, "\xc0\0", 2);
}

void wire_disconnect(struct buf *out, enum wire_version version, unsigned reason)
{
    if (version == WIRE_5 && reason)
        buf_put(out, (uint8_t[]){0xe0, 1, (uint8_t)reason}, 3);
    else
        buf_put(out, "\xe0\0", 2);
}

/* -- Words -- */

static const struct {
    uint8_t reason;
    const char *text;
} reasons[] = {
    {0x00, "success"},
    {0x04, "it sends our will"},
    {0x80, "unspecified error"},
    {0x81, "malformed packet"},
    {0x82, "protocol error"},
    {0x83, "implementation specific error"},
    {0x84, "it does not speak this version of MQTT"},
    {0x85, "client id refused"},
    {0x86, "bad user name or password"},
    {0x87, "not authorized"},
    {0x88, "server unavailable"},
    {0x89, "server busy"},
    {0x8a, "banned"},
    {0x8b, "server shutting down"},
    {0x8d, "keep alive timeout"},
    {0x8e, "another client took over our client id"},
    {0x8f, "topic filter invalid"},
    {0x90, "topic name invalid"},
    {0x91, "packet id in use"},
    {0x92, "packet id not found"},
    {0x93, "receive maximum exceeded"},
    {0x95, "packet too large"},
    {0x96, "message rate too high"},
    {0x97, "quota exceeded"},
    {0x98, "administrative action"},
    {0x99, "payload format invalid"},
    {0x9a, "retain not supported"},
    {0x9b, "QoS not supported"},
    {0x9c, "use another server"},
    {0x9d, "server moved"},
    {0x9e, "shared subscriptions not supported"},
    {0x9f, "connection rate exceeded"},
    {0xa0, "maximum connect time"},
    {0xa2, "wildcard subscriptions not supported"},
};

const char *wire_reason_text(enum wire_version version, enum wire_type type, unsigned reason)
{
    static const uint8_t old[] = {0, 0x84, 0x85, 0x88, 0x86, 0x87}; /* CONNACK of 3.1.1 */

    if (version == WIRE_311 && type == WIRE_CONNACK && reason < sizeof old)
        reason = old[reason];
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].reason == reason)
            return reasons[i].text;
    }
    return "unknown reason";
}
