#include "lib_jwt/algorithm.h"

static const struct {
    const char *name, *digest;
    bool pss;
} table[ALGORITHM_COUNT] = {
    [HS256] = {"HS256", "SHA256", false}, [HS384] = {"HS384", "SHA384", false},
    [HS512] = {"HS512", "SHA512", false}, [RS256] = {"RS256", "SHA256", false},
    [RS384] = {"RS384", "SHA384", false}, [RS512] = {"RS512", "SHA512", false},
    [PS256] = {"PS256", "SHA256", true},  [PS384] = {"PS384", "SHA384", true},
    [PS512] = {"PS512", "SHA512", true},  [ES256] = {"ES256", "SHA256", false},
    [ES384] = {"ES384", "SHA384", false}, [ES512] = {"ES512", "SHA512", false},
    [EDDSA] = {"EdDSA", NULL, false},
};

int algorithm_of(struct skep_str name)
{
    for (int i = 0; i < ALGORITHM_COUNT; i++) {
        if (skep_str_eq(name, skep_str(table[i].name)))
            return i;
    }
    return -1;
}

const char *algorithm_name(enum algorithm a)
{
    return table[a].name;
}

const char *algorithm_digest(enum algorithm a)
{
    return table[a].digest;
}

bool algorithm_is_pss(enum algorithm a)
{
    return table[a].pss;
}

unsigned algorithms_of(enum key_kind kind)
{
    switch (kind) {
    case KEY_SECRET:
        return 1u << HS256 | 1u << HS384 | 1u << HS512;
    case KEY_RSA:
        return 1u << RS256 | 1u << RS384 | 1u << RS512 | 1u << PS256 | 1u << PS384 | 1u << PS512;
    case KEY_P256:
        return 1u << ES256;
    case KEY_P384:
        return 1u << ES384;
    case KEY_P521:
        return 1u << ES512;
    case KEY_ED25519:
        return 1u << EDDSA;
    }
    return 0;
}

unsigned algorithms_of_secret(size_t bytes)
{
    return (bytes >= 32 ? 1u << HS256 : 0) | (bytes >= 48 ? 1u << HS384 : 0) |
           (bytes >= 64 ? 1u << HS512 : 0);
}
