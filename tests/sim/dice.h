/* The random numbers of one run. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Mixed, or the numbers of one seed would be those of the seed before but for the first: runs
 * that fall into step with each other then go on as one. */
static inline struct dice dice_of(uint64_t seed)
{
    return (struct dice){dice_mix(seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull)};
}

/* 0 .. below - 1 */
static inline uint32_t dice_pick(struct dice *d, uint32_t below)
{
    return (uint32_t)(dice_mix(d->state += 0x9e3779b97f4a7c15ull) % below);
}

static inline bool dice_one_in(struct dice *d, uint32_t n)
{
    return dice_pick(d, n) == 0;
}

#endif
