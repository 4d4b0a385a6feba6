/* One token, from CONNECT or AUTH to the verdict:
 *
 *     parse ─> claims ─> a key that fits? ─no─> fetch, wait ─┐
 *                              │ yes  <──────────────────────┘
 *                          signature: HMAC here, all others in the job pool ─> grant
 *
 * HMAC costs a few microseconds.  RSA and EC cost 30 to 600: too much for a loop when thousands
 * come at once.  Claims are looked at first, so that a token that is no good anyhow costs nothing.
 */
#include <openssl/crypto.h>
#include <stdlib.h>

#include <skep/loop.h>

#include "auth_jwt/instance.h"

struct attempt {
    struct token token;
    struct keys *keys;
    enum check result;
    size_t len;
    char text[]; /* the token points into it */
};

static void attempt_free(void *data)
{
    struct attempt *x = data;

    if (!x)
        return;
    token_fini(&x->token);
    keys_unref(x->keys);
    OPENSSL_cleanse(x->text, x->len);
    free(x);
}

static enum skep_verdict refuse(struct jwt *j, struct skep_request *r, enum result result,
                                const char *why)
{
    if (!skep_request_is_dry(r))
        skep_counter_add(j->results[result], 1);
    skep_note(r, NULL, 0, why);
    return skep_deny(r, result == BAD_CLAIMS ? SKEP_RC_NOT_AUTHORIZED : SKEP_RC_BAD_CREDENTIALS,
                     why);
}

static enum skep_verdict cannot_tell(struct skep_request *r, const char *why)
{
    skep_note(r, NULL, 0, why);
    return SKEP_ERROR;
}

static enum skep_verdict conclude(struct jwt *j, struct skep_request *r, const struct attempt *x)
{
    bool error = false;

    if (x->result != CHECK_GOOD)
        return refuse(j, r, BAD_SIGNATURE, "token with a bad signature");
    const char *why = grant(j, r, x->token.claims, &error);
    if (why && error)
        return cannot_tell(r, why);
    if (why)
        return refuse(j, r, BAD_CLAIMS, why);
    if (!skep_request_is_dry(r))
        skep_counter_add(j->results[GOOD], 1);
    skep_note(r, NULL, 0, "token is good");
    return skep_allow(r);
}

/* In the job pool. */
static void check_signature(void *data)
{
    struct attempt *x = data;
    x->result = keys_check(x->keys, &x->token);
}

static enum skep_verdict on_checked(struct skep_request *r, void *self)
{
    struct attempt *x = *skep_request_data(r); /* the job frees it behind this */

    *skep_request_data(r) = NULL;
    return conclude(self, r, x);
}

/* x->keys has a key that fits.  Takes x. */
static enum skep_verdict check(struct jwt *j, struct skep_request *r, struct attempt *x)
{
    enum skep_verdict verdict;

    if (algorithms_of(KEY_SECRET) >> x->token.algorithm & 1) {
        check_signature(x);
        verdict = conclude(j, r, x);
        attempt_free(x);
        return verdict;
    }
    *skep_request_data(r) = x;
    return skep_wait_job(r, check_signature, x, attempt_free, on_checked);
}

/* There are newer keys, or there are none. */
static enum skep_verdict on_keys(struct skep_request *r, void *self)
{
    struct jwt *j = self;
    struct attempt *x = *skep_request_data(r);

    *skep_request_data(r) = NULL;
    keys_unref(x->keys);
    x->keys = jwt_keys(j);
    if (keys_fit(x->keys, &x->token))
        return check(j, r, x);
    attempt_free(x);
    if (fetch_has_failed(j))
        return cannot_tell(r, "keys could not be fetched");
    return refuse(j, r, UNKNOWN_KEY, "token with an unknown key");
}

/* Takes x. */
static enum skep_verdict wait_for_keys(struct jwt *j, struct skep_request *r, struct attempt *x)
{
    uint64_t token;

    if (!j->conf->jwks_url || fetch_is_too_soon(j)) {
        attempt_free(x);
        if (j->conf->jwks_url && fetch_has_failed(j))
            return cannot_tell(r, "keys could not be fetched");
        return refuse(j, r, UNKNOWN_KEY, "token with an unknown key");
    }
    *skep_request_data(r) = x;
    enum skep_verdict verdict = skep_wait_token(r, &token, attempt_free, on_keys);
    if (token && fetch_for(j, token, x) != FETCH_WAIT)
        skep_complete(token, x); /* as things are, then */
    return verdict;
}

enum skep_verdict attempt(struct jwt *j, struct skep_request *r, struct skep_str text)
{
    struct attempt *x;
    const char *why;

    if (text.len > TOKEN_MAX)
        return refuse(j, r, MALFORMED, "token too long");
    if (!(x = calloc(1, sizeof *x + text.len + 1)))
        return SKEP_ERROR;
    x->len = text.len;
    memcpy(x->text, text.ptr, text.len);
    if ((why = token_parse(&x->token, skep_bytes(x->text, x->len)))) {
        attempt_free(x);
        skep_log(j->module, SKEP_LOG_DEBUG, "token: %s", why);
        return refuse(j, r, MALFORMED, "token malformed");
    }
    if ((why = claims_check(x->token.claims, &j->rules, (double)skep_wall_ms() / 1000))) {
        attempt_free(x);
        return refuse(j, r, BAD_CLAIMS, why);
    }
    x->keys = jwt_keys(j);
    return keys_fit(x->keys, &x->token) ? check(j, r, x) : wait_for_keys(j, r, x);
}
