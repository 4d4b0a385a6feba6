/* CRC-32C by the crc32 instruction of SSE4.2; elsewhere crc32c_sse42_works() says no. */
#include "store/crc32c.h"

#include <string.h>

#ifdef __x86_64__

#include <nmmintrin.h>

bool crc32c_sse42_works(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t crc = ~seed;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    for (; len > 0; p++, len--)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

#else

bool crc32c_sse42_works(void)
{
    return false;
}

uint32_t crc32c_sse42(uint32_t seed, const void *data, size_t len)
{
    return crc32c_portable(seed, data, len);
}

#endif
