/* Password hashes, as they stand in a file of users.
 *
 * Three kinds are written: argon2id in PHC form ($argon2id$v=19$m=..,t=..,p=..$salt$hash),
 * PBKDF2-SHA512 in mosquitto_passwd's form ($7$iterations$salt$hash), and SCRAM verifiers
 * ($scram-sha-256$iterations$salt$stored key$server key, RFC 5802).  They are read, and so is
 * mosquitto's old SHA-512 form ($6$salt$hash).  A user may have a verifier beside a hash, behind a
 * colon. */
#ifndef SKEP_CTL_SECRET_H
#define SKEP_CTL_SECRET_H

#include "ctl/bytes.h"

enum secret_kind { SECRET_ARGON2ID, SECRET_PBKDF2, SECRET_SCRAM };

enum {
    /* The costs that OWASP's password storage sheet recommends. */
    SECRET_ARGON2_MEMORY_KIB = 19456,
    SECRET_ARGON2_PASSES = 2,
    SECRET_PBKDF2_ITERATIONS = 210000,
    /* The client pays these; it may be a small one. */
    SECRET_SCRAM_ITERATIONS = 65536,
    SECRET_SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677 */
};

/* Appends the hash of a password under a fresh salt.  cost: iterations or argon2 passes, 0 for the
 * default.  0; -1 when the library refuses (memory). */
int secret_hash(struct bytes *out, enum secret_kind kind, uint32_t cost, struct str password);

/* Whether SCRAM clients agree on what the password's bytes are: printable ASCII, for anything else
 * they may or may not normalise (SASLprep, RFC 4013). */
bool secret_fits_scram(struct str password);

/* The next of a user's hashes, *rest being what stands behind his name; false behind the last. */
bool secret_next(struct str *rest, struct str *hash);

/* "argon2id", "pbkdf2", "sha512 (old, weak)", "scram-sha-256", "not a hash". */
const char *secret_kind_text(struct str hash);

/* 1 when the password belongs to the hash, 0 when not, -1 when the text is no hash we know.
 * Compares in constant time. */
int secret_verify(struct str hash, struct str password);

#endif
