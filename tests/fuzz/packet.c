#include "packet.h"

#include <string.h>

#include "fuzz.h"
#include "mqtt/encode.h"
#include "mqtt/prop.h"
#include "mqtt/reason.h"

/* A fault goes to the peer as it is: in CONNACK, or else in DISCONNECT. */
static bool is_reason(int fault)
{
    return fault == 0 || (fault >= 0x80 && fault <= 0xA2 &&
                          mqtt_reason_allowed(MQTT_DISCONNECT, (uint8_t)fault));
}

static void check_inside(struct str part, const struct mqtt_frame *frame)
{
    if (part.ptr)
        MUST(part.ptr >= frame->body.ptr &&
             part.ptr + part.len <= frame->body.ptr + frame->body.len);
}

/* A packet written by `o` and read again; the block is exactly as large as it. */
struct again {
    uint8_t *bytes;
    struct mqtt_frame frame;
};

static struct mqtt_out again_open(size_t size)
{
    struct mqtt_out o = {malloc(size), size, 0};

    return o;
}

static void again_read(struct again *a, const struct mqtt_out *o)
{
    MUST(mqtt_out_fits(o));
    a->bytes = o->ptr;
    MUST(mqtt_frame_peek(o->ptr, o->need, &a->frame) == 1);
    MUST(a->frame.size == o->need);
}

/* Room for anything written from a frame: what was there, and a longer header or
 * name (a 3.x CONNECT never grows, defaults are never written). */
#define ROOM(frame) ((frame)->size + 16)

static bool same_props(struct str a, struct str b, uint64_t ids)
{
    struct mqtt_prop_item x, y;

    for (;;) {
        int got_x, got_y;
        while ((got_x = mqtt_prop_next(&a, &x)) > 0 && !(PROP_BIT(x.id) & ids))
            continue;
        while ((got_y = mqtt_prop_next(&b, &y)) > 0 && !(PROP_BIT(y.id) & ids))
            continue;
        if (got_x <= 0 || got_y <= 0)
            return got_x == 0 && got_y == 0;
        if (!str_eq(x.raw, y.raw))
            return false;
    }
}

static void same_will(const struct mqtt_will *a, const struct mqtt_will *b)
{
    MUST(str_eq(a->topic, b->topic) && str_eq(a->payload, b->payload));
    MUST(a->qos == b->qos && a->retain == b->retain);
    MUST(a->delay == b->delay && a->expiry == b->expiry);
    MUST(same_props(a->props, b->props, PROPS_FORWARDED));
}

static void same_connect(const struct mqtt_connect *a, const struct mqtt_connect *b)
{
    MUST(a->version == b->version && a->bridge == b->bridge);
    MUST(a->clean_start == b->clean_start && a->keep_alive == b->keep_alive);
    MUST(a->has_will == b->has_will && a->has_username == b->has_username);
    MUST(a->has_password == b->has_password && a->has_auth_method == b->has_auth_method);
    MUST(str_eq(a->client_id, b->client_id) && str_eq(a->username, b->username));
    MUST(str_eq(a->password, b->password) && str_eq(a->auth_method, b->auth_method));
    MUST(str_eq(a->auth_data, b->auth_data) && a->session_expiry == b->session_expiry);
    MUST(a->receive_maximum == b->receive_maximum);
    MUST(a->maximum_packet_size == b->maximum_packet_size);
    MUST(a->topic_alias_maximum == b->topic_alias_maximum);
    MUST(a->request_response_info == b->request_response_info);
    MUST(a->request_problem_info == b->request_problem_info);
    MUST(same_props(a->props, b->props, PROP_BIT(PROP_USER_PROPERTY)));
    same_will(&a->will, &b->will);
}

static void try_connect(const struct mqtt_frame *frame)
{
    struct mqtt_connect c, d;
    struct mqtt_out o;
    struct again a;
    int fault = mqtt_decode_connect(frame, &c);

    MUST(fault == 0 || mqtt_reason_allowed(MQTT_CONNACK, (uint8_t)fault));
    if (fault)
        return;
    check_inside(c.client_id, frame);
    check_inside(c.username, frame);
    check_inside(c.password, frame);
    check_inside(c.will.topic, frame);
    check_inside(c.will.payload, frame);
    check_inside(c.will.props, frame);
    check_inside(c.props, frame);
    o = again_open(ROOM(frame));
    mqtt_put_connect(&o, &c);
    again_read(&a, &o);
    MUST(mqtt_decode_connect(&a.frame, &d) == 0);
    same_connect(&c, &d);
    free(a.bytes);
}

static void same_publish(const struct mqtt_publish *a, const struct mqtt_publish *b)
{
    MUST(str_eq(a->topic, b->topic) && str_eq(a->payload, b->payload));
    MUST(a->packet_id == b->packet_id && a->topic_alias == b->topic_alias);
    MUST(a->qos == b->qos && a->retain == b->retain && a->dup == b->dup);
    MUST(a->payload_format == b->payload_format && a->expiry == b->expiry);
    MUST(str_eq(a->response_topic, b->response_topic));
    MUST(str_eq(a->correlation_data, b->correlation_data));
    MUST(str_eq(a->content_type, b->content_type));
    MUST(same_props(a->props, b->props, PROP_BIT(PROP_USER_PROPERTY)));
}

static void try_publish(const struct mqtt_frame *frame, uint8_t version, bool from_server)
{
    struct mqtt_publish p, q;
    struct mqtt_out o;
    struct again a;
    int fault = mqtt_decode_publish(frame, version, from_server, &p);

    MUST(is_reason(fault));
    if (fault)
        return;
    check_inside(p.topic, frame);
    check_inside(p.payload, frame);
    check_inside(p.props, frame);
    check_inside(p.response_topic, frame);
    MUST((p.packet_id != 0) == (p.qos != 0));
    MUST(p.payload.ptr + p.payload.len == frame->body.ptr + frame->body.len);
    if (p.dup && !p.qos)
        p.dup = false; /* lenient in 3.x, never written */
    o = again_open(ROOM(frame));
    mqtt_put_publish(&o, version, &p);
    again_read(&a, &o);
    MUST(mqtt_decode_publish(&a.frame, version, false, &q) == 0);
    same_publish(&p, &q);
    free(a.bytes);
}

static void try_subscribe(const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_subscribe s, again_s;
    struct mqtt_subscription *subs, one;
    struct mqtt_out o;
    struct again a;
    uint32_t count = 0;
    int fault = mqtt_decode_subscribe(frame, version, &s);

    MUST(is_reason(fault));
    if (fault)
        return;
    MUST(s.count > 0 && s.packet_id > 0);
    subs = calloc(s.count, sizeof *subs);
    again_s = s;
    while (mqtt_subscribe_next(&again_s, &one)) {
        check_inside(one.filter, frame);
        MUST(count < s.count && one.qos < 3 && one.retain_handling < 3);
        subs[count++] = one;
    }
    MUST(count == s.count);
    o = again_open(ROOM(frame));
    mqtt_put_subscribe(&o, version, s.packet_id, s.subscription_id, subs, count, STR_NONE);
    again_read(&a, &o);
    MUST(mqtt_decode_subscribe(&a.frame, version, &again_s) == 0);
    MUST(again_s.count == count && again_s.packet_id == s.packet_id);
    MUST(again_s.subscription_id == s.subscription_id);
    for (uint32_t i = 0; i < count; i++) {
        MUST(mqtt_subscribe_next(&again_s, &one));
        MUST(str_eq(one.filter, subs[i].filter) && one.qos == subs[i].qos);
        MUST(one.no_local == subs[i].no_local);
        MUST(one.retain_as_published == subs[i].retain_as_published);
        MUST(one.retain_handling == subs[i].retain_handling);
    }
    free(a.bytes);
    free(subs);
}

static void try_unsubscribe(const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_subscribe s;
    struct str filter;
    uint32_t count = 0;
    int fault = mqtt_decode_unsubscribe(frame, version, &s);

    MUST(is_reason(fault));
    if (fault)
        return;
    for (struct mqtt_subscribe at = s; mqtt_unsubscribe_next(&at, &filter); count++)
        check_inside(filter, frame);
    MUST(count == s.count && count > 0);
}

static void try_ack(const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_ack x, y;
    struct mqtt_out o;
    struct again a;
    int fault = mqtt_decode_ack(frame, version, &x);

    MUST(is_reason(fault));
    if (fault)
        return;
    check_inside(x.reason_string, frame);
    o = again_open(ROOM(frame));
    mqtt_put_ack(&o, frame->type, version, x.packet_id, x.reason, x.reason_string, UINT32_MAX);
    again_read(&a, &o);
    MUST(mqtt_decode_ack(&a.frame, version, &y) == 0);
    MUST(x.packet_id == y.packet_id && x.reason == y.reason);
    MUST(str_eq(x.reason_string, y.reason_string));
    free(a.bytes);
}

static void try_suback(const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_suback x, y;
    struct mqtt_out o;
    struct again a;
    int fault = mqtt_decode_suback(frame, version, &x);

    MUST(is_reason(fault));
    if (fault)
        return;
    check_inside(x.codes, frame);
    o = again_open(ROOM(frame));
    mqtt_put_suback(&o, frame->type, version, x.packet_id, (const uint8_t *)x.codes.ptr,
                    x.codes.len, x.reason_string, UINT32_MAX);
    again_read(&a, &o);
    MUST(mqtt_decode_suback(&a.frame, version, &y) == 0);
    MUST(x.packet_id == y.packet_id && str_eq(x.codes, y.codes));
    MUST(str_eq(x.reason_string, y.reason_string));
    free(a.bytes);
}

static void try_others(const struct mqtt_frame *frame, uint8_t version)
{
    struct mqtt_disconnect disconnect;
    struct mqtt_auth auth;
    struct mqtt_connack connack;

    MUST(is_reason(mqtt_decode_ping(frame)));
    MUST(is_reason(mqtt_decode_auth(frame, &auth)));
    check_inside(auth.method, frame);
    check_inside(auth.data, frame);
    MUST(is_reason(mqtt_decode_disconnect(frame, version, &disconnect)));
    check_inside(disconnect.reason_string, frame);
    MUST(is_reason(mqtt_decode_connack(frame, version, &connack)));
    check_inside(connack.assigned_client_id, frame);
    check_inside(connack.auth_data, frame);
}

/* Every decoder on every frame: those of another type must refuse, not crash. */
static void packet_try(const struct mqtt_frame *frame, uint8_t version)
{
    try_connect(frame);
    if (frame->type == MQTT_PUBLISH) {
        try_publish(frame, version, false);
        try_publish(frame, version, true);
    }
    try_subscribe(frame, version);
    try_unsubscribe(frame, version);
    try_ack(frame, version);
    try_suback(frame, version);
    try_others(frame, version);
}

void packet_stream(const uint8_t *data, size_t size, uint8_t version)
{
    struct mqtt_frame frame, part;

    while (size > 0 && mqtt_frame_peek(data, size, &frame) == 1) {
        uint8_t *copy = malloc(frame.size);

        MUST(frame.size <= size && frame.body.len < frame.size);
        MUST(mqtt_frame_peek(data, frame.size - 1, &part) == 0);
        memcpy(copy, data, frame.size); /* reads behind the packet are seen */
        MUST(mqtt_frame_peek(copy, frame.size, &frame) == 1);
        packet_try(&frame, version);
        free(copy);
        data += frame.size;
        size -= frame.size;
    }
}
