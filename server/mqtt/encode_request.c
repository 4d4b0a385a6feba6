/* What a client sends (skepctl, bridges): CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE,
 * DISCONNECT.  Properties come from the fields; only user properties are taken from
 * the raw block, so that a decoded packet can be written again. */
#include "mqtt/out.h"
#include "mqtt/prop.h"

#define FIRST(type, flags) ((unsigned)(type) << 4 | (flags))

/* -- CONNECT -- */

static void connect_props(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_connect *c = arg;

    if (c->session_expiry)
        out_prop_u32(o, PROP_SESSION_EXPIRY, c->session_expiry);
    if (c->receive_maximum != UINT16_MAX)
        out_prop_u16(o, PROP_RECEIVE_MAXIMUM, c->receive_maximum);
    if (c->maximum_packet_size != UINT32_MAX)
        out_prop_u32(o, PROP_MAXIMUM_PACKET_SIZE, c->maximum_packet_size);
    if (c->topic_alias_maximum)
        out_prop_u16(o, PROP_TOPIC_ALIAS_MAXIMUM, c->topic_alias_maximum);
    if (c->request_response_info)
        out_prop_u8(o, PROP_REQUEST_RESPONSE_INFO, 1);
    if (!c->request_problem_info)
        out_prop_u8(o, PROP_REQUEST_PROBLEM_INFO, 0);
    if (c->has_auth_method) {
        out_prop_str(o, PROP_AUTH_METHOD, c->auth_method);
        if (c->auth_data.ptr)
            out_prop_str(o, PROP_AUTH_DATA, c->auth_data);
    }
    out_props_of(o, c->props, PROP_BIT(PROP_USER_PROPERTY));
}

static void will_props(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_will *will = arg;

    if (will->delay)
        out_prop_u32(o, PROP_WILL_DELAY, will->delay);
    if (will->expiry != UINT32_MAX)
        out_prop_u32(o, PROP_MESSAGE_EXPIRY, will->expiry);
    out_props_of(o, will->props, PROPS_FORWARDED);
}

static unsigned connect_flags(const struct mqtt_connect *c)
{
    unsigned flags = c->clean_start ? 0x02 : 0;

    if (c->has_will)
        flags |= 0x04u | (unsigned)c->will.qos << 3 | (c->will.retain ? 0x20u : 0);
    return flags | (c->has_password ? 0x40u : 0) | (c->has_username ? 0x80u : 0);
}

static void connect_body(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_connect *c = arg;

    out_str(o, c->version == MQTT_31 ? STR("MQIsdp") : STR("MQTT"));
    out_u8(o, c->version | (c->bridge ? 0x80u : 0));
    out_u8(o, connect_flags(c));
    out_u16(o, c->keep_alive);
    if (c->version == MQTT_50)
        out_props(o, connect_props, c);
    out_str(o, c->client_id);
    if (c->has_will) {
        if (c->version == MQTT_50)
            out_props(o, will_props, &c->will);
        out_str(o, c->will.topic);
        out_str(o, c->will.payload);
    }
    if (c->has_username)
        out_str(o, c->username);
    if (c->has_password)
        out_str(o, c->password);
}

void mqtt_put_connect(struct mqtt_out *o, const struct mqtt_connect *c)
{
    out_packet(o, FIRST(MQTT_CONNECT, 0), connect_body, c);
}

/* -- PUBLISH -- */

struct publish_args {
    const struct mqtt_publish *p;
    uint8_t version;
};

static void publish_props(struct mqtt_out *o, const void *arg)
{
    const struct mqtt_publish *p = arg;

    if (p->payload_format)
        out_prop_u8(o, PROP_PAYLOAD_FORMAT, p->payload_format);
    if (p->expiry != UINT32_MAX)
        out_prop_u32(o, PROP_MESSAGE_EXPIRY, p->expiry);
    if (p->topic_alias)
        out_prop_u16(o, PROP_TOPIC_ALIAS, p->topic_alias);
    if (p->response_topic.ptr)
        out_prop_str(o, PROP_RESPONSE_TOPIC, p->response_topic);
    if (p->correlation_data.ptr)
        out_prop_str(o, PROP_CORRELATION_DATA, p->correlation_data);
    if (p->content_type.ptr)
        out_prop_str(o, PROP_CONTENT_TYPE, p->content_type);
    out_props_of(o, p->props, PROP_BIT(PROP_USER_PROPERTY));
}

static void publish_body(struct mqtt_out *o, const void *arg)
{
    const struct publish_args *a = arg;

    out_str(o, a->p->topic);
    if (a->p->qos)
        out_u16(o, a->p->packet_id); /* [MQTT-2.2.1-2] */
    if (a->version >= MQTT_50)
        out_props(o, publish_props, a->p);
    out_raw(o, a->p->payload);
}

void mqtt_put_publish(struct mqtt_out *o, uint8_t version, const struct mqtt_publish *p)
{
    struct publish_args a = {p, version};
    bool dup = p->dup && p->qos; /* [MQTT-3.3.1-2] */

    out_packet(o, FIRST(MQTT_PUBLISH, (dup ? 8u : 0) | (unsigned)p->qos << 1 | p->retain),
               publish_body, &a);
}

/* -- SUBSCRIBE, UNSUBSCRIBE -- */

struct subscribe_args {
    uint8_t version;
    uint16_t packet_id;
    uint32_t subscription_id;
    const struct mqtt_subscription *subs; /* NULL: filters */
    const struct str *filters;
    size_t count;
    struct str user_props;
};

static void subscribe_props(struct mqtt_out *o, const void *arg)
{
    const struct subscribe_args *a = arg;

    if (a->subscription_id) {
        out_u8(o, PROP_SUBSCRIPTION_ID);
        out_varint(o, a->subscription_id);
    }
    out_raw(o, a->user_props);
}

static unsigned subscribe_option(const struct mqtt_subscription *s, uint8_t version)
{
    if (version < MQTT_50)
        return s->qos;
    return s->qos | (s->no_local ? 0x04u : 0) | (s->retain_as_published ? 0x08u : 0) |
           (unsigned)s->retain_handling << 4;
}

static void subscribe_body(struct mqtt_out *o, const void *arg)
{
    const struct subscribe_args *a = arg;

    out_u16(o, a->packet_id);
    if (a->version >= MQTT_50)
        out_props(o, subscribe_props, a);
    for (size_t i = 0; i < a->count; i++) {
        out_str(o, a->subs ? a->subs[i].filter : a->filters[i]);
        if (a->subs)
            out_u8(o, subscribe_option(&a->subs[i], a->version));
    }
}

void mqtt_put_subscribe(struct mqtt_out *o, uint8_t version, uint16_t packet_id,
                        uint32_t subscription_id, const struct mqtt_subscription *subs,
                        size_t count, struct str user_props)
{
    struct subscribe_args a = {.version = version,
                               .packet_id = packet_id,
                               .subscription_id = subscription_id,
                               .subs = subs,
                               .count = count,
                               .user_props = user_props};

    out_packet(o, FIRST(MQTT_SUBSCRIBE, 2), subscribe_body, &a);
}

void mqtt_put_unsubscribe(struct mqtt_out *o, uint8_t version, uint16_t packet_id,
                          const struct str *filters, size_t count, struct str user_props)
{
    struct subscribe_args a = {.version = version,
                               .packet_id = packet_id,
                               .filters = filters,
                               .count = count,
                               .user_props = user_props};

    out_packet(o, FIRST(MQTT_UNSUBSCRIBE, 2), subscribe_body, &a);
}

/* -- DISCONNECT -- */

struct disconnect_args {
    uint8_t reason;
    uint32_t session_expiry;
    bool has_session_expiry;
};

static void disconnect_props(struct mqtt_out *o, const void *arg)
{
    const struct disconnect_args *a = arg;

    out_prop_u32(o, PROP_SESSION_EXPIRY, a->session_expiry);
}

static void disconnect_body(struct mqtt_out *o, const void *arg)
{
    const struct disconnect_args *a = arg;

    if (a->reason || a->has_session_expiry)
        out_u8(o, a->reason);
    if (a->has_session_expiry)
        out_props(o, disconnect_props, a);
}

void mqtt_put_client_disconnect(struct mqtt_out *o, uint8_t version, uint8_t reason,
                                bool has_session_expiry, uint32_t session_expiry)
{
    struct disconnect_args a = {.reason = reason,
                                .session_expiry = session_expiry,
                                .has_session_expiry = has_session_expiry};

    if (version < MQTT_50) {
        a.reason = 0;
        a.has_session_expiry = false;
    }
    out_packet(o, FIRST(MQTT_DISCONNECT, 0), disconnect_body, &a);
}
