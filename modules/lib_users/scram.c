#include "scram.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "base64.h"
#include "lib_file/utf8.h"
#include "scram_keys.h"

static const char encoding[] = "invalid-encoding", other[] = "other-error";

struct scram {
    char *first; /* the client's first message, whole */
    struct skep_str gs2, bare, nonce;
    struct skep_str user, authzid; /* decoded, in `names` */
    char *names;
    char *challenge;
    size_t challenge_len;
    size_t full_nonce; /* length; it begins behind "r=" of the challenge */
    struct password_hash verifier;
    bool known;
    char answer[2 + BASE64_LEN(32) + 1];
};

/* -- Attributes -- */

/* What stands before the next comma, which is taken off, too; false at the end. */
static bool next_field(struct skep_str *rest, struct skep_str *field)
{
    const char *comma;

    if (!rest->ptr)
        return false;
    comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
    *field = *rest;
    if (comma) {
        field->len = (size_t)(comma - rest->ptr);
        *rest = skep_bytes(comma + 1, rest->len - field->len - 1);
    } else {
        *rest = skep_bytes(NULL, 0);
    }
    return true;
}

/* The next field, if it is NAME=VALUE with that name. */
static bool take(struct skep_str *rest, char name, struct skep_str *value)
{
    struct skep_str field;

    if (!next_field(rest, &field) || field.len < 2 || field.ptr[0] != name || field.ptr[1] != '=')
        return false;
    *value = skep_bytes(field.ptr + 2, field.len - 2);
    return true;
}

static bool is_attribute(struct skep_str field)
{
    char c = field.len ? (char)(field.ptr[0] | 0x20) : 0;

    return field.len >= 2 && c >= 'a' && c <= 'z' && field.ptr[1] == '=';
}

static bool nonce_is_good(struct skep_str nonce)
{
    for (size_t i = 0; i < nonce.len; i++) {
        if (nonce.ptr[i] <= 0x20 || nonce.ptr[i] >= 0x7f)
            return false;
    }
    return nonce.len > 0 && nonce.len <= SCRAM_NONCE_MAX;
}

/* A saslname: =2C and =3D stand for a comma and an equals sign.  Decodes to `to`. */
static bool name_decode(struct skep_str name, char *to, struct skep_str *out)
{
    size_t n = 0;

    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (c < 0x20 || c == 0x7f)
            return false;
        if (c == '=') {
            if (name.len - i < 3 || name.ptr[i + 1] != (name.ptr[i + 2] == 'C' ? '2' : '3') ||
                (name.ptr[i + 2] != 'C' && name.ptr[i + 2] != 'D'))
                return false;
            c = name.ptr[i + 2] == 'C' ? ',' : '=';
            i += 2;
        }
        to[n++] = (char)c;
    }
    *out = skep_bytes(to, n);
    return n > 0 && text_is_utf8(*out);
}

/* -- client-first -- */

/* gs2-header: "n,,", "y,,", "n,a=name,". */
static const char *header_parse(struct scram *s, struct skep_str *rest)
{
    const char *start = rest->ptr;
    struct skep_str flag, authzid;

    if (!next_field(rest, &flag) || flag.len == 0)
        return encoding;
    if (flag.ptr[0] == 'p')
        return "channel-binding-not-supported";
    if (flag.len != 1 || (flag.ptr[0] != 'n' && flag.ptr[0] != 'y'))
        return encoding;
    if (!next_field(rest, &authzid) || !rest->ptr)
        return encoding;
    if (authzid.len &&
        (authzid.len < 3 || memcmp(authzid.ptr, "a=", 2) != 0 ||
         !name_decode(skep_bytes(authzid.ptr + 2, authzid.len - 2), s->names, &s->authzid)))
        return encoding;
    s->gs2 = skep_bytes(start, (size_t)(rest->ptr - start));
    return NULL;
}

static const char *bare_parse(struct scram *s, struct skep_str rest)
{
    struct skep_str user, field;

    s->bare = rest;
    if (rest.len >= 2 && memcmp(rest.ptr, "m=", 2) == 0)
        return "extensions-not-supported";
    if (!take(&rest, 'n', &user) || !take(&rest, 'r', &s->nonce))
        return encoding;
    if (!name_decode(user, s->names + s->authzid.len, &s->user))
        return "invalid-username-encoding";
    while (next_field(&rest, &field)) {
        if (!is_attribute(field))
            return encoding;
    }
    return nonce_is_good(s->nonce) ? NULL : encoding;
}

const char *scram_first(struct scram **out, struct skep_str message)
{
    struct scram *s;
    struct skep_str rest;
    const char *wrong;

    *out = NULL;
    if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX)
        return encoding;
    s = calloc(1, sizeof *s);
    if (!s || !(s->first = malloc(message.len)) || !(s->names = malloc(message.len))) {
        scram_free(&s);
        return "no-resources";
    }
    memcpy(s->first, message.ptr, message.len);
    rest = skep_bytes(s->first, message.len);
    wrong = header_parse(s, &rest);
    if (!wrong)
        wrong = bare_parse(s, rest);
    if (wrong)
        scram_free(&s);
    *out = s;
    return wrong;
}

void scram_free(struct scram **s)
{
    if (*s) {
        free((*s)->first);
        free((*s)->names);
        free((*s)->challenge);
        OPENSSL_cleanse(*s, sizeof **s);
        free(*s);
    }
    *s = NULL;
}

struct skep_str scram_user(const struct scram *s)
{
    return s->user;
}

struct skep_str scram_authzid(const struct scram *s)
{
    return s->authzid;
}

/* -- server-first -- */

struct skep_str scram_challenge(struct scram *s, const struct password_hash *verifier, bool known,
                                const char *nonce)
{
    char salt[BASE64_LEN(PASSWORD_SALT_MAX) + 1];
    int len;

    s->verifier = *verifier;
    s->known = known;
    base64_encode(salt, verifier->salt, verifier->salt_len);
    free(s->challenge);
    len = asprintf(&s->challenge, "r=%.*s%s,s=%s,i=%u", (int)s->nonce.len, s->nonce.ptr, nonce,
                   salt, verifier->cost);
    if (len < 0)
        abort();
    s->challenge_len = (size_t)len;
    s->full_nonce = s->nonce.len + strlen(nonce);
    return skep_bytes(s->challenge, s->challenge_len);
}

void scram_make_up(struct password_hash *out, const unsigned char secret[32], struct skep_str user,
                   uint32_t iterations, size_t salt_len)
{
    unsigned char digest[32], more[32];

    *out = (struct password_hash){.kind = PASSWORD_SCRAM,
                                  .cost = iterations,
                                  .salt_len = (uint8_t)salt_len,
                                  .digest_len = 2 * SCRAM_KEY};
    scram_hmac(digest, secret, 32, user);
    scram_hmac(more, digest, sizeof digest, SKEP_STR("more salt"));
    memcpy(out->salt, digest, 32);
    memcpy(out->salt + 32, more, 32);
    /* No password has these keys; and nobody asks, for it is not known. */
    scram_hmac(out->digest, digest, sizeof digest, SKEP_STR("stored"));
    scram_hmac(out->digest + SCRAM_KEY, digest, sizeof digest, SKEP_STR("server"));
}

/* -- client-final -- */

/* c= is the header of the first message in base64. */
static bool binding_is_right(const struct scram *s, struct skep_str text)
{
    char expected[BASE64_LEN(SCRAM_MESSAGE_MAX) + 1];
    size_t len = base64_encode(expected, s->gs2.ptr, s->gs2.len);

    return skep_str_eq(text, skep_bytes(expected, len));
}

static bool nonce_is_right(const struct scram *s, struct skep_str nonce)
{
    return nonce.len == s->full_nonce && CRYPTO_memcmp(nonce.ptr, s->challenge + 2, nonce.len) == 0;
}

/* client-first-bare, server-first and client-final without its proof. */
static struct skep_str auth_message(const struct scram *s, struct skep_str unproved)
{
    char *text;
    int len = asprintf(&text, "%.*s,%.*s,%.*s", (int)s->bare.len, s->bare.ptr,
                       (int)s->challenge_len, s->challenge, (int)unproved.len, unproved.ptr);

    if (len < 0)
        abort();
    return skep_bytes(text, (size_t)len);
}

/* The proof is the client key under the signature; its hash is the stored key. */
static bool proof_is_right(struct scram *s, struct skep_str auth, const unsigned char proof[32])
{
    unsigned char signature[32], key[32], stored[32];
    int same;

    scram_hmac(signature, s->verifier.digest, SCRAM_KEY, auth);
    for (unsigned i = 0; i < 32; i++)
        key[i] = signature[i] ^ proof[i];
    SHA256(key, sizeof key, stored);
    same = CRYPTO_memcmp(stored, s->verifier.digest, SCRAM_KEY) == 0;
    scram_hmac(signature, s->verifier.digest + SCRAM_KEY, SCRAM_KEY, auth);
    memcpy(s->answer, "v=", 2);
    base64_encode(s->answer + 2, signature, sizeof signature);
    OPENSSL_cleanse(key, sizeof key);
    return same & s->known;
}

static const char *final_fields(const struct scram *s, struct skep_str message,
                                struct skep_str *unproved, struct skep_str *proof)
{
    struct skep_str rest = message, binding, nonce, field;

    if (!take(&rest, 'c', &binding) || !take(&rest, 'r', &nonce))
        return encoding;
    if (!binding_is_right(s, binding))
        return "channel-bindings-dont-match";
    if (!nonce_is_right(s, nonce))
        return other;
    do {
        if (!next_field(&rest, &field) || !is_attribute(field))
            return encoding;
    } while (field.ptr[0] != 'p');
    if (rest.ptr) /* the proof comes last */
        return encoding;
    *proof = skep_bytes(field.ptr + 2, field.len - 2);
    *unproved = skep_bytes(message.ptr, (size_t)(field.ptr - message.ptr) - 1);
    return NULL;
}

const char *scram_final(struct scram *s, struct skep_str message)
{
    struct skep_str unproved, proof, auth;
    unsigned char bytes[32];
    const char *wrong;

    if (message.len == 0 || message.len > SCRAM_MESSAGE_MAX)
        return encoding;
    wrong = final_fields(s, message, &unproved, &proof);
    if (wrong)
        return wrong;
    if (base64_decode(bytes, sizeof bytes, proof, BASE64_PADDED) != 32)
        return encoding;
    auth = auth_message(s, unproved);
    wrong = proof_is_right(s, auth, bytes) ? NULL : "invalid-proof";
    free((char *)auth.ptr);
    return wrong;
}

struct skep_str scram_answer(struct scram *s)
{
    return skep_str(s->answer);
}
