/* A property block, read and checked whole: every property known, allowed in that
 * packet, present at most once where it must be, its value legal.  One table in
 * prop.c says all of it.  Private to server/mqtt; users walk an accepted block with
 * mqtt_prop_next. */
#ifndef SKEP_MQTT_PROP_H
#define SKEP_MQTT_PROP_H

#include "mqtt/cursor.h"
#include "mqtt/packet.h"

#define PROP_BIT(id) (UINT64_C(1) << (id))
#define PROP_END     0x2B /* one above the highest identifier */

/* What a broker passes on from publisher to subscriber as it came. */
#define PROPS_FORWARDED                                                                            \
    (PROP_BIT(PROP_PAYLOAD_FORMAT) | PROP_BIT(PROP_CONTENT_TYPE) | PROP_BIT(PROP_RESPONSE_TOPIC) | \
     PROP_BIT(PROP_CORRELATION_DATA) | PROP_BIT(PROP_USER_PROPERTY))

/* Where a block stands: an enum mqtt_type, or one of these two. */
enum { PROPS_OF_WILL = 16, PROPS_OF_PUBLISH_FROM_SERVER };

/* number[] and value[] hold only what `seen` says; the rest is not initialised
 * (it would cost more than reading a typical block). */
struct props {
    struct str raw; /* the block without its length */
    uint64_t seen;  /* PROP_BIT of each property that was there */
    uint32_t number[PROP_END];
    struct str value[PROP_END];
};

/* Takes length and block off the cursor.  Returns 0 or the reason code. */
int props_read(struct cursor *c, unsigned where, struct props *out);

static inline bool props_has(const struct props *p, enum mqtt_prop id)
{
    return (p->seen & PROP_BIT(id)) != 0;
}

static inline uint32_t props_number(const struct props *p, enum mqtt_prop id, uint32_t absent)
{
    return props_has(p, id) ? p->number[id] : absent;
}

/* Message expiry in seconds; UINT32_MAX is none.  A property of that very value (136 years) is
 * taken for a second less, so that it is passed on. */
static inline uint32_t props_expiry(const struct props *p)
{
    uint32_t seconds = props_number(p, PROP_MESSAGE_EXPIRY, UINT32_MAX);
    return props_has(p, PROP_MESSAGE_EXPIRY) && seconds == UINT32_MAX ? UINT32_MAX - 1 : seconds;
}

static inline struct str props_value(const struct props *p, enum mqtt_prop id)
{
    return props_has(p, id) ? p->value[id] : STR_NONE;
}

#endif
