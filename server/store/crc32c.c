/* Slicing by eight: one step takes eight bytes through eight tables. */
#include "store/crc32c.h"

#include <pthread.h>
#include <string.h>

enum { SLICES = 8 };

static uint32_t table[SLICES][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool use_sse42;

static void prepare(void)
{
    const uint32_t reversed_polynomial = 0x82f63b78;

    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? reversed_polynomial : 0);
        table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++) {
        for (int s = 1; s < SLICES; s++)
            table[s][i] = table[s - 1][i] >> 8 ^ table[0][table[s - 1][i] & 0xff];
    }
    use_sse42 = crc32c_sse42_works();
}

static uint32_t eight_bytes(uint32_t crc, const uint8_t *p)
{
    uint32_t lo =
        crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    return table[7][lo & 0xff] ^ table[6][lo >> 8 & 0xff] ^ table[5][lo >> 16 & 0xff] ^
           table[4][lo >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = ~seed;

    pthread_once(&once, prepare);
    for (; len >= 8; p += 8, len -= 8)
        crc = eight_bytes(crc, p);
    for (; len > 0; p++, len--)
        crc = crc >> 8 ^ table[0][(crc ^ *p) & 0xff];
    return ~crc;
}

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    pthread_once(&once, prepare);
    return use_sse42 ? crc32c_sse42(seed, data, len) : crc32c_portable(seed, data, len);
}
