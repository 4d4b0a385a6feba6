#include "lib_jwt/keys.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib_jwt/base64url.h"
#include "lib_jwt/key.h"

struct keys {
    _Atomic unsigned refs;
    size_t count;
    struct key items[KEYS_MAX];
};

struct keys *keys_new(void)
{
    struct keys *k = calloc(1, sizeof *k);
    if (k)
        atomic_init(&k->refs, 1);
    return k;
}

struct keys *keys_ref(struct keys *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

static void key_fini(struct key *key)
{
    EVP_PKEY_free(key->pkey);
    if (key->secret)
        OPENSSL_cleanse(key->secret, key->secret_len);
    free(key->secret);
    free(key->kid);
}

void keys_unref(struct keys *k)
{
    if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < k->count; i++)
        key_fini(&k->items[i]);
    free(k);
}

size_t keys_count(const struct keys *k)
{
    return k->count;
}

unsigned keys_algorithms(const struct keys *k)
{
    unsigned all = 0;
    for (size_t i = 0; i < k->count; i++)
        all |= k->items[i].algorithms;
    return all;
}

bool keys_have_secret(const struct keys *k)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->items[i].kind == KEY_SECRET)
            return true;
    }
    return false;
}

/* Takes what `key` owns, also when it fails. */
static const char *add(struct keys *k, struct key *key, const char *kid)
{
    if (kid && !(key->kid = strdup(kid))) {
        key_fini(key);
        return "no memory";
    }
    if (k->count >= KEYS_MAX) {
        key_fini(key);
        return "more than 64 keys";
    }
    k->items[k->count++] = *key;
    return NULL;
}

const char *keys_add_secret(struct keys *k, const char *kid, struct skep_str secret,
                            unsigned algorithms)
{
    unsigned fit = algorithms_of_secret(secret.len);
    struct key key = {.kind = KEY_SECRET, .secret_len = secret.len};

    if (!fit)
        return "a secret of less than 32 bytes";
    if (algorithms && (algorithms & algorithms_of(KEY_SECRET) & ~fit))
        return "a secret shorter than the algorithm's digest";
    key.algorithms = algorithms ? fit & algorithms : fit;
    if (!key.algorithms)
        return "a secret for algorithms that need none";
    if (!(key.secret = malloc(secret.len)))
        return "no memory";
    memcpy(key.secret, secret.ptr, secret.len);
    return add(k, &key, kid);
}

static int ec_kind(const EVP_PKEY *pkey)
{
    static const struct {
        const char *group;
        enum key_kind kind;
    } groups[] = {{"prime256v1", KEY_P256}, {"secp384r1", KEY_P384}, {"secp521r1", KEY_P521}};
    char name[64];
    size_t len;

    if (EVP_PKEY_get_group_name(pkey, name, sizeof name, &len) != 1)
        return -1;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (strcmp(groups[i].group, name) == 0)
            return (int)groups[i].kind;
    }
    return -1;
}

static const char *kind_of(const EVP_PKEY *pkey, int *kind)
{
    int bits = EVP_PKEY_get_bits(pkey);

    *kind = EVP_PKEY_is_a(pkey, "RSA")       ? KEY_RSA
            : EVP_PKEY_is_a(pkey, "ED25519") ? KEY_ED25519
            : EVP_PKEY_is_a(pkey, "EC")      ? ec_kind(pkey)
                                             : -1;
    if (*kind < 0)
        return "a kind of key that signs no tokens";
    if (*kind == KEY_RSA && (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX))
        return "an RSA key that has not 2048 to 8192 bits";
    return NULL;
}

const char *keys_add_pkey(struct keys *k, const char *kid, EVP_PKEY *pkey, unsigned algorithms)
{
    struct key key = {.pkey = pkey};
    int kind;
    const char *why = kind_of(pkey, &kind);

    if (!why) {
        key.kind = (enum key_kind)kind;
        key.algorithms = algorithms_of(key.kind) & (algorithms ? algorithms : ~0u);
        if (!key.algorithms)
            why = "a key that fits none of the algorithms";
    }
    if (why) {
        EVP_PKEY_free(pkey);
        return why;
    }
    return add(k, &key, kid);
}

/* -- PEM -- */

static EVP_PKEY *pem_key(const char *name, const unsigned char *der, long len)
{
    EVP_PKEY *pkey = NULL;

    if (strcmp(name, "PUBLIC KEY") == 0)
        return d2i_PUBKEY(NULL, &der, len);
    if (strcmp(name, "RSA PUBLIC KEY") == 0)
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, len);
    if (strcmp(name, "CERTIFICATE") == 0) {
        X509 *x = d2i_X509(NULL, &der, len);
        pkey = x ? X509_get_pubkey(x) : NULL;
        X509_free(x);
    }
    return pkey;
}

static const char *add_block(struct keys *k, const char *kid, const char *name,
                             const unsigned char *der, long len, unsigned algorithms)
{
    if (strstr(name, "PRIVATE KEY"))
        return "a private key: name the public one";
    EVP_PKEY *pkey = pem_key(name, der, len);
    return pkey ? keys_add_pkey(k, kid, pkey, algorithms) : "no public key and no certificate";
}

const char *keys_add_pem(struct keys *k, const char *kid, struct skep_str pem, unsigned algorithms)
{
    BIO *in = pem.len <= KEYS_BYTES ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    const char *why = NULL;
    size_t found = 0;
    char *name, *header;
    unsigned char *der;
    long len;

    if (!in)
        return "too long";
    while (!why && PEM_read_bio(in, &name, &header, &der, &len)) {
        why = add_block(k, kid, name, der, len, algorithms);
        found++;
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(der, (size_t)len);
    }
    BIO_free(in);
    ERR_clear_error();
    return why ? why : found ? NULL : "no PEM in it";
}

/* -- JWKS -- */

static bool is_for_signatures(const cJSON *jwk)
{
    const cJSON *use = json_member(jwk, "use"), *ops = json_member(jwk, "key_ops"), *op;

    if (use && (!json_text(use) || strcmp(use->valuestring, "sig") != 0))
        return false;
    if (!ops)
        return true;
    cJSON_ArrayForEach(op, ops)
    {
        if (json_text(op) && strcmp(op->valuestring, "verify") == 0)
            return true;
    }
    return false;
}

/* What the key's own `alg` leaves of them; 0: nothing. */
static unsigned narrowed(const cJSON *jwk, unsigned algorithms)
{
    const cJSON *alg = json_member(jwk, "alg");
    int one = json_text(alg) ? algorithm_of(skep_str(alg->valuestring)) : -1;

    if (!algorithms)
        algorithms = ~0u;
    return !alg ? algorithms : one < 0 ? 0 : algorithms & 1u << one;
}

static const char *add_oct(struct keys *k, const char *kid, const cJSON *jwk, unsigned algorithms)
{
    const char *text = json_text(json_member(jwk, "k"));
    size_t len = 0;
    char *secret = text ? base64url_decode(skep_str(text), &len) : NULL;
    const char *why =
        secret ? keys_add_secret(k, kid, skep_bytes(secret, len),
                                 algorithms == ~0u ? 0 : algorithms & algorithms_of_secret(len))
               : "a key that is none";

    if (secret)
        OPENSSL_cleanse(secret, len);
    free(secret);
    return why;
}

/* NULL, or why it is left out: one key that is no good must not take the others away. */
static const char *add_jwk(struct keys *k, const cJSON *jwk, unsigned algorithms, bool secrets)
{
    const char *kty = json_text(json_member(jwk, "kty")), *why;
    const cJSON *kid = json_member(jwk, "kid");
    EVP_PKEY *pkey;

    if (!cJSON_IsObject(jwk) || (kid && (!json_text(kid) || strlen(kid->valuestring) > TOKEN_KID)))
        return "a key that is none";
    if (!is_for_signatures(jwk) || !(algorithms = narrowed(jwk, algorithms)) || !kty)
        return "not for signatures that are accepted";
    if (strcmp(kty, "oct") == 0)
        return secrets ? add_oct(k, json_text(kid), jwk, algorithms) : "a secret that is public";
    pkey = jwk_public(jwk, &why);
    return pkey ? keys_add_pkey(k, json_text(kid), pkey, algorithms) : why;
}

const char *keys_add_jwks(struct keys *k, struct skep_str json, unsigned algorithms, bool secrets,
                          unsigned *skipped)
{
    const char *why = "too long";
    cJSON *set = json.len <= KEYS_BYTES ? json_parse(json, &why) : NULL;
    const cJSON *list = json_member(set, "keys"), *jwk;

    *skipped = 0;
    if (set && !cJSON_IsArray(list))
        why = "no list of `keys`";
    else if (set)
        why = cJSON_GetArraySize(list) > KEYS_MAX ? "more than 64 keys" : NULL;
    if (!why)
        cJSON_ArrayForEach(jwk, list) *skipped += add_jwk(k, jwk, algorithms, secrets) != NULL;
    cJSON_Delete(set);
    return why;
}

const char *keys_add_all(struct keys *k, const struct keys *from)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct key *key = &from->items[i];
        const char *why;
        if (key->kind == KEY_SECRET) {
            why = keys_add_secret(k, key->kid, skep_bytes(key->secret, key->secret_len),
                                  key->algorithms);
        } else {
            EVP_PKEY_up_ref(key->pkey);
            why = keys_add_pkey(k, key->kid, key->pkey, key->algorithms);
        }
        if (why)
            return why;
    }
    return NULL;
}

/* -- Checking -- */

static bool fits(const struct key *key, const struct token *t)
{
    return (key->algorithms >> t->algorithm & 1) &&
           (!t->kid || !key->kid || strcmp(t->kid, key->kid) == 0);
}

bool keys_fit(const struct keys *k, const struct token *t)
{
    for (size_t i = 0; i < k->count; i++) {
        if (fits(&k->items[i], t))
            return true;
    }
    return false;
}

enum check keys_check(const struct keys *k, const struct token *t)
{
    unsigned tried = 0;

    for (size_t i = 0; i < k->count && tried < KEYS_TRIED; i++) {
        if (!fits(&k->items[i], t))
            continue;
        tried++;
        if (key_verify(&k->items[i], t->algorithm, t->signed_part,
                       skep_bytes(t->signature, t->signature_len))) {
            return CHECK_GOOD;
        }
    }
    ERR_clear_error();
    return tried ? CHECK_BAD_SIGNATURE : CHECK_NO_KEY;
}
