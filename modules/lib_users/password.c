#include "password.h"

#include <argon2.h>
#include <limits.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base64.h"
#include "scram_keys.h"

const char *password_kind_text(enum password_kind kind)
{
    static const char *const text[] = {
        [PASSWORD_ARGON2ID] = "argon2id",
        [PASSWORD_PBKDF2] = "pbkdf2",
        [PASSWORD_SHA512] = "sha512",
        [PASSWORD_SCRAM] = "scram-sha-256",
    };

    return text[kind];
}

/* -- Reading -- */

struct reader {
    struct skep_str rest, field;
};

/* The next field, up to $ or the end. */
static struct skep_str take(struct reader *r)
{
    const char *end = r->rest.len ? memchr(r->rest.ptr, '$', r->rest.len) : NULL;

    r->field = r->rest;
    if (end)
        r->field.len = (size_t)(end - r->rest.ptr);
    r->rest.ptr += r->field.len + (end != NULL);
    r->rest.len -= r->field.len + (end != NULL);
    return r->field;
}

static bool number(struct skep_str s, uint32_t *out)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 10 || (s.len > 1 && s.ptr[0] == '0'))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    *out = (uint32_t)n;
    return n <= UINT32_MAX;
}

/* "m=19456" of "m=19456,t=2,p=1". */
static bool parameter(struct skep_str *list, char name, uint32_t *out)
{
    const char *comma = list->len ? memchr(list->ptr, ',', list->len) : NULL;
    size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
    struct skep_str one = skep_bytes(list->ptr, len);

    list->ptr += len + (comma != NULL);
    list->len -= len + (comma != NULL);
    return one.len > 2 && one.ptr[0] == name && one.ptr[1] == '=' &&
           number(skep_bytes(one.ptr + 2, one.len - 2), out);
}

static const char *salt_parse(struct password_hash *h, struct reader *r, enum base64_form form)
{
    int n = base64_decode(h->salt, sizeof h->salt, take(r), form);

    if (n <= 0)
        return "the salt is not base64 of 1 to 64 bytes";
    h->salt_len = (uint8_t)n;
    return NULL;
}

static const char *argon2_parse(struct password_hash *h, struct reader *r)
{
    const char *wrong;
    struct skep_str list;
    int n;

    if (!skep_str_eq(take(r), SKEP_STR("v=19")))
        return "only version 19 (0x13) of argon2 is known: v=19";
    list = take(r);
    if (!parameter(&list, 'm', &h->memory_kib) || !parameter(&list, 't', &h->cost) ||
        !parameter(&list, 'p', &h->lanes) || list.len)
        return "the parameters are not m=KIB,t=PASSES,p=LANES";
    if (h->lanes < 1 || h->lanes > ARGON2_LANES_MAX)
        return "p= is not 1 to 16";
    if (h->memory_kib < 8 * h->lanes || h->memory_kib > ARGON2_MEMORY_MAX_KIB)
        return "m= is below 8 for each lane, or above 262144 (256 MiB)";
    if (h->cost < 1 || (uint64_t)h->cost * h->memory_kib > ARGON2_WORK_MAX_KIB)
        return "t= is 0, or memory times passes is above 1048576 (1 GiB)";
    if ((wrong = salt_parse(h, r, BASE64_BARE)) != NULL)
        return wrong;
    if (h->salt_len < 8)
        return "the salt has less than 8 bytes";
    n = base64_decode(h->digest, sizeof h->digest, take(r), BASE64_BARE);
    if (n < 16)
        return "the digest is not base64 of 16 to 64 bytes";
    h->digest_len = (uint8_t)n;
    return NULL;
}

static const char *digest_parse(struct password_hash *h, struct reader *r, size_t at, int size,
                                const char *wrong)
{
    int n = base64_decode(h->digest + at, sizeof h->digest - at, take(r), BASE64_PADDED);

    h->digest_len = (uint8_t)(at + (size_t)(n > 0 ? n : 0));
    return n == size ? NULL : wrong;
}

static const char *pbkdf2_parse(struct password_hash *h, struct reader *r)
{
    const char *wrong;

    if (!number(take(r), &h->cost) || h->cost < 1 || h->cost > PBKDF2_ITERATIONS_MAX)
        return "the iterations are not a number from 1 to 10000000";
    wrong = salt_parse(h, r, BASE64_PADDED);
    return wrong ? wrong : digest_parse(h, r, 0, 64, "the digest is not base64 of 64 bytes");
}

static const char *sha512_parse(struct password_hash *h, struct reader *r)
{
    const char *wrong = salt_parse(h, r, BASE64_PADDED);

    return wrong ? wrong : digest_parse(h, r, 0, 64, "the digest is not base64 of 64 bytes");
}

static const char *scram_parse(struct password_hash *h, struct reader *r)
{
    const char *wrong;

    if (!number(take(r), &h->cost) || h->cost < SCRAM_ITERATIONS_MIN ||
        h->cost > SCRAM_ITERATIONS_MAX)
        return "the iterations are not a number from 4096 to 10000000";
    if ((wrong = salt_parse(h, r, BASE64_PADDED)) != NULL)
        return wrong;
    wrong = digest_parse(h, r, 0, SCRAM_KEY, "the stored key is not base64 of 32 bytes");
    return wrong ? wrong
                 : digest_parse(h, r, SCRAM_KEY, SCRAM_KEY,
                                "the server key is not base64 of 32 bytes");
}

const char *password_parse(struct password_hash *out, struct skep_str text, size_t *at)
{
    static const struct {
        const char *name;
        enum password_kind kind;
        const char *(*parse)(struct password_hash *h, struct reader *r);
    } kinds[] = {
        {"argon2id", PASSWORD_ARGON2ID, argon2_parse},
        {"7", PASSWORD_PBKDF2, pbkdf2_parse},
        {"6", PASSWORD_SHA512, sha512_parse},
        {"scram-sha-256", PASSWORD_SCRAM, scram_parse},
    };
    struct reader r = {.rest = text};
    const char *wrong = "this is no password hash";
    struct skep_str name;

    *out = (struct password_hash){0};
    *at = 0;
    if (text.len > PASSWORD_TEXT_MAX)
        return "a hash of more than 512 characters";
    if (take(&r).len != 0 || text.len == 0)
        return wrong;
    name = take(&r);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!skep_str_eq(name, skep_str(kinds[i].name)))
            continue;
        out->kind = kinds[i].kind;
        wrong = kinds[i].parse(out, &r);
        if (!wrong && r.rest.len) {
            take(&r);
            wrong = "something follows behind the hash";
        }
        *at = wrong ? (size_t)(r.field.ptr - text.ptr) : 0;
        break;
    }
    return wrong;
}

/* -- Checking -- */

static int argon2_digest(const struct password_hash *h, struct skep_str password,
                         unsigned char *digest)
{
    return argon2id_hash_raw(h->cost, h->memory_kib, h->lanes, password.ptr, password.len, h->salt,
                             h->salt_len, digest, h->digest_len) == ARGON2_OK;
}

static int pbkdf2_digest(const struct password_hash *h, struct skep_str password,
                         unsigned char *digest)
{
    return PKCS5_PBKDF2_HMAC(password.len ? password.ptr : "", (int)password.len, h->salt,
                             h->salt_len, (int)h->cost, EVP_sha512(), h->digest_len, digest);
}

static int sha512_digest(const struct password_hash *h, struct skep_str password,
                         unsigned char *digest)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok = md && EVP_DigestInit_ex(md, EVP_sha512(), NULL) &&
             EVP_DigestUpdate(md, password.ptr, password.len) &&
             EVP_DigestUpdate(md, h->salt, h->salt_len) && EVP_DigestFinal_ex(md, digest, NULL);

    EVP_MD_CTX_free(md);
    return ok;
}

static int scram_digest(const struct password_hash *h, struct skep_str password,
                        unsigned char *digest)
{
    return scram_keys(password, h->salt, h->salt_len, h->cost, digest, digest + SCRAM_KEY) == 0;
}

/* HMAC fills short keys up with NUL: "secret" and "secret\0" are one password to PBKDF2.  Nobody's
 * password ends like that. */
static bool is_padded(const struct password_hash *h, struct skep_str password)
{
    return (h->kind == PASSWORD_PBKDF2 || h->kind == PASSWORD_SCRAM) && password.len &&
           password.ptr[password.len - 1] == '\0';
}

int password_check(const struct password_hash *h, struct skep_str password)
{
    static int (*const digests[])(const struct password_hash *, struct skep_str,
                                  unsigned char *) = {
        [PASSWORD_ARGON2ID] = argon2_digest,
        [PASSWORD_PBKDF2] = pbkdf2_digest,
        [PASSWORD_SHA512] = sha512_digest,
        [PASSWORD_SCRAM] = scram_digest,
    };
    unsigned char digest[PASSWORD_DIGEST_MAX] = {0};
    int ok = password.len <= INT_MAX && digests[h->kind](h, password, digest);
    int same = !is_padded(h, password) && CRYPTO_memcmp(digest, h->digest, h->digest_len) == 0;

    OPENSSL_cleanse(digest, sizeof digest);
    return ok ? same : -1;
}
