/* Password hashes, as they stand in a file of users.
 *
 * Two kinds are written: argon2id in PHC form ($argon2id$v=19$m=..,t=..,p=..$salt$hash) and
 * PBKDF2-SHA512 in mosquitto_passwd's form ($7$iterations$salt$hash).  Both are read, and so is
 * mosquitto's old SHA-512 form ($6$salt$hash). */
#ifndef SKEP_CTL_SECRET_H
#define SKEP_CTL_SECRET_H

#include "ctl/bytes.h"

enum secret_kind { SECRET_ARGON2ID, SECRET_PBKDF2 };

enum {
    /* The costs that OWASP's password storage sheet recommends. */
    SECRET_ARGON2_MEMORY_KIB = 19456,
    SECRET_ARGON2_PASSES = 2,
    SECRET_PBKDF2_ITERATIONS = 210000,
};

/* Appends the hash of a password under a fresh salt.  cost: PBKDF2 iterations or argon2 passes,
 * 0 for the default.  0; -1 when the library refuses (memory). */
int secret_hash(struct bytes *out, enum secret_kind kind, uint32_t cost, struct str password);

/* 1 when the password belongs to the hash, 0 when not, -1 when the text is no hash we know.
 * Compares in constant time. */
int secret_verify(struct str hash, struct str password);

#endif
