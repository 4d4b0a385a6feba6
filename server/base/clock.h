/* Time.  `mono` never jumps and is for intervals; `wall` is for expiry that must
 * survive a restart and for logs.  Loops read the clock once a turn and pass `now`
 * down; nothing below `front` calls these functions on the hot path. */
#ifndef SKEP_BASE_CLOCK_H
#define SKEP_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void);
uint64_t clock_wall_ms(void); /* milliseconds since 1970 UTC */

#endif
