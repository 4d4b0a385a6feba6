/* Keys that signatures are checked with.  A set is filled by one thread, then immutable and
 * counted: whoever checks a token holds the set it began with. */
#ifndef LIB_JWT_KEYS_H
#define LIB_JWT_KEYS_H

#include <openssl/evp.h>

#include "lib_jwt/token.h"

enum {
    KEYS_MAX = 64,
    KEYS_BYTES = 256 * 1024,
    KEYS_TRIED = 8,
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192
};

struct keys;

struct keys *keys_new(void);
struct keys *keys_ref(struct keys *k);
void keys_unref(struct keys *k); /* accepts NULL */
size_t keys_count(const struct keys *k);
/* All algorithms that some key of the set can be used with. */
unsigned keys_algorithms(const struct keys *k);
bool keys_have_secret(const struct keys *k);

/* Each adds to the set: NULL, or why not.  kid NULL: the key fits every key id.  algorithms: a set
 * that narrows what the kind of key allows; 0: all of it. */
const char *keys_add_secret(struct keys *k, const char *kid, struct skep_str secret,
                            unsigned algorithms);
/* Public keys and certificates in PEM, all of them. */
const char *keys_add_pem(struct keys *k, const char *kid, struct skep_str pem, unsigned algorithms);
/* A JWK set [RFC 7517 5].  What is not for signatures, of a kind we do not know, or no
 * good is left out; *skipped counts them.  secrets: symmetric keys are taken, too (from a file of
 * ours, never from a URL). */
const char *keys_add_jwks(struct keys *k, struct skep_str json, unsigned algorithms, bool secrets,
                          unsigned *skipped);

/* Takes over all keys of `from`, which goes on living. */
const char *keys_add_all(struct keys *k, const struct keys *from);

enum check { CHECK_GOOD, CHECK_BAD_SIGNATURE, CHECK_NO_KEY };

/* Tries the keys that fit the token's key id and algorithm. */
enum check keys_check(const struct keys *k, const struct token *t);
/* Whether any would be tried. */
bool keys_fit(const struct keys *k, const struct token *t);

#endif
