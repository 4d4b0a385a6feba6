/* When to try again, and how fast to go. */
#ifndef BRIDGE_PACE_H
#define BRIDGE_PACE_H

#include <skep/base.h>

/* Waits that double from `least` to `most`, each drawn from its upper half, so that a thousand
 * bridges that lost the same broker do not come back in the same second. */
struct backoff {
    uint32_t least_ms, most_ms, step_ms;
    uint64_t seed;
};

void backoff_init(struct backoff *b, uint32_t least_ms, uint32_t most_ms, uint64_t seed);
uint32_t backoff_next(struct backoff *b);
void backoff_reset(struct backoff *b);

/* So many a second, with a burst of a tenth of a second's worth, at least one. */
struct bucket {
    double rate, tokens; /* rate 0: no limit */
    uint64_t at_ms;
};

void bucket_init(struct bucket *b, double rate, uint64_t now_ms);
/* True: go on.  False: not before *wait_ms from now. */
bool bucket_take(struct bucket *b, uint64_t now_ms, uint64_t *wait_ms);

#endif
