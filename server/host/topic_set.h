/* Which topics on_message may be about, by the first level alone: a quick no for all others.
 *
 * A bit for each of 256 values of a hash of the first level, so a yes may be wrong and a no never
 * is. */
#ifndef SKEP_HOST_TOPIC_SET_H
#define SKEP_HOST_TOPIC_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct topic_set {
    uint64_t bits[4];
};

static inline unsigned topic_set_hash(struct str topic)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < topic.len && topic.ptr[i] != '/'; i++)
        h = (h ^ (uint8_t)topic.ptr[i]) * 16777619u;
    return (h ^ h >> 15) & 255;
}

static inline bool topic_set_has(const struct topic_set *set, struct str topic)
{
    unsigned bit = topic_set_hash(topic);

    return set->bits[bit / 64] >> (bit % 64) & 1;
}

static inline void topic_set_fill(struct topic_set *set)
{
    memset(set, 0xff, sizeof *set);
}

/* The topics of a filter; its first level may be a wildcard. */
static inline void topic_set_add(struct topic_set *set, struct str filter)
{
    unsigned bit = topic_set_hash(filter);

    if (filter.len == 0 || filter.ptr[0] == '+' || filter.ptr[0] == '#')
        topic_set_fill(set);
    else
        set->bits[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static inline void topic_set_join(struct topic_set *set, const struct topic_set *other)
{
    for (unsigned i = 0; i < 4; i++)
        set->bits[i] |= other->bits[i];
}

#endif
