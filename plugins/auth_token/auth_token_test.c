#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/http.h>
#include <skep/test.h>

#define URL     "http://auth.test/check"
#define OPTIONS "url " URL "; timeout 2s;"

static void a_good_token_comes_in(void **state)
{
    struct skep_test *t = skep_test_load("auth_token", OPTIONS);
    struct skep_test_client *c = skep_test_client(t, "bee", "user", "t0ken");

    (void)state;
    skep_test_http(t, URL, 200, "");
    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 1);
    assert_true(skep_str_eq(skep_test_http_request(t, 0)->bearer, SKEP_STR("t0ken")));
    skep_test_free(&t);
}

static void a_refused_token_is_told_why(void **state)
{
    struct skep_test *t = skep_test_load("auth_token", OPTIONS);
    struct skep_test_client *c = skep_test_client(t, "bee", "user", "wrong");

    (void)state;
    skep_test_http(t, URL, 403, "no");
    assert_int_equal(skep_test_connect(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_BAD_CREDENTIALS);
    assert_string_equal(skep_test_text(c), "token refused");
    skep_test_free(&t);
}

static void a_slow_service_means_unavailable(void **state)
{
    struct skep_test *t = skep_test_load("auth_token", OPTIONS);
    struct skep_test_client *c = skep_test_client(t, "bee", "user", "t0ken");

    (void)state;
    skep_test_http(t, URL, 200, "");
    skep_test_http_delay(t, URL, 5000);
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_pass_ms(t, 1999);
    assert_int_equal(skep_test_verdict(c), SKEP_PENDING);
    skep_test_pass_ms(t, 1);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_UNAVAILABLE);
    skep_test_free(&t);
}

static void a_client_may_leave_while_we_ask(void **state)
{
    struct skep_test *t = skep_test_load("auth_token", OPTIONS);
    struct skep_test_client *c = skep_test_client(t, "bee", "user", "t0ken");

    (void)state;
    skep_test_http(t, URL, 200, "");
    skep_test_http_delay(t, URL, 100);
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_leave(c);
    skep_test_pass_ms(t, 1000);
    assert_false(skep_test_is_connected(c));
    skep_test_free(&t);
}

static void without_a_password_others_decide(void **state)
{
    struct skep_test *t = skep_test_load("auth_token", OPTIONS);

    (void)state;
    assert_int_equal(skep_test_connect(skep_test_client(t, "bee", NULL, NULL)), SKEP_NEXT);
    assert_int_equal(skep_test_http_count(t), 0);
    skep_test_free(&t);
}

static void a_wrong_url_is_refused_at_once(void **state)
{
    const char *complaint = skep_test_load_fails("auth_token", "url ftp://auth.test/;");

    (void)state;
    assert_non_null(strstr(complaint, "url is neither http: nor https:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_comes_in),
        cmocka_unit_test(a_refused_token_is_told_why),
        cmocka_unit_test(a_slow_service_means_unavailable),
        cmocka_unit_test(a_client_may_leave_while_we_ask),
        cmocka_unit_test(without_a_password_others_decide),
        cmocka_unit_test(a_wrong_url_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
