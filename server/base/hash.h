/* Keyed hashing of short strings (topics, levels, client ids).
 *
 * A folded 64x64->128 multiply over 16-byte steps.  The key is random per process
 * (hash_seed), so a peer cannot prepare strings that collide.  Not cryptographic. */
#ifndef SKEP_BASE_HASH_H
#define SKEP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Call once at start, before any other thread.  Tests may fix the seed with hash_seed_set. */
void hash_seed(void);
void hash_seed_set(uint64_t seed);

extern uint64_t hash_key[2];

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}


static inline uint64_t hash_bytes_with(uint64_t seed, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t h = seed ^ hash_key[0];
    size_t n = len;

    while (n > 16) {
        uint64_t a, b;
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        h = hash_fold(a ^ hash_key[1], b ^ h);
        p += 16;
        n -= 16;
    }
    uint64_t a = 0, b = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        uint32_t lo, hi;
        memcpy(&lo, p, 4);
        memcpy(&hi, p + n - 4, 4);
        a = lo;
        b = hi;
    } else if (n > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
    }
    return hash_fold(hash_fold(a ^ hash_key[1], b ^ h), len ^ hash_key[0]);
}

static inline uint64_t hash_bytes(const void *data, size_t len)
{
    return hash_bytes_with(0, data, len);
}

#endif
