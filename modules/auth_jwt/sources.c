#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth_jwt/instance.h"
#include "lib_jwt/base64url.h"

/* The whole file, malloc'ed; NULL: *why. */
static char *read_file(const char *path, size_t *len, const char **why)
{
    FILE *f = fopen(path, "re");
    char *text = malloc(KEYS_BYTES + 1);

    *why = !f ? strerror(errno) : !text ? "no memory" : NULL;
    if (!*why) {
        *len = fread(text, 1, KEYS_BYTES + 1, f);
        if (ferror(f))
            *why = strerror(errno);
        else if (*len > KEYS_BYTES)
            *why = "too long";
    }
    if (f)
        fclose(f);
    if (*why) {
        free(text);
        text = NULL;
    }
    return text;
}

/* Standard base64 and base64url, padded or not. */
static char *from_base64(struct skep_str text, size_t *len)
{
    char *copy = malloc(text.len + 1), *bytes;
    size_t n = text.len;

    if (!copy)
        return NULL;
    while (n > 0 && text.ptr[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++)
        copy[i] = text.ptr[i] == '+' ? '-' : text.ptr[i] == '/' ? '_' : text.ptr[i];
    bytes = base64url_decode(skep_bytes(copy, n), len);
    OPENSSL_cleanse(copy, n);
    free(copy);
    return bytes;
}

static const char *add_secret(struct keys *k, const char *kid, const struct skep_secret *secret,
                              int encoding, unsigned algorithms)
{
    const char *why;
    size_t len;

    if (encoding == ENCODING_TEXT)
        return keys_add_secret(k, kid, secret->value, algorithms);
    char *bytes = from_base64(secret->value, &len);
    if (!bytes)
        return "a secret that is not base64";
    why = keys_add_secret(k, kid, skep_bytes(bytes, len), algorithms);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return why;
}

static const char *add_file(struct keys *k, const char *kid, const char *path, bool jwks,
                            unsigned algorithms, unsigned *skipped)
{
    const char *why;
    size_t len;
    char *text = read_file(path, &len, &why);

    if (!text)
        return why;
    why = jwks ? keys_add_jwks(k, skep_bytes(text, len), algorithms, true, skipped)
               : keys_add_pem(k, kid, skep_bytes(text, len), algorithms);
    OPENSSL_cleanse(text, len);
    free(text);
    return why;
}

static bool add_one(struct keys *k, const struct jwt_key_conf *c, unsigned algorithms,
                    struct skep_report *report)
{
    const struct skep_place *place = &c->block.place;
    const char *why = NULL;
    unsigned narrow =
        c->algorithms && algorithms ? c->algorithms & algorithms : c->algorithms | algorithms;
    unsigned skipped;

    if (!c->file == !c->secret.value.len)
        why = "a key is either a `file` or a `secret`";
    else if (c->file)
        why = add_file(k, c->block.label, c->file, false, narrow, &skipped);
    else
        why = add_secret(k, c->block.label, &c->secret, c->secret_encoding, narrow);
    if (why)
        skep_report(report, place, NULL, "key %s: %s", c->block.label, why);
    return !why;
}

static bool add_blocks(struct keys *k, const struct jwt_conf *c, struct skep_report *report)
{
    bool good = true;

    for (size_t i = 0; i < c->key.count; i++)
        good = add_one(k, c->key.items[i], c->algorithms, report) && good;
    return good;
}

static bool add_named(struct keys *k, const struct jwt_conf *c, struct skep_report *report)
{
    unsigned skipped = 0;
    const char *why = NULL, *what = "secret";

    if (c->secret.value.len)
        why = add_secret(k, NULL, &c->secret, c->secret_encoding, c->algorithms);
    if (!why && c->public_key) {
        what = c->public_key;
        why = add_file(k, NULL, c->public_key, false, c->algorithms, &skipped);
    }
    if (!why && c->jwks_file) {
        what = c->jwks_file;
        why = add_file(k, NULL, c->jwks_file, true, c->algorithms, &skipped);
    }
    if (why)
        skep_report(report, NULL, NULL, "%s: %s", what, why);
    else if (skipped)
        skep_report_warning(report, NULL, NULL, "%s: %u keys are left out", c->jwks_file, skipped);
    return !why;
}

struct keys *sources_read(const struct jwt_conf *conf, struct skep_report *report)
{
    struct keys *k = keys_new();

    if (!k || !add_named(k, conf, report) || !add_blocks(k, conf, report)) {
        keys_unref(k);
        return NULL;
    }
    if (keys_count(k) == 0 && !conf->jwks_url) {
        skep_report(report, NULL, "name a `secret`, `public_key`, `jwks_file` or `jwks_url`",
                    "no key to check tokens with");
        keys_unref(k);
        return NULL;
    }
    return k;
}
