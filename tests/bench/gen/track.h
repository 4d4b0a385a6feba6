/* Loss, duplicates and disorder of one numbered stream, in 16 bytes and a few instructions.
 *
 * Numbers count up from 0 and wrap at 2^32.  The last 64 are remembered one by one, which tells a
 * late message that fills a gap (reordered) from one that was here before (duplicated).
 */
#ifndef SKEP_BENCH_TRACK_H
#define SKEP_BENCH_TRACK_H

#include <stdbool.h>
#include <stdint.h>

struct track {
    uint32_t next; /* the number that would be in order */
    uint64_t seen; /* bit i: next - 1 - i has arrived */
};

struct track_sums {
    uint64_t missing; /* skipped and not yet filled */
    uint64_t duplicated, reordered;
};

/* Note one arrival.  True when it is new. */
static inline bool track_note(struct track *t, uint32_t seq, struct track_sums *sums)
{
    int32_t ahead = (int32_t)(seq - t->next);

    if (__builtin_expect(ahead == 0, 1)) {
        t->seen = t->seen << 1 | 1;
        t->next++;
        return true;
    }
    if (ahead > 0) {
        sums->missing += (uint32_t)ahead;
        t->seen = ahead >= 63 ? 1 : (t->seen << (ahead + 1) | 1);
        t->next = seq + 1;
        return true;
    }
    /* What is too old to tell counts as a duplicate: then it stays missing, too. */
    uint32_t back = t->next - 1 - seq;
    if (back < 64 && !(t->seen >> back & 1)) {
        t->seen |= (uint64_t)1 << back;
        sums->missing--;
        sums->reordered++;
        return true;
    }
    sums->duplicated++;
    return false;
}

#endif
