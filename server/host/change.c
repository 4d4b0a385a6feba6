/* What modules see of a message, and what on_message makes of it.  Changes are copies in the
 * request's memory. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "host/decide.h"
#include "mqtt/encode.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

enum { PAYLOAD_MAX = 268000000, COPIES_MAX = 64 };

static struct skep_str give(struct str s)
{
    return skep_bytes(s.ptr, s.len);
}

struct skep_str skep_publish_topic(const struct skep_request *r)
{
    return give(r->message.topic);
}

struct skep_str skep_publish_payload(const struct skep_request *r)
{
    return give(r->message.payload);
}

unsigned skep_publish_qos(const struct skep_request *r)
{
    return r->message.qos;
}

bool skep_publish_retain(const struct skep_request *r)
{
    return r->message.retain;
}

uint32_t skep_publish_expiry_s(const struct skep_request *r)
{
    return r->message.expiry;
}

bool skep_publish_is_will(const struct skep_request *r)
{
    return r->message.is_will;
}

/* -- Properties -- */

static const uint8_t ids[] = {
    [SKEP_PROP_CONTENT_TYPE] = PROP_CONTENT_TYPE,
    [SKEP_PROP_RESPONSE_TOPIC] = PROP_RESPONSE_TOPIC,
    [SKEP_PROP_CORRELATION_DATA] = PROP_CORRELATION_DATA,
    [SKEP_PROP_PAYLOAD_IS_UTF8] = PROP_PAYLOAD_FORMAT,
};

static bool has_message(const struct skep_request *r)
{
    return r->stage == SKEP_STAGE_PUBLISH || r->stage == SKEP_STAGE_WILL ||
           r->stage == SKEP_STAGE_DELIVER || r->stage == SKEP_STAGE_MESSAGE;
}

bool skep_publish_property(const struct skep_request *r, enum skep_property property,
                           struct skep_str *value)
{
    struct str rest = r->message.props;
    struct mqtt_prop_item item;

    if ((unsigned)property >= ARRAY_LEN(ids))
        return false;
    while (mqtt_prop_next(&rest, &item) == 1) {
        if (item.id != ids[property])
            continue;
        if (item.id != PROP_PAYLOAD_FORMAT)
            *value = give(item.value);
        else
            *value = item.number ? SKEP_STR("1") : SKEP_STR("");
        return true;
    }
    return false;
}

bool skep_request_user_property(const struct skep_request *r, size_t i, struct skep_str *name,
                                struct skep_str *value)
{
    struct str rest = has_message(r) ? r->message.props : r->props;
    struct mqtt_prop_item item;

    while (mqtt_prop_next(&rest, &item) == 1) {
        if (item.id != PROP_USER_PROPERTY || i-- > 0)
            continue;
        *name = give(item.name);
        *value = give(item.value);
        return true;
    }
    return false;
}

/* The block without properties of that id, and with room for `more` bytes behind it. */
static uint8_t *props_without(struct skep_request *r, uint8_t id, size_t more)
{
    struct asked_message *m = &r->message;
    uint8_t *plain = arena_alloc(&r->memory, m->props.len + more + 1), *at = plain;
    struct str rest = m->props;
    struct mqtt_prop_item item;

    if (!m->props_plain) {
        uint8_t *all = arena_alloc(&r->memory, m->props.len + 1);
        rest = (struct str){(char *)all, mqtt_props_forward(m->props, all)};
    }
    while (mqtt_prop_next(&rest, &item) == 1) {
        if (item.id == id)
            continue;
        memcpy(at, item.raw.ptr, item.raw.len);
        at += item.raw.len;
    }
    m->props = (struct str){(char *)plain, (size_t)(at - plain)};
    m->props_plain = true;
    r->changed = true;
    return at;
}

static uint8_t *put_string(uint8_t *at, struct skep_str s)
{
    at = mqtt_u16_write(at, (unsigned)s.len);
    if (s.len > 0)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

static struct str as_str(struct skep_str s)
{
    return (struct str){s.ptr, s.len};
}

static bool fits(enum skep_property property, struct skep_str value)
{
    switch (property) {
    case SKEP_PROP_CONTENT_TYPE:
        return value.len <= UINT16_MAX && utf8_is_text(as_str(value));
    case SKEP_PROP_RESPONSE_TOPIC:
        return value.len == 0 || topic_name_check(as_str(value), 0) == TOPIC_OK;
    case SKEP_PROP_CORRELATION_DATA:
        return value.len <= UINT16_MAX;
    case SKEP_PROP_PAYLOAD_IS_UTF8:
        return value.len == 0 || skep_str_eq(value, SKEP_STR("1"));
    default:
        return false;
    }
}

int skep_message_set_property(struct skep_request *r, enum skep_property property,
                              struct skep_str value)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (!fits(property, value))
        return SKEP_E_INVALID;
    uint8_t *at = props_without(r, ids[property], value.len + 3);
    if (value.len == 0)
        return 0;
    *at++ = ids[property];
    if (property == SKEP_PROP_PAYLOAD_IS_UTF8)
        *at++ = 1;
    else
        at = put_string(at, value);
    r->message.props.len = (size_t)((char *)at - r->message.props.ptr);
    return 0;
}

int skep_message_add_user_property(struct skep_request *r, struct skep_str name,
                                   struct skep_str value)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (name.len > UINT16_MAX || value.len > UINT16_MAX || !utf8_is_text(as_str(name)) ||
        !utf8_is_text(as_str(value)))
        return SKEP_E_INVALID;
    uint8_t *at = props_without(r, 0, name.len + value.len + 5);
    *at++ = PROP_USER_PROPERTY;
    at = put_string(put_string(at, name), value);
    r->message.props.len = (size_t)((char *)at - r->message.props.ptr);
    return 0;
}

void skep_message_clear_user_properties(struct skep_request *r)
{
    if (r->stage == SKEP_STAGE_MESSAGE)
        props_without(r, PROP_USER_PROPERTY, 0);
}

/* -- All else -- */

static bool may_be_topic(const struct skep_request *r, struct skep_str topic)
{
    const struct skep_client *who = r->stage == SKEP_STAGE_MESSAGE ? request_who(r) : NULL;
    size_t mount = who ? who->facts.mount.len : 0;

    return topic.len + mount <= UINT16_MAX && topic_name_check(as_str(topic), 0) == TOPIC_OK &&
           !str_starts(as_str(topic), STR("$SYS/"));
}

int skep_message_set_topic(struct skep_request *r, struct skep_str topic)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (!may_be_topic(r, topic))
        return SKEP_E_INVALID;
    r->message.topic = arena_str(&r->memory, as_str(topic));
    r->changed = true;
    return 0;
}

int skep_message_set_payload(struct skep_request *r, struct skep_str payload)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (payload.len > PAYLOAD_MAX)
        return SKEP_E_INVALID;
    r->message.payload = arena_str(&r->memory, as_str(payload));
    r->changed = true;
    return 0;
}

int skep_message_set_qos(struct skep_request *r, unsigned qos)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (qos > 2)
        return SKEP_E_INVALID;
    r->changed |= r->message.qos != qos;
    r->message.qos = (uint8_t)qos;
    return 0;
}

int skep_message_set_retain(struct skep_request *r, bool retain)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    r->changed |= r->message.retain != retain;
    r->message.retain = retain;
    return 0;
}

int skep_message_set_expiry(struct skep_request *r, uint32_t seconds)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    r->changed |= r->message.expiry != seconds;
    r->message.expiry = seconds;
    return 0;
}

static unsigned copy_count(const struct skep_request *r)
{
    unsigned n = 0;

    for (const struct message_copy *c = r->copies; c; c = c->next)
        n++;
    return n;
}

int skep_message_copy_to(struct skep_request *r, struct skep_str topic)
{
    if (r->stage != SKEP_STAGE_MESSAGE)
        return SKEP_E_STATE;
    if (!may_be_topic(r, topic))
        return SKEP_E_INVALID;
    if (copy_count(r) == COPIES_MAX)
        return SKEP_E_LIMIT;
    struct message_copy *c = ARENA_NEW(&r->memory, struct message_copy);
    c->message = r->message;
    c->message.topic = arena_str(&r->memory, as_str(topic));
    if (!r->copies)
        r->copies_last = &r->copies;
    *r->copies_last = c;
    r->copies_last = &c->next;
    return 0;
}
