/* UTF-8 as RFC 3629 and the Unicode Standard define it: no over-long forms, no
 * surrogates, nothing above U+10FFFF.  A byte order mark, control characters and
 * noncharacters are ordinary text; they are neither refused nor stripped
 * [MQTT-1.5.4-3].  Any thread. */
#ifndef SKEP_BASE_UTF8_H
#define SKEP_BASE_UTF8_H

#include <stdbool.h>

#include "base/str.h"

/* Whether the bytes are well-formed.  U+0000 is; so is the empty string. */
bool utf8_is_valid(struct str s);

/* Well-formed and without U+0000: what MQTT asks of every string field
 * [MQTT-1.5.3-1, MQTT-1.5.3-2, MQTT-1.5.4-1, MQTT-1.5.4-2]. */
bool utf8_is_text(struct str s);

#endif
