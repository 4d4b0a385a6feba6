/* JSON Web Keys to OpenSSL's [RFC 7517, RFC 7518 6, RFC 8037]. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "lib_jwt/base64url.h"
#include "lib_jwt/key.h"

static char *bytes_of(const cJSON *jwk, const char *name, size_t *len)
{
    const char *text = json_text(json_member(jwk, name));
    return text ? base64url_decode(skep_str(text), len) : NULL;
}

/* From the parameters in `build`; NULL: they make no key. */
static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY *pkey = NULL;

    if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return pkey;
}

static EVP_PKEY *rsa_public(const cJSON *jwk)
{
    size_t n_len = 0, e_len = 0;
    char *n_bytes = bytes_of(jwk, "n", &n_len), *e_bytes = bytes_of(jwk, "e", &e_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY *pkey = NULL;

    /* A long exponent would make each check as slow as a signature */
    if (n_bytes && e_bytes && build && n_len <= RSA_BITS_MAX / 8 && e_len >= 1 && e_len <= 8) {
        n = BN_bin2bn((unsigned char *)n_bytes, (int)n_len, NULL);
        e = BN_bin2bn((unsigned char *)e_bytes, (int)e_len, NULL);
        if (n && e && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
            pkey = pkey_from("RSA", build);
    }
    BN_free(n);
    BN_free(e);
    OSSL_PARAM_BLD_free(build);
    free(n_bytes);
    free(e_bytes);
    return pkey;
}

static const struct curve {
    const char *name, *group;
    size_t bytes;
} curves[] = {{"P-256", "prime256v1", 32},
              {"P-384", "secp384r1", 48},
              {"P-521", "secp521r1", 66},
              {NULL, NULL, 0}};

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *ec_point(const struct curve *curve, const char *x, const char *y)
{
    unsigned char point[1 + 2 * 66] = {4};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    memcpy(point + 1, x, curve->bytes);
    memcpy(point + 1 + curve->bytes, y, curve->bytes);
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point,
                                         1 + 2 * curve->bytes))
        pkey = pkey_from("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *ec_public(const cJSON *jwk, const struct curve *curve)
{
    size_t x_len = 0, y_len = 0;
    char *x = bytes_of(jwk, "x", &x_len), *y = bytes_of(jwk, "y", &y_len);
    EVP_PKEY *pkey = NULL;

    if (x && y && x_len == curve->bytes && y_len == curve->bytes)
        pkey = ec_point(curve, x, y);
    free(x);
    free(y);
    return pkey;
}

static EVP_PKEY *ed25519_public(const cJSON *jwk)
{
    size_t len = 0;
    char *x = bytes_of(jwk, "x", &len);
    EVP_PKEY *pkey = NULL;

    if (x && len == 32)
        pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (unsigned char *)x, len);
    free(x);
    return pkey;
}

EVP_PKEY *jwk_public(const cJSON *jwk, const char **why)
{
    const char *kty = json_text(json_member(jwk, "kty"));
    const char *crv = json_text(json_member(jwk, "crv"));
    const struct curve *curve = curves;
    EVP_PKEY *pkey = NULL;

    *why = "a kind of key that is unknown";
    if (!kty)
        return NULL;
    while (curve->name && (!crv || strcmp(curve->name, crv) != 0))
        curve++;
    if (strcmp(kty, "RSA") == 0)
        pkey = rsa_public(jwk);
    else if (strcmp(kty, "EC") == 0 && curve->name)
        pkey = ec_public(jwk, curve);
    else if (strcmp(kty, "OKP") == 0 && crv && strcmp(crv, "Ed25519") == 0)
        pkey = ed25519_public(jwk);
    else
        return NULL;
    if (!pkey)
        *why = "a key that is none";
    return pkey;
}
