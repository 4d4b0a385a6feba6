/* One pass over a topic: which kinds of byte it holds, and how many slashes.  The
 * variant is chosen here; both are complete, and a test compares them.  Private to
 * server/mqtt. */
#ifndef SKEP_MQTT_SCAN_H
#define SKEP_MQTT_SCAN_H

#include <stdint.h>

enum {
    SCAN_NUL = 1,  /* a zero byte */
    SCAN_WILD = 2, /* + or # */
    SCAN_HIGH = 4, /* a byte at or above 0x80: UTF-8 is yet to be checked */
};

struct scan {
    uint32_t slashes;
    uint32_t seen; /* SCAN_ bits */
};

#include "mqtt/scan_portable.h"

#ifdef __SSE2__
#include "mqtt/scan_sse2.h"
#define scan_topic scan_topic_sse2
#else
#define scan_topic scan_topic_portable
#endif

#endif
