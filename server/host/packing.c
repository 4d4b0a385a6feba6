#include "host/packing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mqtt/encode.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

enum { STRING_MAX = 65535, BYTES_MAX = 268435455 - 2 * STRING_MAX }; /* [MQTT-1.5.5-1] */

static bool is_text(struct skep_str s)
{
    return s.len <= STRING_MAX && utf8_is_text(str_in(s));
}

static bool user_properties_ok(const struct skep_message *m)
{
    for (size_t i = 0; i < m->user_property_count; i++) {
        if (!is_text(m->user_properties[i].name) || !is_text(m->user_properties[i].value))
            return false;
    }
    return true;
}

static bool properties_ok(const struct skep_message *m)
{
    return is_text(m->content_type) && m->correlation_data.len <= STRING_MAX &&
           (m->response_topic.len == 0 ||
            topic_name_check(str_in(m->response_topic), 0) == TOPIC_OK) && /* [MQTT-3.3.2-14] */
           user_properties_ok(m);
}

bool message_take(struct skep_message *out, const struct skep_message *in)
{
    size_t size = in->size < sizeof *out ? in->size : sizeof *out;

    *out = (struct skep_message){0};
    if (size < offsetof(struct skep_message, reserved))
        return false;
    memcpy(out, in, size);
    return out->qos <= 2 && topic_name_check(str_in(out->topic), 0) == TOPIC_OK &&
           properties_ok(out) && out->payload.len <= BYTES_MAX &&
           message_props_size(out) <= BYTES_MAX - out->payload.len &&
           (!out->payload_is_utf8 || utf8_is_valid(str_in(out->payload)));
}

static size_t string_size(struct skep_str s)
{
    return s.len ? 3 + s.len : 0;
}

size_t message_props_size(const struct skep_message *m)
{
    size_t n = (m->payload_is_utf8 ? 2 : 0) + string_size(m->content_type) +
               string_size(m->response_topic) + string_size(m->correlation_data);

    for (size_t i = 0; i < m->user_property_count; i++)
        n += 5 + m->user_properties[i].name.len + m->user_properties[i].value.len;
    return n;
}

static uint8_t *put_string(uint8_t *p, uint8_t id, struct skep_str s)
{
    if (s.len == 0)
        return p;
    *p++ = id;
    p = mqtt_u16_write(p, (unsigned)s.len);
    memcpy(p, s.ptr, s.len);
    return p + s.len;
}

void message_props_write(const struct skep_message *m, char *out)
{
    uint8_t *p = (uint8_t *)out;

    if (m->payload_is_utf8) {
        *p++ = PROP_PAYLOAD_FORMAT;
        *p++ = 1;
    }
    p = put_string(p, PROP_CONTENT_TYPE, m->content_type);
    p = put_string(p, PROP_RESPONSE_TOPIC, m->response_topic);
    p = put_string(p, PROP_CORRELATION_DATA, m->correlation_data);
    for (size_t i = 0; i < m->user_property_count; i++) {
        const struct skep_user_property *u = &m->user_properties[i];
        struct mqtt_out o = {.ptr = p, .cap = 5 + u->name.len + u->value.len};
        mqtt_put_user_property(&o, str_in(u->name), str_in(u->value));
        p += o.need;
    }
}

static void add_user_property(struct unpacking *room, size_t at, const struct mqtt_prop_item *item)
{
    if (at == room->cap) {
        room->cap = room->cap ? room->cap * 2 : 8;
        room->items = xrealloc(room->items, room->cap * sizeof *room->items);
    }
    room->items[at] =
        (struct skep_user_property){.name = str_out(item->name), .value = str_out(item->value)};
}

void message_props_read(struct skep_message *m, struct str props, struct unpacking *room)
{
    struct mqtt_prop_item item;

    while (mqtt_prop_next(&props, &item) > 0) {
        switch (item.id) {
        case PROP_PAYLOAD_FORMAT:
            m->payload_is_utf8 = item.number == 1;
            break;
        case PROP_CONTENT_TYPE:
            m->content_type = str_out(item.value);
            break;
        case PROP_RESPONSE_TOPIC:
            m->response_topic = str_out(item.value);
            break;
        case PROP_CORRELATION_DATA:
            m->correlation_data = str_out(item.value);
            break;
        case PROP_USER_PROPERTY:
            add_user_property(room, m->user_property_count++, &item);
            break;
        default:
            break;
        }
    }
    m->user_properties = room->items;
}

void unpacking_fini(struct unpacking *room)
{
    free(room->items);
    *room = (struct unpacking){0};
}
