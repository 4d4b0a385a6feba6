/* Password hashes as they stand in a users file:
 *
 *     $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$DIGEST     PHC form, base64 without padding
 *     $7$ITERATIONS$SALT$DIGEST                             PBKDF2-HMAC-SHA512, as mosquitto_passwd
 *     $6$SALT$DIGEST                                        one round of SHA-512, old mosquitto
 *     $scram-sha-256$ITERATIONS$SALT$STORED_KEY$SERVER_KEY  RFC 5802
 *
 * What a hash may cost is bounded, so that a file from elsewhere cannot take memory or minutes. */
#ifndef LIB_USERS_PASSWORD_H
#define LIB_USERS_PASSWORD_H

#include <skep/base.h>

enum password_kind { PASSWORD_ARGON2ID, PASSWORD_PBKDF2, PASSWORD_SHA512, PASSWORD_SCRAM };

enum {
    PASSWORD_SALT_MAX = 64,
    PASSWORD_DIGEST_MAX = 64,
    PASSWORD_TEXT_MAX = 512,
    ARGON2_MEMORY_MAX_KIB = 256 * 1024,
    ARGON2_WORK_MAX_KIB = 1024 * 1024, /* memory times passes: about a second */
    ARGON2_LANES_MAX = 16,
    PBKDF2_ITERATIONS_MAX = 10 * 1000 * 1000,
    SCRAM_ITERATIONS_MIN = 4096, /* RFC 7677 */
    SCRAM_ITERATIONS_MAX = 10 * 1000 * 1000,
    SCRAM_KEY = 32,
};

struct password_hash {
    enum password_kind kind;
    uint32_t cost; /* iterations or passes */
    uint32_t memory_kib, lanes;
    uint8_t salt_len, digest_len;
    unsigned char salt[PASSWORD_SALT_MAX];
    unsigned char digest[PASSWORD_DIGEST_MAX]; /* SCRAM: the stored key, then the server key */
};

/* NULL; or what is wrong with it, in a few words, and *at counts the bytes before that. */
const char *password_parse(struct password_hash *out, struct skep_str text, size_t *at);

/* 1: it is the password; 0: it is not; -1: no memory for it.  Takes as long as the hash wants and
 * compares in constant time: for the job pool. */
int password_check(const struct password_hash *hash, struct skep_str password);

/* "argon2id", "pbkdf2", "sha512", "scram-sha-256". */
const char *password_kind_text(enum password_kind kind);

#endif
