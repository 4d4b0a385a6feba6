/* CRC-32C (Castagnoli): what guards every record of the log and every value of the tables.
 *
 * The processor's own instruction where there is one (crc32c_sse42.c), tables elsewhere; both
 * give the same answer.  Chains: crc32c(crc32c(s, a), b) is the checksum of a followed by b.
 * Any thread. */
#ifndef SKEP_STORE_CRC32C_H
#define SKEP_STORE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t seed, const void *data, size_t len);

/* The two ways, for the test that compares them. */
uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len);
uint32_t crc32c_sse42(uint32_t seed, const void *data, size_t len);
bool crc32c_sse42_works(void);

#endif
