#include "mqtt/topic.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "mqtt/scan.h"

#define SHARE_PREFIX STR("$share/")

const char *topic_fault_text(enum topic_fault fault)
{
    switch (fault) {
    case TOPIC_OK:
        return "ok";
    case TOPIC_EMPTY:
        return "a topic must have at least one character";
    case TOPIC_TOO_LONG:
        return "a topic must not exceed 65535 bytes";
    case TOPIC_NUL:
        return "a topic must not hold U+0000";
    case TOPIC_UTF8:
        return "a topic must be well-formed UTF-8";
    case TOPIC_WILDCARD:
        return "wildcards stand only in filters, + as a whole level, # as the whole last level";
    case TOPIC_DEPTH:
        return "the topic has too many levels";
    case TOPIC_SHARE:
        return "a shared subscription is $share/NAME/FILTER, no wildcard in NAME";
    }
    return "unknown topic fault";
}

/* What names and filters have in common, wildcards aside. */
static inline enum topic_fault scan_check(struct str topic, const struct scan *s,
                                          unsigned max_levels)
{
    if (UNLIKELY(s->seen & SCAN_NUL))
        return TOPIC_NUL; /* [MQTT-4.7.3-2] */
    if (UNLIKELY(s->seen & SCAN_HIGH) && !utf8_is_text(topic))
        return TOPIC_UTF8;
    if (UNLIKELY(max_levels > 0 && s->slashes >= max_levels))
        return TOPIC_DEPTH;
    return TOPIC_OK;
}

enum topic_fault topic_name_check(struct str topic, unsigned max_levels)
{
    struct scan s;

    if (UNLIKELY(topic.len == 0))
        return TOPIC_EMPTY; /* [MQTT-4.7.3-1] */
    if (UNLIKELY(topic.len > UINT16_MAX))
        return TOPIC_TOO_LONG; /* [MQTT-4.7.3-3] */
    s = scan_topic(topic);
    if (UNLIKELY((s.seen & (SCAN_NUL | SCAN_WILD)) == SCAN_WILD))
        return TOPIC_WILDCARD; /* [MQTT-4.7.1-1] [MQTT-4.7.0-1] */
    return scan_check(topic, &s, max_levels);
}

/* [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.1-3] */
static bool wildcards_ok(struct str filter)
{
    for (size_t i = 0; i < filter.len; i++) {
        char c = filter.ptr[i];
        bool starts, ends;
        if (c != '+' && c != '#')
            continue;
        starts = i == 0 || filter.ptr[i - 1] == '/';
        ends = i + 1 == filter.len || (c == '+' && filter.ptr[i + 1] == '/');
        if (!starts || !ends)
            return false;
    }
    return true;
}

/* Takes "$share/NAME/" off the filter.  False where the rules on shared subscriptions
 * are broken [MQTT-4.8.2-1] [MQTT-4.8.2-2]. */
static bool share_cut(struct str *filter, struct str *name)
{
    const char *start = filter->ptr + SHARE_PREFIX.len;
    size_t left = filter->len - SHARE_PREFIX.len;
    const char *slash = memchr(start, '/', left);

    if (!slash || slash == start || (size_t)(slash - start) + 1 == left)
        return false;
    *name = (struct str){start, (size_t)(slash - start)};
    *filter = (struct str){slash + 1, left - name->len - 1};
    return true;
}

enum topic_fault topic_filter_check(struct str filter, unsigned max_levels)
{
    bool shared = str_starts(filter, SHARE_PREFIX);
    struct str name = STR_NONE;
    enum topic_fault fault;
    struct scan s;

    if (filter.len == 0)
        return TOPIC_EMPTY; /* [MQTT-4.7.3-1] */
    if (filter.len > UINT16_MAX)
        return TOPIC_TOO_LONG; /* [MQTT-4.7.3-3] */
    s = scan_topic(filter);
    /* "$share" and NAME are no levels of the filter. */
    if (shared && max_levels > 0)
        max_levels += 2;
    if ((fault = scan_check(filter, &s, max_levels)) != TOPIC_OK)
        return fault;
    if (shared && (!share_cut(&filter, &name) || topic_filter_has_wildcard(name)))
        return TOPIC_SHARE;
    return (s.seen & SCAN_WILD) && !wildcards_ok(filter) ? TOPIC_WILDCARD : TOPIC_OK;
}

bool topic_share_split(struct str filter, struct str *share_name, struct str *rest)
{
    if (!str_starts(filter, SHARE_PREFIX) || !share_cut(&filter, share_name))
        return false;
    *rest = filter;
    return true;
}

bool topic_filter_has_wildcard(struct str filter)
{
    return filter.len > 0 &&
           (memchr(filter.ptr, '+', filter.len) || memchr(filter.ptr, '#', filter.len));
}

/* Takes the next level off; `more` tells whether another one follows (it may be empty). */
static struct str level_take(struct str *s, bool *more)
{
    const char *slash = s->len ? memchr(s->ptr, '/', s->len) : NULL;
    struct str level = *s;

    *more = slash != NULL;
    if (slash) {
        level.len = (size_t)(slash - s->ptr);
        *s = (struct str){slash + 1, s->len - level.len - 1};
    } else {
        *s = STR_NONE;
    }
    return level;
}

bool topic_matches(struct str filter, struct str name)
{
    bool filter_more = true, name_more = true;

    /* [MQTT-4.7.2-1] */
    if (name.len && name.ptr[0] == '$' && filter.len &&
        (filter.ptr[0] == '+' || filter.ptr[0] == '#'))
        return false;
    while (filter_more && name_more) {
        struct str f = level_take(&filter, &filter_more), n = level_take(&name, &name_more);
        if (str_eq(f, STR("#")))
            return true;
        if (!str_eq(f, STR("+")) && !str_eq(f, n))
            return false;
    }
    /* "a/#" matches "a" too. */
    return (!filter_more && !name_more) || (filter_more && str_eq(filter, STR("#")));
}
