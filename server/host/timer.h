/* Timers of the host on a loop's wheel: each has a function of its own.
 *
 * All of them are of the wheel's kind HOST_TIMER_KIND.  A timer belongs to its place's thread. */
#ifndef SKEP_HOST_TIMER_H
#define SKEP_HOST_TIMER_H

#include "base/wheel.h"
#include "host/host.h"

/* Inside its owner; zero-initialised but for fn.  When fn runs the timer is no longer armed; fn may
 * set it again or free its owner. */
struct host_timer {
    struct wheel_timer wheel;
    void (*fn)(struct host_timer *timer);
};

/* Once, so many milliseconds after the beginning of this turn; replaces what was set. */
void host_timer_set(struct host_place *p, struct host_timer *timer, uint64_t ms);
/* Harmless on one that is not set. */
void host_timer_cancel(struct host_place *p, struct host_timer *timer);

/* Makes the place's wheel call such timers; before its loop starts. */
void host_timer_register(struct host_place *p);

#endif
