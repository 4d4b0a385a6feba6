/* What a seed can grow into; each is one run, and ends the process where a rule is broken. */
#ifndef TESTS_SIM_STORIES_H
#define TESTS_SIM_STORIES_H

#include <stdint.h>

/* Sessions that last, connections that do not: nothing is lost, doubled or out of order. */
void story_reliable(uint64_t seed);
/* Anything a client may do, in any order, under small limits. */
void story_wild(uint64_t seed);
/* Keep-alives and wills against the clock. */
void story_clocks(uint64_t seed);
/* A broker that crashes and comes back on what its disk kept. */
void story_durable(uint64_t seed);

#endif
