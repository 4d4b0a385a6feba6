#include "lib_jwt/key.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

static bool verify_hmac(const struct key *key, enum algorithm algorithm, struct skep_str text,
                        struct skep_str signature)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (!EVP_Q_mac(NULL, "HMAC", NULL, algorithm_digest(algorithm), NULL, key->secret,
                   key->secret_len, (const unsigned char *)text.ptr, text.len, mac, sizeof mac,
                   &len))
        return false;
    return signature.len == len && CRYPTO_memcmp(mac, signature.ptr, len) == 0;
}

static size_t coordinate_bytes(enum key_kind kind)
{
    return kind == KEY_P256 ? 32 : kind == KEY_P384 ? 48 : kind == KEY_P521 ? 66 : 0;
}

/* JWS writes r and s side by side, OpenSSL wants them in DER.  Malloc'ed by OpenSSL. */
static unsigned char *ecdsa_der(struct skep_str signature, size_t n, int *len)
{
    const unsigned char *from = (const unsigned char *)signature.ptr;
    unsigned char *der = NULL;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(from, (int)n, NULL), *s = BN_bin2bn(from + n, (int)n, NULL);

    if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
        r = s = NULL; /* sig's now */
        *len = i2d_ECDSA_SIG(sig, &der);
        if (*len <= 0)
            der = NULL;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return der;
}

/* The salt is as long as the digest [RFC 7518 3.5]. */
static bool use_pss(EVP_PKEY_CTX *ctx)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

static bool verify_digest(const struct key *key, enum algorithm algorithm, struct skep_str text,
                          const void *signature, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    bool good = md && EVP_DigestVerifyInit_ex(md, &ctx, algorithm_digest(algorithm), NULL, NULL,
                                              key->pkey, NULL) > 0;

    if (good && algorithm_is_pss(algorithm))
        good = use_pss(ctx);
    good = good &&
           EVP_DigestVerify(md, signature, len, (const unsigned char *)text.ptr, text.len) == 1;
    EVP_MD_CTX_free(md);
    return good;
}

bool key_verify(const struct key *key, enum algorithm algorithm, struct skep_str text,
                struct skep_str signature)
{
    size_t n = coordinate_bytes(key->kind);
    int len = 0;

    if (!(key->algorithms >> algorithm & 1))
        return false;
    if (key->kind == KEY_SECRET)
        return verify_hmac(key, algorithm, text, signature);
    if (n == 0)
        return verify_digest(key, algorithm, text, signature.ptr, signature.len);
    if (signature.len != 2 * n)
        return false;
    unsigned char *der = ecdsa_der(signature, n, &len);
    bool good = der && verify_digest(key, algorithm, text, der, (size_t)len);
    OPENSSL_free(der);
    return good;
}
