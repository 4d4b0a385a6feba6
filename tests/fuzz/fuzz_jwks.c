/* A set of keys.  Input: a JWK set, or (when it begins with `-`) PEM.  What is taken can be used
 * with some algorithm, a URL's set holds no secrets, and a set can be copied. */
#include "fuzz.h"

#include "lib_jwt/keys.h"

static void check(struct keys *k)
{
    struct keys *copy = keys_new();

    MUST(keys_count(k) <= KEYS_MAX);
    MUST((keys_count(k) > 0) == (keys_algorithms(k) != 0));
    MUST(!keys_add_all(copy, k));
    MUST(keys_count(copy) == keys_count(k) && keys_algorithms(copy) == keys_algorithms(k));
    keys_unref(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct keys *k = keys_new(), *fetched = keys_new();
    struct skep_str text = skep_bytes(data, size);
    unsigned skipped;

    if (size > 0 && data[0] == '-') {
        (void)keys_add_pem(k, "kid", text, 0);
    } else {
        const char *why = keys_add_jwks(k, text, 0, true, &skipped);
        MUST(!keys_add_jwks(fetched, text, 0, false, &skipped) == !why);
        MUST(!keys_have_secret(fetched) && keys_count(fetched) <= keys_count(k));
    }
    check(k);
    keys_unref(k);
    keys_unref(fetched);
    return 0;
}
