#include "base/hash.h"

#include "base/rand.h"

uint64_t hash_key[2] = {0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u};

void hash_seed(void)
{
    hash_seed_set(rand_u64());
}

void hash_seed_set(uint64_t seed)
{
    hash_key[0] = hash_fold(seed ^ 0x9e3779b97f4a7c15u, 0xe7037ed1a0b428dbu);
    hash_key[1] = hash_fold(seed ^ 0x8ebc6af09c88c6e3u, 0x589965cc75374cc3u) | 1;
}
