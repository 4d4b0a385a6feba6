/* The arithmetic of SCRAM-SHA-256 (RFC 5802 section 3, RFC 7677).  Any thread. */
#ifndef LIB_USERS_SCRAM_KEYS_H
#define LIB_USERS_SCRAM_KEYS_H

#include <skep/base.h>

/* The stored key and the server key, 32 bytes each, of a password.  0, or -1 (memory). */
int scram_keys(struct skep_str password, const unsigned char *salt, size_t salt_len,
               uint32_t iterations, unsigned char *stored, unsigned char *server);

/* HMAC-SHA-256. */
void scram_hmac(unsigned char out[32], const void *key, size_t key_len, struct skep_str text);

#endif
