#include "mqtt/out.h"

#include "mqtt/prop.h"

#define REMAINING_MAX 268435455u

void out_props_of(struct mqtt_out *o, struct str raw, uint64_t ids)
{
    struct mqtt_prop_item item;

    while (mqtt_prop_next(&raw, &item) > 0)
        if (ids & PROP_BIT(item.id))
            out_raw(o, item.raw);
}

size_t out_size(out_part_fn *part, const void *arg)
{
    struct mqtt_out counter = {NULL, 0, 0};

    part(&counter, arg);
    return counter.need;
}

void out_props(struct mqtt_out *o, out_part_fn *part, const void *arg)
{
    size_t size = out_size(part, arg);

    ASSERT(size <= REMAINING_MAX);
    out_varint(o, (uint32_t)size);
    if (size > 0)
        part(o, arg);
}

void out_packet(struct mqtt_out *o, unsigned first, out_part_fn *body, const void *arg)
{
    size_t size = out_size(body, arg);

    ASSERT(size <= REMAINING_MAX);
    out_u8(o, first);
    out_varint(o, (uint32_t)size);
    body(o, arg);
}

size_t out_packet_size(out_part_fn *body, const void *arg)
{
    size_t size = out_size(body, arg);

    ASSERT(size <= REMAINING_MAX);
    return 1 + mqtt_varint_size((uint32_t)size) + size;
}

void mqtt_put_user_property(struct mqtt_out *o, struct str name, struct str value)
{
    out_u8(o, PROP_USER_PROPERTY);
    out_str(o, name);
    out_str(o, value);
}
