/* Tokens, keys, signatures and claims; the tokens come from another implementation (vectors.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib_jwt/base64url.h"
#include "lib_jwt/claims.h"
#include "lib_jwt/keys.h"
#include "lib_jwt/vectors.h"

enum { VECTORS = sizeof vectors / sizeof *vectors };

static void base64url_has_one_text_for_bytes(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"Zg", "f"},
        {"Zm8", "fo"},
        {"Zm9v", "foo"},
        {"-_-_", "\xfb\xff\xbf"},
        {"Zh", NULL},
        {"Zm9", NULL},
        {"Zg==", NULL},
        {"Z", NULL},
        {"Zm9vZ", NULL},
        {"Zm 9", NULL},
        {"Zm9v\n", NULL},
        {"+/+/", NULL},
        {"Zm\xc3\xa4", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = 0;
        char *got = base64url_decode(skep_str(rows[i].text), &len);
        if ((got == NULL) != (rows[i].want == NULL))
            fail_msg("%s", rows[i].text);
        if (got) {
            assert_int_equal(len, strlen(rows[i].want));
            assert_memory_equal(got, rows[i].want, len);
        }
        free(got);
    }
}

static enum check check_with(struct keys *k, const char *text)
{
    struct token t;
    const char *why = token_parse(&t, skep_str(text));

    if (why)
        fail_msg("%s: %s", text, why);
    enum check result = keys_check(k, &t);
    assert_int_equal(keys_fit(k, &t), result != CHECK_NO_KEY);
    token_fini(&t);
    return result;
}

static struct keys *keys_for(size_t i)
{
    struct keys *k = keys_new();
    const char *why = vectors[i].pem ? keys_add_pem(k, NULL, skep_str(vectors[i].pem), 0)
                                     : keys_add_secret(k, NULL, skep_str(VECTOR_SECRET), 0);
    if (why)
        fail_msg("%s: %s", vectors[i].algorithm, why);
    return k;
}

static void each_algorithm_checks_its_own(void **state)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct keys *k = keys_for(i);
        if (check_with(k, vectors[i].token) != CHECK_GOOD)
            fail_msg("%s", vectors[i].algorithm);
        keys_unref(k);
    }
}

static void all_from_one_set(void **state)
{
    struct keys *k = keys_new();
    unsigned skipped;

    assert_null(keys_add_jwks(k, skep_str(VECTOR_JWKS), 0, false, &skipped));
    assert_int_equal(skipped, 0);
    assert_int_equal(keys_count(k), 5);
    for (size_t i = 0; i < VECTORS; i++)
        assert_int_equal(check_with(k, vectors[i].token),
                         vectors[i].pem ? CHECK_GOOD : CHECK_NO_KEY);
    struct keys *copy = keys_new();
    assert_null(keys_add_all(copy, k));
    keys_unref(k);
    assert_int_equal(check_with(copy, vectors[VECTORS - 1].token), CHECK_GOOD);
    keys_unref(copy);
}

/* Whichever bit of a token is turned, it is not good any more. */
static void a_changed_token_is_bad(void **state)
{
    for (size_t i = 0; i < VECTORS; i++) {
        struct keys *k = keys_for(i);
        char *text = strdup(vectors[i].token);
        size_t len = strlen(text);
        for (size_t at = 0; at < len; at += 5) {
            struct token t;
            char was = text[at];
            text[at] = was == 'A' ? 'B' : 'A';
            if (was != '.' && !token_parse(&t, skep_bytes(text, len)) &&
                keys_check(k, &t) == CHECK_GOOD)
                fail_msg("%s: byte %zu", vectors[i].algorithm, at);
            if (was != '.')
                token_fini(&t);
            text[at] = was;
        }
        free(text);
        keys_unref(k);
    }
}

/* The public key is known to all: it must not do as an HMAC secret. */
static void a_public_key_is_no_secret(void **state)
{
    struct keys *k = keys_new();

    assert_null(keys_add_pem(k, NULL, skep_str(VECTOR_RSA_PEM), 0));
    assert_int_equal(check_with(k, VECTOR_CONFUSED), CHECK_NO_KEY);
    /* the token is what it says: with that text as a secret it would be good */
    struct keys *fooled = keys_new();
    assert_null(keys_add_secret(fooled, NULL, skep_str(VECTOR_RSA_PEM), 0));
    assert_int_equal(check_with(fooled, VECTOR_CONFUSED), CHECK_GOOD);
    keys_unref(fooled);
    keys_unref(k);
}

static void algorithms_can_be_narrowed(void **state)
{
    struct keys *k = keys_new();
    struct token t;

    assert_null(keys_add_pem(k, NULL, skep_str(VECTOR_RSA_PEM), 1u << RS256));
    assert_int_equal(keys_algorithms(k), 1u << RS256);
    for (size_t i = 0; i < VECTORS; i++) {
        bool want = strcmp(vectors[i].algorithm, "RS256") == 0;
        assert_null(token_parse(&t, skep_str(vectors[i].token)));
        assert_int_equal(keys_check(k, &t), want ? CHECK_GOOD : CHECK_NO_KEY);
        token_fini(&t);
    }
    assert_non_null(keys_add_pem(k, NULL, skep_str(VECTOR_P256_PEM), 1u << RS256));
    keys_unref(k);
}

static void a_key_id_chooses_the_key(void **state)
{
    struct keys *k = keys_new();
    const char *token = NULL;

    for (size_t i = 0; i < VECTORS; i++) {
        if (strcmp(vectors[i].algorithm, "RS256") == 0)
            token = vectors[i].token; /* kid "rsa" */
    }
    assert_null(keys_add_pem(k, "old", skep_str(VECTOR_RSA_PEM), 0));
    assert_int_equal(check_with(k, token), CHECK_NO_KEY);
    assert_null(keys_add_pem(k, "rsa", skep_str(VECTOR_OTHER_PEM), 0));
    assert_int_equal(check_with(k, token), CHECK_BAD_SIGNATURE);
    assert_null(keys_add_pem(k, "rsa", skep_str(VECTOR_RSA_PEM), 0));
    assert_int_equal(check_with(k, token), CHECK_GOOD);
    keys_unref(k);
}

static void keys_that_are_no_good(void **state)
{
    struct keys *k = keys_new();
    char many[KEYS_BYTES + 2];

    assert_non_null(keys_add_secret(k, NULL, SKEP_STR("short"), 0));
    assert_non_null(keys_add_secret(k, NULL, skep_bytes(VECTOR_SECRET, 40), 1u << HS512));
    assert_null(keys_add_secret(k, NULL, skep_bytes(VECTOR_SECRET, 40), 0));
    assert_int_equal(keys_algorithms(k), 1u << HS256);
    assert_non_null(keys_add_pem(k, NULL, skep_str(VECTOR_WEAK_PEM), 0));
    assert_non_null(keys_add_pem(k, NULL, SKEP_STR("hello"), 0));
    assert_non_null(keys_add_pem(k, NULL,
                                 SKEP_STR("-----BEGIN PRIVATE KEY-----\nMC4=\n"
                                          "-----END PRIVATE KEY-----\n"),
                                 0));
    memset(many, 'a', sizeof many);
    assert_string_equal(keys_add_pem(k, NULL, skep_bytes(many, sizeof many), 0), "too long");
    assert_int_equal(keys_count(k), 1);
    keys_unref(k);
}

static void sets_that_are_none(void **state)
{
    static const char *const bad[] = {
        "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[}", "{\"keys\":[],\"keys\":[]}", "null"};
    struct keys *k = keys_new();
    unsigned skipped;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_non_null(keys_add_jwks(k, skep_str(bad[i]), 0, true, &skipped));
    keys_unref(k);
}

static unsigned left_out(const char *key, bool secrets)
{
    char text[4096];
    struct keys *k = keys_new();
    unsigned skipped;

    snprintf(text, sizeof text, "{\"keys\":[%s]}", key);
    assert_null(keys_add_jwks(k, skep_str(text), 0, secrets, &skipped));
    assert_int_equal(keys_count(k) + skipped, 1);
    keys_unref(k);
    return skipped;
}

static const char off_curve[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
    "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}";

static void keys_of_a_set_that_are_left_out(void **state)
{
    static const char *const bad[] = {
        "1",
        "{\"kty\":\"XYZ\"}",
        "{\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        off_curve,
        "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
    };
    static const char secret[] =
        "{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}";

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(left_out(bad[i], true), 1);
    assert_int_equal(left_out(VECTOR_WEAK_JWK, true), 1);
    assert_int_equal(left_out(secret, true), 0);
    assert_int_equal(left_out(secret, false), 1); /* what a URL serves is no secret */
}

static void a_set_says_what_keys_are_for(void **state)
{
    char *text = strdup(VECTOR_JWKS), changed[4096];
    char *key = strstr(text, "Ed25519");
    static const struct {
        const char *more;
        unsigned skipped;
    } rows[] = {
        {"\"use\":\"sig\"", 0},           {"\"use\":\"enc\"", 1},   {"\"key_ops\":[\"verify\"]", 0},
        {"\"key_ops\":[\"encrypt\"]", 1}, {"\"alg\":\"EdDSA\"", 0}, {"\"alg\":\"RS256\"", 1},
        {"\"alg\":\"none\"", 1},          {"\"alg\":5", 1},
    };

    assert_non_null(key);
    while (*key != '{')
        key--;
    *strchr(key, '}') = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(changed, sizeof changed, "%s,%s}", key, rows[i].more);
        assert_int_equal(left_out(changed, false), rows[i].skipped);
    }
    free(text);
}

static void a_set_has_a_limit(void **state)
{
    for (unsigned more = 0; more < 2; more++) {
        struct keys *k = keys_new();
        cJSON *set = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(set, "keys");
        unsigned skipped;
        for (unsigned i = 0; i < KEYS_MAX + more; i++) {
            cJSON *key = cJSON_CreateObject();
            cJSON_AddStringToObject(key, "kty", "oct");
            cJSON_AddStringToObject(key, "k", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
            cJSON_AddItemToArray(list, key);
        }
        char *text = cJSON_PrintUnformatted(set);
        assert_int_equal(keys_add_jwks(k, skep_str(text), 0, true, &skipped) != NULL, more);
        cJSON_free(text);
        cJSON_Delete(set);
        keys_unref(k);
    }
}

/* -- Tokens as text -- */

/* base64url, as the broker's peers do it. */
static void encode(char *out, const char *text)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned have = 0;

    for (; *text; text++) {
        bits = bits << 8 | (unsigned char)*text;
        for (have += 8; have >= 6; have -= 6)
            *out++ = set[bits >> (have - 6) & 63];
    }
    if (have)
        *out++ = set[bits << (6 - have) & 63];
    *out = '\0';
}

static const char *parse(const char *header, const char *claims)
{
    char text[4096];
    struct token t;

    encode(text, header);
    strcat(text, ".");
    encode(text + strlen(text), claims);
    strcat(text, ".AAAA");
    const char *why = token_parse(&t, skep_str(text));
    token_fini(&t);
    return why;
}

static void headers_that_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":[\"HS256\"]}",
        "{\"alg\":\"HS256\",\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"HS256\",\"crit\":[]}",
        "{\"alg\":\"HS256\",\"kid\":5}",
        "{\"alg\":\"HS256\\u0000\"}",
    };

    assert_null(parse("{\"alg\":\"HS256\",\"typ\":\"JWT\",\"jku\":\"http://evil.test\"}", "{}"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!parse(bad[i], "{}"))
            fail_msg("%s was taken", bad[i]);
    }
    struct token t;
    assert_string_equal(token_parse(&t, skep_str(VECTOR_NONE)),
                        "an algorithm that is not accepted");
    token_fini(&t);
}

static void claims_that_are_refused(void **state)
{
    assert_non_null(parse("{\"alg\":\"HS256\"}", "{\"sub\":\"a\",\"sub\":\"b\"}"));
    assert_non_null(parse("{\"alg\":\"HS256\"}", "[]"));
    assert_non_null(parse("{\"alg\":\"HS256\"}", "{\"sub\":\"a\\u0000b\"}"));
    assert_non_null(parse("{\"alg\":\"HS256\"}", "{\"sub\":\"\xff\"}"));
    assert_non_null(parse("{\"alg\":\"HS256\"}", "eyJhbGciOiJub25lIn0"));
}

static void shapes_that_are_refused(void **state)
{
    static const char *const bad[] = {"",           ".", "..", "a.b", "e30.e30", "e30.e30.AA.AA",
                                      "e30=.e30.AA"};
    char big[TOKEN_MAX + 2];
    struct token t;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_non_null(token_parse(&t, skep_str(bad[i])));
        token_fini(&t);
    }
    memset(big, 'A', sizeof big);
    assert_string_equal(token_parse(&t, skep_bytes(big, sizeof big)), "too long");
    token_fini(&t);
    assert_true(token_is_likely(skep_str(vectors[0].token)));
    assert_true(token_is_likely(SKEP_STR("eyJ.x.")));
    assert_false(token_is_likely(SKEP_STR("secret")));
    assert_false(token_is_likely(SKEP_STR("eyJ.a")));
    assert_false(token_is_likely(SKEP_STR("eyJ.a.b.c")));
    assert_false(token_is_likely(SKEP_STR("eyJ.a.b!")));
}

/* -- Claims -- */

static const char *claim_trouble(const char *text, struct claims_rules rules)
{
    const char *why;
    cJSON *claims = json_parse(skep_str(text), &why);

    assert_non_null(claims);
    why = claims_check(claims, &rules, 1000.5);
    cJSON_Delete(claims);
    return why;
}

static void times(void **state)
{
    static const struct {
        const char *claims;
        bool good;
    } rows[] = {
        {"{\"exp\":1001}", true},
        {"{\"exp\":990.6}", true}, /* within the leeway of 10 */
        {"{\"exp\":990.5}", false},
        {"{\"exp\":1001,\"nbf\":1010.5}", true},
        {"{\"exp\":1001,\"nbf\":1010.6}", false},
        {"{\"exp\":1001,\"iat\":1010.5}", true},
        {"{\"exp\":1001,\"iat\":1011}", false},
        {"{}", false},
        {"{\"exp\":\"1001\"}", false},
        {"{\"exp\":null}", false},
        {"{\"exp\":1e300}", false},
        {"{\"exp\":-1}", false},
        {"{\"exp\":1001,\"nbf\":\"1\"}", false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *why = claim_trouble(rows[i].claims,
                                        (struct claims_rules){.leeway_s = 10, .require_exp = true});
        if ((why == NULL) != rows[i].good)
            fail_msg("%s: %s", rows[i].claims, why ? why : "taken");
    }
    assert_null(claim_trouble("{}", (struct claims_rules){0}));
    assert_null(claim_trouble("{\"exp\":1060}", (struct claims_rules){.longest_s = 60}));
    assert_non_null(claim_trouble("{\"exp\":1061}", (struct claims_rules){.longest_s = 60}));
    assert_non_null(claim_trouble("{}", (struct claims_rules){.longest_s = 60}));
}

static void issuer_and_audience(void **state)
{
    static const char *const us[] = {"skep", "hive"}, *const any[] = {"*"};
    const struct claims_rules strict = {
        .issuers = us, .issuer_count = 2, .audiences = us, .audience_count = 2};

    assert_null(claim_trouble("{\"iss\":\"hive\",\"aud\":\"skep\"}", strict));
    assert_null(claim_trouble("{\"iss\":\"hive\",\"aud\":[\"x\",\"skep\"]}", strict));
    assert_non_null(claim_trouble("{\"iss\":\"hive\",\"aud\":[\"x\"]}", strict));
    assert_non_null(claim_trouble("{\"iss\":\"hive\",\"aud\":[]}", strict));
    assert_non_null(claim_trouble("{\"iss\":\"hive\",\"aud\":{}}", strict));
    assert_non_null(claim_trouble("{\"iss\":\"hive\"}", strict));
    assert_non_null(claim_trouble("{\"iss\":\"Hive\",\"aud\":\"skep\"}", strict));
    assert_non_null(claim_trouble("{\"iss\":[\"hive\"],\"aud\":\"skep\"}", strict));
    assert_non_null(claim_trouble("{\"aud\":\"skep\"}", strict));
    /* who does not say who he is, is not meant [RFC 7519 4.1.3] */
    assert_non_null(claim_trouble("{\"aud\":\"skep\"}", (struct claims_rules){0}));
    assert_null(claim_trouble("{\"aud\":\"skep\"}",
                              (struct claims_rules){.audiences = any, .audience_count = 1}));
}

static void claims_as_text(void **state)
{
    static const struct {
        const char *path, *want;
    } rows[] = {{"s", "x"},      {"n", "5"},  {"b", "true"}, {"l", "[\"a\",\"b\"]"},
                {"o.deep", "y"}, {"z", NULL}, {"none", NULL}};
    const char *why;
    cJSON *c = json_parse(SKEP_STR("{\"s\":\"x\",\"n\":5,\"b\":true,\"l\":[\"a\",\"b\"],\"o\":{"
                                   "\"deep\":\"y\"},\"z\":null,\"exp\":12.5}"),
                          &why);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *got = claims_text(c, rows[i].path);
        if (!rows[i].want)
            assert_null(got);
        else
            assert_string_equal(got, rows[i].want);
        free(got);
    }
    assert_true(claims_hold(c, "s", SKEP_STR("x")));
    assert_true(claims_hold(c, "l", SKEP_STR("b")));
    assert_false(claims_hold(c, "l", SKEP_STR("c")));
    assert_false(claims_hold(c, "n", SKEP_STR("5")));
    assert_false(claims_hold(c, "none", SKEP_STR("")));
    assert_false(claims_hold(c, "s", SKEP_STR("x\0")));
    assert_int_equal(claims_expiry_ms(c), 12500);
    cJSON_Delete(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url_has_one_text_for_bytes),
        cmocka_unit_test(each_algorithm_checks_its_own),
        cmocka_unit_test(all_from_one_set),
        cmocka_unit_test(a_changed_token_is_bad),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(algorithms_can_be_narrowed),
        cmocka_unit_test(a_key_id_chooses_the_key),
        cmocka_unit_test(keys_that_are_no_good),
        cmocka_unit_test(sets_that_are_none),
        cmocka_unit_test(keys_of_a_set_that_are_left_out),
        cmocka_unit_test(a_set_says_what_keys_are_for),
        cmocka_unit_test(a_set_has_a_limit),
        cmocka_unit_test(headers_that_are_refused),
        cmocka_unit_test(claims_that_are_refused),
        cmocka_unit_test(shapes_that_are_refused),
        cmocka_unit_test(times),
        cmocka_unit_test(issuer_and_audience),
        cmocka_unit_test(claims_as_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
