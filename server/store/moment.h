/* Store time: what every absolute time in the store is given in.
 *
 * Milliseconds that began as the wall clock when the store was made, advance with the monotonic
 * clock while a process has it open, and go on over a restart by the wall time that passed in
 * between, if that is known to have gone forward.  So a wall clock that jumps under a running
 * broker changes nothing, and time without one counts.
 *
 * While a store is open, store time is the monotonic clock plus a constant. */
#ifndef SKEP_STORE_MOMENT_H
#define SKEP_STORE_MOMENT_H

#include <stdint.h>

/* Where time comes from; tests have their own.  Any thread. */
struct store_clock {
    uint64_t (*mono_ms)(void);
    uint64_t (*wall_ms)(void);
};

extern const struct store_clock store_clock_system;

/* One moment on both clocks.  All zero: none is known. */
struct moment {
    uint64_t wall_ms, store_ms;
};

/* What to add to the monotonic clock from now on, when `last` is the newest moment known of
 * the store. */
int64_t moment_offset_ms(const struct store_clock *clock, struct moment last);

struct moment moment_now(const struct store_clock *clock, int64_t offset_ms);

/* By how much the wall clock is ahead of store time. */
static inline int64_t moment_ahead_ms(struct moment m)
{
    return (int64_t)(m.wall_ms - m.store_ms);
}

#endif
