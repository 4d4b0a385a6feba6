/* Property blocks: what is accepted can be walked, holds no forbidden repeats, and is
 * forwarded in order.  Input: one byte for the place, then length and block. */
#include "fuzz.h"

#include <string.h>

#include "mqtt/prop.h"

static void check_inside(struct str part, struct str whole)
{
    if (part.ptr)
        MUST(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static uint64_t walk(struct str block)
{
    struct mqtt_prop_item item;
    struct str rest = block;
    const char *at = block.ptr;
    uint64_t seen = 0;
    int got;

    while ((got = mqtt_prop_next(&rest, &item)) > 0) {
        MUST(item.raw.ptr == at && (uint8_t)*at == item.id);
        at += item.raw.len;
        check_inside(item.raw, block);
        check_inside(item.name, item.raw);
        check_inside(item.value, item.raw);
        MUST(item.id < PROP_END);
        MUST(!(seen & PROP_BIT(item.id)) || item.id == PROP_USER_PROPERTY ||
             item.id == PROP_SUBSCRIPTION_ID);
        seen |= PROP_BIT(item.id);
    }
    MUST(got == 0 && at == block.ptr + block.len);
    return seen;
}

static void check_forward(const struct props *props)
{
    uint8_t *copy = malloc(props->raw.len + 1);
    size_t len = mqtt_props_forward(props->raw, copy);
    struct str forwarded = {(const char *)copy, len};

    MUST(len <= props->raw.len);
    MUST(walk(forwarded) == (props->seen & PROPS_FORWARDED));
    if (!(props->seen & ~PROPS_FORWARDED))
        MUST(str_eq(forwarded, props->raw));
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest;
    struct mqtt_prop_item item;
    struct props props;
    struct cursor c;
    int fault;

    if (size < 1)
        return 0;
    /* any bytes at all may be walked, if not with success */
    for (rest = (struct str){(const char *)data + 1, size - 1}; mqtt_prop_next(&rest, &item) > 0;)
        continue;
    c = cursor_of((struct str){(const char *)data + 1, size - 1});
    fault = props_read(&c, data[0] % (PROPS_OF_PUBLISH_FROM_SERVER + 1), &props);
    MUST(fault == 0 || (fault >= 0x80 && fault <= 0xA2));
    if (fault == 0) {
        MUST(walk(props.raw) == props.seen);
        check_forward(&props);
    }
    return 0;
}
