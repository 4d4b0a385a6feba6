/* The random numbers of one run. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline struct dice dice_of(uint64_t seed)
{
    return (struct dice){seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull};
}

/* 0 .. below - 1 */
static inline uint32_t dice_pick(struct dice *d, uint32_t below)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static inline bool dice_one_in(struct dice *d, uint32_t n)
{
    return dice_pick(d, n) == 0;
}

#endif
