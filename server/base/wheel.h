/* A lazy hierarchical timing wheel: millions of timers, each 24 bytes inside its owner.
 *
 * Eight levels of 64 slots; a slot of level n spans 64^n milliseconds.  A timer sits in the
 * slot where its due time first differs from the wheel's time and moves down a level when
 * that slot is reached, so it fires in the millisecond it is due, never early.  Moving a due
 * time *later* (a keep-alive that was heard from) is one store: the timer is put in
 * its new place when its old slot comes up.
 *
 * One thread.  A timer must be cancelled before its memory goes. */
#ifndef SKEP_BASE_WHEEL_H
#define SKEP_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WHEEL_LEVELS = 8, WHEEL_SLOTS = 64, WHEEL_KINDS = 16 };

#define WHEEL_NEVER UINT64_MAX

/* Zero-initialised is not armed.  Kind picks the callback. */
struct wheel_timer {
    struct wheel_timer *next, *prev;
    uint64_t due_ms : 48;
    uint64_t kind : 8;
};

/* The timer is no longer armed when its callback runs, which may arm it again, free its
 * owner, or add and cancel any others. */
typedef void wheel_fn(void *arg, struct wheel_timer *timer);

struct wheel {
    uint64_t now_ms;
    uint64_t armed;              /* timers in the wheel */
    struct wheel_timer ready;    /* taken from slots that were reached, not looked at yet */
    uint64_t used[WHEEL_LEVELS]; /* a bit a slot: may hold timers (cleared late) */
    struct wheel_timer slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct {
        wheel_fn *fn;
        void *arg;
    } kinds[WHEEL_KINDS];
};

/* now_ms: any clock that does not go back.  The struct must not move afterwards. */
void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_kind(struct wheel *w, unsigned kind, wheel_fn *fn, void *arg);

/* Arms the timer, or moves it when it is armed.  A time that has passed means the next
 * millisecond.  Times above 2^48 - 1 are cut to that (8900 years).  Set timer->kind before. */
void wheel_add(struct wheel *w, struct wheel_timer *timer, uint64_t due_ms);
/* Harmless on a timer that is not armed. */
void wheel_cancel(struct wheel *w, struct wheel_timer *timer);

static inline bool wheel_armed(const struct wheel_timer *timer)
{
    return timer->next != NULL;
}

/* Calls back what is due at now_ms, in order of the millisecond.  Handles up to `most`
 * timers (calls, and moves between slots); the rest waits for the next call, for which
 * wheel_next_due_ms then asks at once.  Returns the number of calls. */
unsigned wheel_advance(struct wheel *w, uint64_t now_ms, unsigned most);

/* When wheel_advance has something to do next: not later than the earliest due time, at
 * times before it; WHEEL_NEVER when nothing is armed. */
uint64_t wheel_next_due_ms(struct wheel *w);

#endif
