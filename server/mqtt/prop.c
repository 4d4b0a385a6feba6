/* Properties [MQTT 2.2.2]: the table of all of them, walking, checking, forwarding. */
#include "mqtt/prop.h"

#include "base/mem.h"
#include "mqtt/reason.h"

enum prop_type {
    PROP_UNKNOWN,
    PROP_BYTE,
    PROP_U16,
    PROP_U32,
    PROP_VARINT,
    PROP_BINARY,
    PROP_TEXT,
    PROP_TOPIC, /* text that must be a topic name */
    PROP_PAIR,
};

/* min and max bound the integer types; `fault` is the answer to a value outside. */
struct prop_rule {
    uint8_t type;
    uint8_t fault;
    uint32_t where; /* bit per packet type, bits 16 and 17 as in enum above */
    uint32_t min, max;
};

#define IN_CONNECT     (1u << MQTT_CONNECT)
#define IN_CONNACK     (1u << MQTT_CONNACK)
#define IN_WILL        (1u << PROPS_OF_WILL)
#define IN_PUBLISH     (1u << MQTT_PUBLISH | 1u << PROPS_OF_PUBLISH_FROM_SERVER)
#define IN_FROM_SERVER (1u << PROPS_OF_PUBLISH_FROM_SERVER)
#define IN_SUBSCRIBE   (1u << MQTT_SUBSCRIBE)
#define IN_DISCONNECT  (1u << MQTT_DISCONNECT)
#define IN_AUTH        (1u << MQTT_AUTH)
#define IN_ACKS                                                                                    \
    (1u << MQTT_PUBACK | 1u << MQTT_PUBREC | 1u << MQTT_PUBREL | 1u << MQTT_PUBCOMP |              \
     1u << MQTT_SUBACK | 1u << MQTT_UNSUBACK)
#define ANYWHERE UINT32_MAX
#define ANY_U32  0, UINT32_MAX

static const struct prop_rule rules[PROP_END] = {
    [PROP_PAYLOAD_FORMAT] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_PUBLISH | IN_WILL, 0, 1},
    [PROP_MESSAGE_EXPIRY] = {PROP_U32, 0, IN_PUBLISH | IN_WILL, ANY_U32},
    [PROP_CONTENT_TYPE] = {PROP_TEXT, 0, IN_PUBLISH | IN_WILL, ANY_U32},
    [PROP_RESPONSE_TOPIC] = {PROP_TOPIC, RC_PROTOCOL_ERROR, IN_PUBLISH | IN_WILL, ANY_U32},
    [PROP_CORRELATION_DATA] = {PROP_BINARY, 0, IN_PUBLISH | IN_WILL, ANY_U32},
    /* In a PUBLISH only a server may send it [MQTT-3.3.4-6]. */
    [PROP_SUBSCRIPTION_ID] = {PROP_VARINT, RC_PROTOCOL_ERROR, IN_SUBSCRIBE | IN_FROM_SERVER, 1,
                              UINT32_MAX},
    [PROP_SESSION_EXPIRY] = {PROP_U32, 0, IN_CONNECT | IN_CONNACK | IN_DISCONNECT, ANY_U32},
    [PROP_ASSIGNED_CLIENT_ID] = {PROP_TEXT, 0, IN_CONNACK, ANY_U32},
    [PROP_SERVER_KEEP_ALIVE] = {PROP_U16, 0, IN_CONNACK, ANY_U32},
    [PROP_AUTH_METHOD] = {PROP_TEXT, 0, IN_CONNECT | IN_CONNACK | IN_AUTH, ANY_U32},
    [PROP_AUTH_DATA] = {PROP_BINARY, 0, IN_CONNECT | IN_CONNACK | IN_AUTH, ANY_U32},
    [PROP_REQUEST_PROBLEM_INFO] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNECT, 0, 1},
    [PROP_WILL_DELAY] = {PROP_U32, 0, IN_WILL, ANY_U32},
    [PROP_REQUEST_RESPONSE_INFO] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNECT, 0, 1},
    [PROP_RESPONSE_INFO] = {PROP_TEXT, 0, IN_CONNACK, ANY_U32},
    [PROP_SERVER_REFERENCE] = {PROP_TEXT, 0, IN_CONNACK | IN_DISCONNECT, ANY_U32},
    [PROP_REASON_STRING] = {PROP_TEXT, 0, IN_CONNACK | IN_ACKS | IN_DISCONNECT | IN_AUTH, ANY_U32},
    [PROP_RECEIVE_MAXIMUM] = {PROP_U16, RC_PROTOCOL_ERROR, IN_CONNECT | IN_CONNACK, 1, UINT16_MAX},
    [PROP_TOPIC_ALIAS_MAXIMUM] = {PROP_U16, 0, IN_CONNECT | IN_CONNACK, ANY_U32},
    /* [MQTT-3.3.2-8] */
    [PROP_TOPIC_ALIAS] = {PROP_U16, RC_TOPIC_ALIAS_INVALID, IN_PUBLISH, 1, UINT16_MAX},
    [PROP_MAXIMUM_QOS] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNACK, 0, 1},
    [PROP_RETAIN_AVAILABLE] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNACK, 0, 1},
    [PROP_USER_PROPERTY] = {PROP_PAIR, 0, ANYWHERE, ANY_U32},
    [PROP_MAXIMUM_PACKET_SIZE] = {PROP_U32, RC_PROTOCOL_ERROR, IN_CONNECT | IN_CONNACK, 1,
                                  UINT32_MAX},
    [PROP_WILDCARD_AVAILABLE] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNACK, 0, 1},
    [PROP_SUBSCRIPTION_ID_AVAILABLE] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNACK, 0, 1},
    [PROP_SHARED_AVAILABLE] = {PROP_BYTE, RC_PROTOCOL_ERROR, IN_CONNACK, 0, 1},
};

static bool prop_take_value(struct cursor *c, uint8_t type, struct mqtt_prop_item *item)
{
    uint8_t byte;
    uint16_t word;

    switch (type) {
    case PROP_BYTE:
        if (!cursor_u8(c, &byte))
            return false;
        item->number = byte;
        return true;
    case PROP_U16:
        if (!cursor_u16(c, &word))
            return false;
        item->number = word;
        return true;
    case PROP_U32:
        return cursor_u32(c, &item->number);
    case PROP_VARINT:
        return cursor_varint(c, &item->number);
    case PROP_PAIR:
        return cursor_binary(c, &item->name) && cursor_binary(c, &item->value);
    default:
        return cursor_binary(c, &item->value);
    }
}

/* Takes one property; its strings are not looked into. */
static inline bool prop_take(struct cursor *c, struct mqtt_prop_item *item)
{
    const uint8_t *start = c->at;
    uint8_t id;

    /* An identifier is a variable byte integer, but all known ones fit one byte;
     * longer ones are unknown, hence malformed. */
    if (!cursor_u8(c, &id) || id >= PROP_END || rules[id].type == PROP_UNKNOWN)
        return false;
    item->id = id;
    item->number = 0;
    item->value = STR_NONE;
    item->name = STR_NONE;
    if (!prop_take_value(c, rules[id].type, item))
        return false;
    item->raw = (struct str){(const char *)start, (size_t)(c->at - start)};
    return true;
}

int mqtt_prop_next(struct str *rest, struct mqtt_prop_item *item)
{
    struct cursor c;

    if (rest->len == 0)
        return 0;
    c = cursor_of(*rest);
    if (!prop_take(&c, item))
        return -1;
    *rest = cursor_rest(&c);
    return 1;
}

static bool has_wildcard(struct str s)
{
    return memchr(s.ptr, '+', s.len) || memchr(s.ptr, '#', s.len);
}

/* The rules on one value.  Returns 0 or a reason code. */
static int prop_check_value(const struct prop_rule *rule, const struct mqtt_prop_item *item)
{
    switch (rule->type) {
    case PROP_PAIR:
        /* [MQTT-1.5.7-1] */
        return utf8_is_text(item->name) && utf8_is_text(item->value) ? 0 : RC_MALFORMED;
    case PROP_TEXT:
        return utf8_is_text(item->value) ? 0 : RC_MALFORMED;
    case PROP_TOPIC:
        if (!utf8_is_text(item->value))
            return RC_MALFORMED; /* [MQTT-3.3.2-13] */
        if (item->value.len == 0 || has_wildcard(item->value))
            return rule->fault; /* [MQTT-3.3.2-14] [MQTT-4.7.3-1] */
        return 0;
    case PROP_BINARY:
        return 0;
    default:
        return item->number < rule->min || item->number > rule->max ? rule->fault : 0;
    }
}

static bool prop_may_repeat(uint8_t id, unsigned where)
{
    return id == PROP_USER_PROPERTY ||
           (id == PROP_SUBSCRIPTION_ID && where == PROPS_OF_PUBLISH_FROM_SERVER);
}

int props_read(struct cursor *c, unsigned where, struct props *out)
{
    struct mqtt_prop_item item;
    struct cursor block;
    uint32_t len;
    int fault;

    out->seen = 0;
    if (!cursor_varint(c, &len) || !cursor_take(c, len, &out->raw))
        return RC_MALFORMED;
    block = cursor_of(out->raw);
    while (block.left > 0) {
        if (!prop_take(&block, &item))
            return RC_MALFORMED;
        const struct prop_rule *rule = &rules[item.id];
        if (!(rule->where >> where & 1))
            return RC_PROTOCOL_ERROR;
        if (props_has(out, item.id) && !prop_may_repeat(item.id, where))
            return RC_PROTOCOL_ERROR;
        if ((fault = prop_check_value(rule, &item)) != 0)
            return fault;
        out->seen |= PROP_BIT(item.id);
        out->number[item.id] = item.number;
        out->value[item.id] = item.value;
    }
    return 0;
}

size_t mqtt_props_forward(struct str props, uint8_t *dst)
{
    struct mqtt_prop_item item;
    size_t written = 0;

    while (mqtt_prop_next(&props, &item) > 0) {
        if (!(PROPS_FORWARDED & PROP_BIT(item.id)))
            continue;
        memcpy(dst + written, item.raw.ptr, item.raw.len);
        written += item.raw.len;
    }
    return written;
}
