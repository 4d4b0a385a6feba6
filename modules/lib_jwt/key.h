/* One key, inside keys.h. */
#ifndef LIB_JWT_KEY_H
#define LIB_JWT_KEY_H

#include "lib_jwt/keys.h"

struct key {
    char *kid; /* NULL: fits all */
    enum key_kind kind;
    unsigned algorithms;
    EVP_PKEY *pkey; /* all kinds but KEY_SECRET */
    unsigned char *secret;
    size_t secret_len;
};

/* Takes pkey (also when it fails). */
const char *keys_add_pkey(struct keys *k, const char *kid, EVP_PKEY *pkey, unsigned algorithms);

/* key.c: whether the signature is the key's.  algorithm is one of the key's. */
bool key_verify(const struct key *key, enum algorithm algorithm, struct skep_str text,
                struct skep_str signature);

/* jwk.c: a public key of a JWK; NULL: *why. */
EVP_PKEY *jwk_public(const cJSON *jwk, const char **why);

#endif
