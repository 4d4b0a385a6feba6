/* The variant for processors without SSE2.  Included by mqtt/scan.h only. */
#ifndef SKEP_MQTT_SCAN_PORTABLE_H
#define SKEP_MQTT_SCAN_PORTABLE_H

#include "base/str.h"

static inline struct scan scan_topic_portable(struct str topic)
{
    struct scan s = {0, 0};

    for (size_t i = 0; i < topic.len; i++) {
        unsigned char byte = (unsigned char)topic.ptr[i];
        s.slashes += byte == '/';
        if (byte == 0)
            s.seen |= SCAN_NUL;
        else if (byte == '+' || byte == '#')
            s.seen |= SCAN_WILD;
        else if (byte >= 0x80)
            s.seen |= SCAN_HIGH;
    }
    return s;
}

#endif
