/* auth_jwt in the harness: where signatures are checked, when keys are fetched, who leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/test.h>

#include "lib_jwt/vectors.h"

#define URL "http://id.test/jwks"

enum { HS = 0, RS = 3, ED = sizeof vectors / sizeof *vectors - 1 };

/* 2023, long before the tokens' exp. */
static const uint64_t now = UINT64_C(1700000000000), end = UINT64_C(4102444800000);

static struct skep_test *with(const char *options)
{
    struct skep_test *t = skep_test_load("auth_jwt", options);
    skep_test_wall_ms(t, now);
    return t;
}

/* Has the keys fetched from a URL instead; the server answers. */
static struct skep_test *fetching(const char *options)
{
    struct skep_test *t = with("secret " VECTOR_SECRET ";");

    skep_test_http(t, URL, 200, VECTOR_JWKS);
    const char *why = skep_test_reload(t, options);
    if (why)
        fail_msg("%s", why);
    return t;
}

static struct skep_test_client *client(struct skep_test *t, unsigned which)
{
    return skep_test_client(t, "bee", "maja", vectors[which].token);
}

static enum skep_verdict enter(struct skep_test *t, unsigned which)
{
    struct skep_test_client *c = client(t, which);
    (void)skep_test_connect(c);
    skep_test_run(t);
    return skep_test_verdict(c);
}

static void hmac_is_checked_at_once_and_all_else_in_a_job(void **state)
{
    struct skep_test *t;

    t = with("secret " VECTOR_SECRET ";");
    skep_test_jobs_wait(t, true);
    assert_int_equal(skep_test_connect(client(t, HS)), SKEP_ALLOW);
    skep_test_free(&t);

    t = fetching("jwks_url " URL "; jwks_refresh 1h;");
    assert_int_equal(enter(t, RS), SKEP_ALLOW);
    skep_test_jobs_wait(t, true);
    struct skep_test_client *c = client(t, RS), *leaves = client(t, ED);
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    assert_int_equal(skep_test_connect(leaves), SKEP_PENDING);
    skep_test_leave(leaves);
    skep_test_run(t);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    skep_test_free(&t);
}

static void a_token_ends(void **state)
{
    struct skep_test *t = with("leeway 5s; secret " VECTOR_SECRET ";");

    skep_test_wall_ms(t, end + 4990);
    assert_int_equal(enter(t, HS), SKEP_ALLOW);
    skep_test_wall_ms(t, end + 5000);
    struct skep_test_client *c = client(t, HS);
    assert_int_equal(skep_test_connect(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_NOT_AUTHORIZED);
    assert_string_equal(skep_test_text(c), "token expired");
    skep_test_free(&t);
}

static void what_is_no_token_is_not_ours(void **state)
{
    struct skep_test *t = with("secret " VECTOR_SECRET ";");
    struct skep_test_client *c = skep_test_client(t, "bee", "maja", "hunter2");

    assert_int_equal(skep_test_connect(c), SKEP_NEXT);
    assert_float_equal(skep_test_metric(t, "tokens_total", "result=\"malformed\""), 0, 0);
    c = skep_test_client(t, "bee", "maja", VECTOR_NONE);
    assert_int_equal(skep_test_connect(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_BAD_CREDENTIALS);
    assert_float_equal(skep_test_metric(t, "tokens_total", "result=\"malformed\""), 1, 0);
    skep_test_free(&t);
}

static void claims_are_known_of_the_client(void **state)
{
    struct skep_test *t =
        with("username_claim sub; attribute who from sub; secret " VECTOR_SECRET ";");
    struct skep_test_client *c = client(t, HS);

    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    const struct skep_client *who = skep_test_identity(c);
    assert_true(skep_str_eq(skep_client_username(who), SKEP_STR("bee")));
    assert_true(skep_str_eq(skep_client_attribute(who, "who"), SKEP_STR("bee")));
    assert_true(skep_str_eq(skep_client_attribute(who, "jwt_sub"), SKEP_STR("bee")));
    skep_test_free(&t);
}

static void a_requirement_binds_the_client(void **state)
{
    struct skep_test *t = with("require sub %c; secret " VECTOR_SECRET ";");

    assert_int_equal(enter(t, HS), SKEP_ALLOW); /* sub is "bee" */
    struct skep_test_client *c = skep_test_client(t, "wasp", "bee", vectors[HS].token);
    assert_int_equal(skep_test_connect(c), SKEP_DENY);
    skep_test_free(&t);
}

static void enhanced_authentication(void **state)
{
    struct skep_test *t = with("secret " VECTOR_SECRET ";");
    struct skep_test_client *c = skep_test_client(t, "bee", NULL, NULL);

    assert_int_equal(skep_test_auth(c, "JWT", skep_str(vectors[HS].token)), SKEP_ALLOW);
    c = skep_test_client(t, "bee", NULL, NULL);
    assert_int_equal(skep_test_auth(c, "SCRAM-SHA-256", skep_str(vectors[HS].token)), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_BAD_AUTH_METHOD);
    skep_test_free(&t);
}

/* -- Keys behind a URL -- */

#define ANOTHER                                                                                    \
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"x\","                               \
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"

static void clients_wait_for_a_key_that_is_unknown(void **state)
{
    struct skep_test *t = fetching("jwks_url " URL "; jwks_refresh 10s; jwks_pause 1h;");

    skep_test_http(t, URL, 200, ANOTHER);
    skep_test_pass_ms(t, 11000);
    skep_test_http(t, URL, 200, VECTOR_JWKS);
    skep_test_http_delay(t, URL, 500);
    struct skep_test_client *c = client(t, RS), *leaves = client(t, RS);
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    assert_int_equal(skep_test_connect(leaves), SKEP_PENDING);
    skep_test_leave(leaves);
    skep_test_pass_ms(t, 1000);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    skep_test_free(&t);
}

static void a_server_that_is_down_takes_nothing_away(void **state)
{
    struct skep_test *t = fetching("jwks_url " URL "; jwks_pause 1h; jwks_refresh 1h;");
    size_t before = skep_test_http_count(t);

    skep_test_http(t, URL, 0, "connection refused");
    skep_test_pass_ms(t, 3600 * 1000 + 100);
    assert_int_equal(skep_test_http_count(t), before + 1);
    assert_int_equal(enter(t, RS), SKEP_ALLOW);
    skep_test_pass_ms(t, 5000);
    assert_int_equal(skep_test_http_count(t), before + 2); /* again after 5 s, then after 10 */
    skep_test_pass_ms(t, 9000);
    assert_int_equal(skep_test_http_count(t), before + 2);
    skep_test_http(t, URL, 200, ANOTHER);
    skep_test_pass_ms(t, 1500);
    assert_int_equal(skep_test_http_count(t), before + 3);
    skep_test_http(t, URL, 0, "connection refused");
    struct skep_test_client *c = client(t, RS);
    (void)skep_test_connect(c);
    skep_test_run(t);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_UNAVAILABLE); /* nobody can tell */
    skep_test_free(&t);
}

static void unknown_keys_are_fetched_now_and_then(void **state)
{
    struct skep_test *t = fetching("jwks_url " URL "; jwks_pause 10s; jwks_refresh 1h;");

    skep_test_http(t, URL, 200, ANOTHER);
    skep_test_command(t, "refresh");
    skep_test_run(t);
    size_t before = skep_test_http_count(t);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(enter(t, RS), SKEP_DENY);
    assert_int_equal(skep_test_http_count(t), before + 1);
    skep_test_http(t, URL, 200, VECTOR_JWKS);
    skep_test_pass_ms(t, 9980);
    assert_int_equal(enter(t, RS), SKEP_DENY);
    skep_test_pass_ms(t, 40);
    assert_int_equal(enter(t, RS), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), before + 2);
    skep_test_free(&t);
}

static void a_reload_fetches_first(void **state)
{
    struct skep_test *t = with("secret " VECTOR_SECRET ";");

    skep_test_http(t, URL, 500, "");
    const char *why = skep_test_reload(t, "jwks_url " URL ";");
    assert_non_null(why);
    assert_int_equal(enter(t, HS), SKEP_ALLOW); /* the old one goes on */
    skep_test_http(t, URL, 200, VECTOR_JWKS);
    assert_null(skep_test_reload(t, "jwks_url " URL ";"));
    assert_int_equal(enter(t, RS), SKEP_ALLOW);
    skep_test_free(&t);
}

static void without_memory(void **state)
{
    for (unsigned n = 1; n < 8; n++) {
        struct skep_test *t = with("secret " VECTOR_SECRET ";");
        struct skep_test_client *c = skep_test_client(t, "bee", "maja", VECTOR_NONE);
        skep_test_fail_allocation(t, n);
        assert_int_equal(skep_test_connect(c), SKEP_DENY);
        skep_test_fail_allocation(t, 0);
        skep_test_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_checked_at_once_and_all_else_in_a_job),
        cmocka_unit_test(a_token_ends),
        cmocka_unit_test(what_is_no_token_is_not_ours),
        cmocka_unit_test(claims_are_known_of_the_client),
        cmocka_unit_test(a_requirement_binds_the_client),
        cmocka_unit_test(enhanced_authentication),
        cmocka_unit_test(clients_wait_for_a_key_that_is_unknown),
        cmocka_unit_test(a_server_that_is_down_takes_nothing_away),
        cmocka_unit_test(unknown_keys_are_fetched_now_and_then),
        cmocka_unit_test(a_reload_fetches_first),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
