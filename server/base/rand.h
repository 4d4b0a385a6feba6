/* Random bytes from the kernel: seeds, tokens, assigned client ids.  Any thread. */
#ifndef SKEP_BASE_RAND_H
#define SKEP_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *out, size_t len);
uint64_t rand_u64(void);

#endif
