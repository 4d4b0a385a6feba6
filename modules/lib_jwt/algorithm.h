/* The signatures of JSON Web Algorithms that we check [RFC 7518 3.1, RFC 8037].  `none` is none. */
#ifndef LIB_JWT_ALGORITHM_H
#define LIB_JWT_ALGORITHM_H

#include <skep/base.h>

enum algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EDDSA,
    ALGORITHM_COUNT,
};

/* For an option of several words. */
#define ALGORITHM_CHOICES                                                                          \
    "HS256|HS384|HS512|RS256|RS384|RS512|PS256|PS384|PS512|ES256|ES384|ES512|EdDSA"

/* What a key is; each kind has algorithms of its own, so that no key is ever used with another
 * kind's: a public RSA key is no HMAC secret. */
enum key_kind { KEY_SECRET, KEY_RSA, KEY_P256, KEY_P384, KEY_P521, KEY_ED25519 };

/* -1: unknown, or `none`. */
int algorithm_of(struct skep_str name);
const char *algorithm_name(enum algorithm a);
/* "SHA256", ...; NULL for EdDSA. */
const char *algorithm_digest(enum algorithm a);
bool algorithm_is_pss(enum algorithm a);
/* Those that a key of this kind can be used with, as a set of (1 << algorithm). */
unsigned algorithms_of(enum key_kind kind);
/* Those that a secret of so many bytes is long enough for [RFC 7518 3.2]. */
unsigned algorithms_of_secret(size_t bytes);

#endif
