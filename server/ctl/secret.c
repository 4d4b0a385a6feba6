#include "ctl/secret.h"

#include <argon2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/rand.h"
#include "ctl/arg.h"

enum {
    SALT_MAX = 64,
    DIGEST_SIZE = 64,
    ARGON2_SALT = 16,
    ARGON2_HASH = 32,
    PBKDF2_SALT = 12,
    SCRAM_SALT = 16,
    SCRAM_KEY = 32
};

static int pbkdf2(struct str password, const uint8_t *salt, size_t salt_len, uint32_t iterations,
                  uint8_t digest[DIGEST_SIZE])
{
    return PKCS5_PBKDF2_HMAC(password.ptr ? password.ptr : "", (int)password.len, salt,
                             (int)salt_len, (int)iterations, EVP_sha512(), DIGEST_SIZE, digest)
               ? 0
               : -1;
}

static int hash_pbkdf2(struct bytes *out, uint32_t iterations, struct str password)
{
    uint8_t salt[PBKDF2_SALT], digest[DIGEST_SIZE];
    char head[24];

    rand_bytes(salt, sizeof salt);
    if (pbkdf2(password, salt, sizeof salt, iterations, digest) < 0)
        return -1;
    bytes_add(out, head, (size_t)snprintf(head, sizeof head, "$7$%u$", iterations));
    bytes_base64(out, salt, sizeof salt);
    bytes_add(out, "$", 1);
    bytes_base64(out, digest, sizeof digest);
    return 0;
}

static int hash_argon2(struct bytes *out, uint32_t passes, struct str password)
{
    uint8_t salt[ARGON2_SALT];
    char text[256];

    rand_bytes(salt, sizeof salt);
    if (argon2id_hash_encoded(passes, SECRET_ARGON2_MEMORY_KIB, 1, password.ptr, password.len, salt,
                              sizeof salt, ARGON2_HASH, text, sizeof text) != ARGON2_OK)
        return -1;
    bytes_add(out, text, strlen(text));
    return 0;
}

/* The stored key and the server key, one behind the other [RFC 5802, 3]. */
static int scram_keys(struct str password, const uint8_t *salt, size_t salt_len,
                      uint32_t iterations, uint8_t keys[2 * SCRAM_KEY])
{
    static const unsigned char client_text[] = "Client Key", server_text[] = "Server Key";
    uint8_t salted[SCRAM_KEY], client[SCRAM_KEY];
    int ok =
        PKCS5_PBKDF2_HMAC(password.ptr ? password.ptr : "", (int)password.len, salt, (int)salt_len,
                          (int)iterations, EVP_sha256(), SCRAM_KEY, salted) &&
        HMAC(EVP_sha256(), salted, SCRAM_KEY, client_text, sizeof client_text - 1, client, NULL) &&
        HMAC(EVP_sha256(), salted, SCRAM_KEY, server_text, sizeof server_text - 1, keys + SCRAM_KEY,
             NULL) &&
        SHA256(client, SCRAM_KEY, keys);

    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return ok ? 0 : -1;
}

static int hash_scram(struct bytes *out, uint32_t iterations, struct str password)
{
    uint8_t salt[SCRAM_SALT], keys[2 * SCRAM_KEY];
    char head[40];

    rand_bytes(salt, sizeof salt);
    if (scram_keys(password, salt, sizeof salt, iterations, keys) < 0)
        return -1;
    bytes_add(out, head, (size_t)snprintf(head, sizeof head, "$scram-sha-256$%u$", iterations));
    bytes_base64(out, salt, sizeof salt);
    bytes_add(out, "$", 1);
    bytes_base64(out, keys, SCRAM_KEY);
    bytes_add(out, "$", 1);
    bytes_base64(out, keys + SCRAM_KEY, SCRAM_KEY);
    return 0;
}

bool secret_fits_scram(struct str password)
{
    for (size_t i = 0; i < password.len; i++) {
        if (password.ptr[i] < 0x20 || password.ptr[i] > 0x7e)
            return false;
    }
    return true;
}

int secret_hash(struct bytes *out, enum secret_kind kind, uint32_t cost, struct str password)
{
    if (kind == SECRET_PBKDF2)
        return hash_pbkdf2(out, cost ? cost : SECRET_PBKDF2_ITERATIONS, password);
    if (kind == SECRET_SCRAM)
        return hash_scram(out, cost ? cost : SECRET_SCRAM_ITERATIONS, password);
    return hash_argon2(out, cost ? cost : SECRET_ARGON2_PASSES, password);
}

/* -- Verifying -- */

/* Takes what stands before the next $ (or all) off the front. */
static struct str take_field(struct str *rest)
{
    const char *end = rest->len ? memchr(rest->ptr, '$', rest->len) : NULL;
    struct str field = *rest;

    if (end)
        field.len = (size_t)(end - rest->ptr);
    rest->ptr += field.len + (end != NULL);
    rest->len -= field.len + (end != NULL);
    return field;
}

static int compare(struct str expected_text, const uint8_t *digest, size_t size)
{
    struct bytes expected = {0};
    int result = -1;

    if (bytes_unbase64(&expected, expected_text) == 0 && expected.len == size)
        result = CRYPTO_memcmp(expected.ptr, digest, size) == 0;
    bytes_fini(&expected);
    return result;
}

/* "iterations$salt$" off the front of a hash. */
static int take_cost(struct str *rest, uint32_t *iterations, struct bytes *salt)
{
    struct str count = take_field(rest), salt_text = take_field(rest);
    char number[12];

    snprintf(number, sizeof number, "%.*s", STR_ARG(count));
    return count.len < sizeof number && arg_number(number, 1, INT32_MAX, iterations) == 0 &&
                   bytes_unbase64(salt, salt_text) == 0 && salt->len > 0 && salt->len <= SALT_MAX
               ? 0
               : -1;
}

/* $7$iterations$salt$hash */
static int verify_pbkdf2(struct str rest, struct str password)
{
    uint8_t digest[DIGEST_SIZE];
    struct bytes salt = {0};
    uint32_t iterations;
    int result = -1;

    if (take_cost(&rest, &iterations, &salt) == 0 &&
        pbkdf2(password, salt.ptr, salt.len, iterations, digest) == 0)
        result = compare(rest, digest, DIGEST_SIZE);
    bytes_fini(&salt);
    return result;
}

/* $6$salt$hash: one round of SHA-512 over password and salt. */
static int verify_sha512(struct str rest, struct str password)
{
    struct str salt_text = take_field(&rest);
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct bytes salt = {0};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int result = -1;

    if (md && bytes_unbase64(&salt, salt_text) == 0 && salt.len > 0 && salt.len <= SALT_MAX &&
        EVP_DigestInit_ex(md, EVP_sha512(), NULL) &&
        EVP_DigestUpdate(md, password.ptr, password.len) &&
        EVP_DigestUpdate(md, salt.ptr, salt.len) && EVP_DigestFinal_ex(md, digest, NULL))
        result = compare(rest, digest, DIGEST_SIZE);
    EVP_MD_CTX_free(md);
    bytes_fini(&salt);
    return result;
}

/* $scram-sha-256$iterations$salt$stored key$server key */
static int verify_scram(struct str rest, struct str password)
{
    uint8_t keys[2 * SCRAM_KEY];
    struct bytes salt = {0};
    uint32_t iterations;
    int stored = -1, server = -1;

    if (take_cost(&rest, &iterations, &salt) == 0 &&
        scram_keys(password, salt.ptr, salt.len, iterations, keys) == 0) {
        stored = compare(take_field(&rest), keys, SCRAM_KEY);
        server = compare(rest, keys + SCRAM_KEY, SCRAM_KEY);
    }
    bytes_fini(&salt);
    return stored < 0 || server < 0 ? -1 : stored & server;
}

static int verify_argon2(struct str hash, struct str password)
{
    char *text = str_dup(hash);
    int err = argon2id_verify(text, password.ptr, password.len);

    free(text);
    return err == ARGON2_OK ? 1 : err == ARGON2_VERIFY_MISMATCH ? 0 : -1;
}

/* -- A user's hashes -- */

bool secret_next(struct str *rest, struct str *hash)
{
    const char *colon = rest->len ? memchr(rest->ptr, ':', rest->len) : NULL;

    *hash = *rest;
    if (colon)
        hash->len = (size_t)(colon - rest->ptr);
    rest->ptr += hash->len + (colon != NULL);
    rest->len -= hash->len + (colon != NULL);
    return hash->len > 0;
}

static const struct str scram_name = {"$scram-sha-256$", 15};

const char *secret_kind_text(struct str hash)
{
    return str_starts(hash, STR("$argon2id$")) ? "argon2id"
           : str_starts(hash, STR("$7$"))      ? "pbkdf2"
           : str_starts(hash, STR("$6$"))      ? "sha512 (old, weak)"
           : str_starts(hash, scram_name)      ? "scram-sha-256"
                                               : "not a hash";
}

int secret_verify(struct str hash, struct str password)
{
    struct str rest = {hash.ptr + 3, hash.len - 3};

    if (str_starts(hash, scram_name))
        return verify_scram((struct str){hash.ptr + scram_name.len, hash.len - scram_name.len},
                            password);

    if (str_starts(hash, STR("$7$")))
        return verify_pbkdf2(rest, password);
    if (str_starts(hash, STR("$6$")))
        return verify_sha512(rest, password);
    if (str_starts(hash, STR("$argon2id$")))
        return verify_argon2(hash, password);
    return -1;
}
