/* Taking a topic name or filter apart level by level.  Any thread. */
#ifndef SKEP_CORE_LEVELS_H
#define SKEP_CORE_LEVELS_H

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

struct levels {
    const char *at, *end; /* at NULL: no level is left */
};

static inline struct levels levels_of(struct str topic)
{
    return (struct levels){topic.ptr, topic.ptr + topic.len};
}

/* From the byte at `offset` on, where a level starts; none when that is behind the end. */
static inline struct levels levels_from(struct str topic, size_t offset)
{
    const char *end = topic.ptr + topic.len;
    return (struct levels){offset <= topic.len ? topic.ptr + offset : NULL, end};
}

static inline bool level_next(struct levels *l, struct str *level)
{
    if (!l->at)
        return false;
    const char *slash = memchr(l->at, '/', (size_t)(l->end - l->at));
    *level = (struct str){l->at, (size_t)((slash ? slash : l->end) - l->at)};
    l->at = slash ? slash + 1 : NULL;
    return true;
}

static inline bool level_is(struct str level, char c)
{
    return level.len == 1 && level.ptr[0] == c;
}

#endif
