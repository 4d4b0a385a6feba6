/* acl_http in the harness. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/http.h>
#include <skep/test.h>

#define URL   "http://acl.test/"
#define ALLOW "{\"result\":\"allow\"}"

static struct skep_test *with(const char *more)
{
    char options[512];

    snprintf(options, sizeof options, "url " URL "; %s", more);
    struct skep_test *t = skep_test_load("acl_http", options);
    skep_test_http(t, URL, 200, ALLOW);
    return t;
}

static struct skep_test_client *connected(struct skep_test *t, const char *id)
{
    struct skep_test_client *c = skep_test_client(t, id, "maja", "x");
    (void)skep_test_connect(c); /* nobody decides about that here */
    return c;
}

static const char *asked(struct skep_test *t, size_t i)
{
    return skep_test_http_request(t, i)->body.ptr;
}

static void what_is_asked(void **state)
{
    struct skep_test *t = with("field a %A; field t %t; field q %q; field r %r; field c %c;");
    struct skep_test_client *c = connected(t, "bee");

    assert_int_equal(skep_test_publish(c, "a/b", "", 1, true), SKEP_ALLOW);
    assert_non_null(strstr(asked(t, 0),
                           "{\"a\":\"publish\",\"t\":\"a/b\",\"q\":\"1\",\"r\":\"true\","
                           "\"c\":\"bee\"}"));
    assert_int_equal(skep_test_subscribe(c, "a/#", 2), SKEP_ALLOW);
    assert_non_null(strstr(asked(t, 1), "{\"a\":\"subscribe\",\"t\":\"a/#\",\"q\":\"2\""));
    assert_int_equal(skep_test_granted_qos(c), 2);
    skep_test_http(t, URL, 200, "{\"result\":\"allow\",\"qos\":0}");
    assert_int_equal(skep_test_subscribe(c, "b/#", 2), SKEP_ALLOW);
    assert_int_equal(skep_test_granted_qos(c), 0);
    skep_test_free(&t);
}

static void answers_are_remembered_for_a_while(void **state)
{
    struct skep_test *t = with("cache_allow 10s; cache_deny 5s;");
    struct skep_test_client *c = connected(t, "bee"), *d = connected(t, "wasp");

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(skep_test_publish(c, "a", "", 0, false), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 1);
    assert_int_equal(skep_test_publish(d, "a", "", 0, false), SKEP_ALLOW);
    assert_int_equal(skep_test_subscribe(c, "a", 0), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 3);
    skep_test_http(t, URL, 403, "");
    assert_int_equal(skep_test_publish(c, "b", "", 0, false), SKEP_DENY);
    skep_test_http(t, URL, 200, ALLOW);
    skep_test_pass_ms(t, 4990);
    assert_int_equal(skep_test_publish(c, "b", "", 0, false), SKEP_DENY);
    skep_test_pass_ms(t, 20);
    assert_int_equal(skep_test_publish(c, "b", "", 0, false), SKEP_ALLOW);
    skep_test_http(t, URL, 403, "");
    assert_int_equal(skep_test_publish(c, "a", "", 0, false), SKEP_ALLOW);
    skep_test_pass_ms(t, 5000);
    assert_int_equal(skep_test_publish(c, "a", "", 0, false), SKEP_DENY);
    skep_test_free(&t);
}

static void a_failure_denies(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c = connected(t, "bee");

    skep_test_http(t, URL, 0, "connection refused");
    assert_int_equal(skep_test_publish(c, "a", "", 1, false), SKEP_DENY);
    assert_int_equal(skep_test_subscribe(c, "a", 0), SKEP_DENY);
    skep_test_free(&t);
}

static void a_client_that_leaves_while_it_waits(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c = connected(t, "bee");

    skep_test_http_delay(t, URL, 100);
    assert_int_equal(skep_test_publish(c, "a", "", 1, false), SKEP_PENDING);
    skep_test_leave(c);
    skep_test_pass_ms(t, 200);
    skep_test_free(&t);
}

static void receiving_is_not_asked_about(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c = connected(t, "bee");

    (void)skep_test_deliver(c, "a", "", 0, false);
    assert_int_equal(skep_test_http_count(t), 0);
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked),
        cmocka_unit_test(answers_are_remembered_for_a_while),
        cmocka_unit_test(a_failure_denies),
        cmocka_unit_test(a_client_that_leaves_while_it_waits),
        cmocka_unit_test(receiving_is_not_asked_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
