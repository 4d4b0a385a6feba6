#include "ctl/secret.h"

#include <argon2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/rand.h"
#include "ctl/arg.h"

enum { SALT_MAX = 64, DIGEST_SIZE = 64, ARGON2_SALT = 16, ARGON2_HASH = 32, PBKDF2_SALT = 12 };

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

int secret_hash(struct bytes *out, enum secret_kind kind, uint32_t cost, struct str password)
{
    if (kind == SECRET_PBKDF2)
        return hash_pbkdf2(out, cost ? cost : SECRET_PBKDF2_ITERATIONS, password);
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

static int compare(struct str expected_text, const uint8_t *digest)
{
    struct bytes expected = {0};
    int result = -1;

    if (bytes_unbase64(&expected, expected_text) == 0 && expected.len == DIGEST_SIZE)
        result = CRYPTO_memcmp(expected.ptr, digest, DIGEST_SIZE) == 0;
    bytes_fini(&expected);
    return result;
}

/* $7$iterations$salt$hash */
static int verify_pbkdf2(struct str rest, struct str password)
{
    struct str count = take_field(&rest), salt_text = take_field(&rest);
    uint8_t digest[DIGEST_SIZE];
    struct bytes salt = {0};
    char number[12];
    uint32_t iterations;
    int result = -1;

    snprintf(number, sizeof number, "%.*s", STR_ARG(count));
    if (count.len < sizeof number && arg_number(number, 1, INT32_MAX, &iterations) == 0 &&
        bytes_unbase64(&salt, salt_text) == 0 && salt.len > 0 && salt.len <= SALT_MAX &&
        pbkdf2(password, salt.ptr, salt.len, iterations, digest) == 0)
        result = compare(rest, digest);
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
        result = compare(rest, digest);
    EVP_MD_CTX_free(md);
    bytes_fini(&salt);
    return result;
}

static int verify_argon2(struct str hash, struct str password)
{
    char *text = str_dup(hash);
    int err = argon2id_verify(text, password.ptr, password.len);

    free(text);
    return err == ARGON2_OK ? 1 : err == ARGON2_VERIFY_MISMATCH ? 0 : -1;
}

int secret_verify(struct str hash, struct str password)
{
    struct str rest = {hash.ptr + 3, hash.len - 3};

    if (str_starts(hash, STR("$7$")))
        return verify_pbkdf2(rest, password);
    if (str_starts(hash, STR("$6$")))
        return verify_sha512(rest, password);
    if (str_starts(hash, STR("$argon2id$")))
        return verify_argon2(hash, password);
    return -1;
}
