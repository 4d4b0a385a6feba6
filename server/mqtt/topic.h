/* Topic names and topic filters [MQTT 4.7], share names [MQTT 4.8.2].  Any thread. */
#ifndef SKEP_MQTT_TOPIC_H
#define SKEP_MQTT_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum topic_fault {
    TOPIC_OK = 0,
    TOPIC_EMPTY,
    TOPIC_TOO_LONG,  /* above 65535 bytes */
    TOPIC_NUL,
    TOPIC_UTF8,      /* ill-formed, surrogates included */
    TOPIC_WILDCARD,  /* in a name; in a filter: # not last, or + or # not a whole level */
    TOPIC_DEPTH,     /* more levels than max_levels */
    TOPIC_SHARE,     /* $share without name, with + # in the name, or without a filter */
};

/* "a topic name must not hold wildcards" ...; for logs and reason strings. */
const char *topic_fault_text(enum topic_fault fault);

/* Checks a topic name in one pass (SSE2 where there is, portable otherwise).  max_levels 0
 * is no limit. */
enum topic_fault topic_name_check(struct str topic, unsigned max_levels);

/* Checks a filter; a $share/NAME/ prefix is checked and its filter after it.  The prefix
 * does not count as levels.  "$share" without a slash is an ordinary filter. */
enum topic_fault topic_filter_check(struct str filter, unsigned max_levels);

/* Splits "$share/NAME/FILTER"; false (and outputs untouched) when not shared.  The filter
 * must have passed topic_filter_check. */
bool topic_share_split(struct str filter, struct str *share_name, struct str *rest);

bool topic_filter_has_wildcard(struct str filter);

/* Whether a (checked) filter without $share matches a (checked) name, $ rule
 * included [MQTT-4.7.2-1].  Linear in the topic's length; the index in core/subs.h is
 * what routing uses, this is its oracle and for single questions. */
bool topic_matches(struct str filter, struct str name);

#endif
