/* auth_http in the harness: what depends on time, on who leaves, and on memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/http.h>
#include <skep/test.h>

#define URL     "http://auth.test/"
#define ALLOW   "{\"result\":\"allow\"}"
#define OPTIONS "url " URL "; field u %u; field p %P; "

static struct skep_test *with(const char *more)
{
    char options[512];

    snprintf(options, sizeof options, "%s%s", OPTIONS, more);
    struct skep_test *t = skep_test_load("auth_http", options);
    skep_test_http(t, URL, 200, ALLOW);
    return t;
}

static enum skep_verdict enter(struct skep_test *t, const char *user)
{
    return skep_test_connect(skep_test_client(t, user, user, "x"));
}

static void an_answer_decides(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c = skep_test_client(t, "bee", "maja", "secret");

    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    const struct skep_http_request *ask = skep_test_http_request(t, 0);
    assert_string_equal(ask->method, "POST");
    assert_true(skep_str_eq(ask->body, SKEP_STR("{\"u\":\"maja\",\"p\":\"secret\"}")));
    skep_test_http(t, URL, 403, "");
    assert_int_equal(enter(t, "maja"), SKEP_DENY);
    skep_test_http(t, URL, 200, "{\"result\":\"ignore\"}");
    assert_int_equal(enter(t, "maja"), SKEP_NEXT);
    assert_float_equal(skep_test_metric(t, "requests_total", "result=\"allow\""), 1, 0);
    assert_float_equal(skep_test_metric(t, "requests_total", "result=\"deny\""), 1, 0);
    skep_test_free(&t);
}

static void what_an_answer_gives(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c = skep_test_client(t, "bee", "maja", "x");

    skep_test_http(t, URL, 200,
                   "{\"result\":\"allow\",\"username\":\"hive\",\"attributes\":{\"room\":\"7\"},"
                   "\"acl\":{\"pub\":[\"a/%u\"]}}");
    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    const struct skep_client *who = skep_test_identity(c);
    assert_true(skep_str_eq(skep_client_username(who), SKEP_STR("hive")));
    assert_true(skep_str_eq(skep_client_attribute(who, "room"), SKEP_STR("7")));
    assert_int_equal(skep_test_publish(c, "a/hive", "", 1, false), SKEP_ALLOW);
    assert_int_equal(skep_test_publish(c, "a/maja", "", 1, false), SKEP_DENY);
    assert_int_equal(skep_test_publish(c, "$b", "", 1, false), SKEP_DENY);
    assert_int_equal(skep_test_subscribe(c, "a/hive", 0), SKEP_DENY);
    skep_test_free(&t);
}

/* An allow is fresh for 10 s, and for 20 more it stands in for a backend that fails. */
static void an_allow_gets_old(void **state)
{
    struct skep_test *t =
        with("cache_allow 10s; stale_if_error 20s; breaker { failures 0; window 0; }");

    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    skep_test_http(t, URL, 0, "connection refused");
    skep_test_pass_ms(t, 9990);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 1);
    skep_test_pass_ms(t, 20000);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 2);
    assert_float_equal(skep_test_metric(t, "questions_total", "how=\"cache_stale\""), 1, 0);
    assert_int_equal(enter(t, "willy"), SKEP_DENY);
    skep_test_pass_ms(t, 20);
    assert_int_equal(enter(t, "maja"), SKEP_DENY);
    skep_test_free(&t);
}

static void an_answer_is_not_remembered_beyond_its_end(void **state)
{
    struct skep_test *t = with("cache_allow 1h; stale_if_error 1h;");

    skep_test_wall_ms(t, UINT64_C(1700000000000));
    skep_test_http(t, URL, 200, "{\"result\":\"allow\",\"expire_at\":1700000005}");
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    skep_test_http(t, URL, 0, "connection refused");
    skep_test_pass_ms(t, 4990);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    skep_test_pass_ms(t, 20);
    assert_int_equal(enter(t, "maja"), SKEP_DENY);
    skep_test_free(&t);
}

static void a_failing_backend_is_left_alone(void **state)
{
    struct skep_test *t = with("breaker { failures 3; window 0; pause 5s; }");

    skep_test_http(t, URL, 503, "");
    for (unsigned i = 0; i < 10; i++) {
        struct skep_test_client *c = skep_test_client(t, "bee", "maja", "x");
        assert_int_equal(skep_test_connect(c), SKEP_DENY);
        assert_int_equal(skep_test_reason(c), SKEP_RC_UNAVAILABLE);
    }
    assert_int_equal(skep_test_http_count(t), 3);
    assert_float_equal(skep_test_metric(t, "breaker_state", NULL), 1, 0);
    skep_test_pass_ms(t, 5000);
    assert_int_equal(enter(t, "maja"), SKEP_DENY); /* the probe */
    assert_int_equal(enter(t, "maja"), SKEP_DENY);
    assert_int_equal(skep_test_http_count(t), 4);
    skep_test_http(t, URL, 200, ALLOW);
    skep_test_pass_ms(t, 9990); /* the pause has doubled */
    assert_int_equal(enter(t, "maja"), SKEP_DENY);
    skep_test_pass_ms(t, 20);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_float_equal(skep_test_metric(t, "breaker_state", NULL), 0, 0);
    skep_test_free(&t);
}

static void one_question_for_all_who_ask_it(void **state)
{
    struct skep_test *t = with("");
    struct skep_test_client *c[5];

    skep_test_http_delay(t, URL, 200);
    for (unsigned i = 0; i < 5; i++) {
        c[i] = skep_test_client(t, "bee", "maja", i == 4 ? "other" : "x");
        assert_int_equal(skep_test_connect(c[i]), SKEP_PENDING);
    }
    skep_test_leave(c[0]);
    skep_test_pass_ms(t, 300);
    for (unsigned i = 1; i < 5; i++)
        assert_int_equal(skep_test_verdict(c[i]), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 2);
    assert_float_equal(skep_test_metric(t, "waiting", NULL), 0, 0);
    skep_test_free(&t);
}

static void who_waits_too_long_is_refused(void **state)
{
    struct skep_test *t = with("decision_timeout 1s; timeout 30s; cache_allow 1h;");
    struct skep_test_client *c = skep_test_client(t, "bee", "maja", "x");

    skep_test_http_delay(t, URL, 5000);
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_pass_ms(t, 1100);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    skep_test_pass_ms(t, 5000);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW); /* the answer was not in vain */
    assert_int_equal(skep_test_http_count(t), 1);
    skep_test_free(&t);
}

/* At each place in the queue: whoever leaves is not asked about any more. */
static void who_leaves_the_queue_is_not_asked_about(void **state)
{
    for (unsigned gone = 0; gone < 4; gone++) {
        struct skep_test *t = with("connections 1; queue 3;");
        static const char *const users[] = {"a", "b", "c", "d"};
        struct skep_test_client *c[4];
        skep_test_http_delay(t, URL, 100);
        for (unsigned i = 0; i < 4; i++) {
            c[i] = skep_test_client(t, users[i], users[i], "x");
            assert_int_equal(skep_test_connect(c[i]), SKEP_PENDING);
        }
        struct skep_test_client *late = skep_test_client(t, "e", "e", "x");
        assert_int_equal(skep_test_connect(late), SKEP_DENY);
        assert_int_equal(skep_test_reason(late), SKEP_RC_BUSY);
        skep_test_leave(c[gone]);
        skep_test_pass_ms(t, 1000);
        for (unsigned i = 0; i < 4; i++)
            assert_true(i == gone || skep_test_verdict(c[i]) == SKEP_ALLOW);
        assert_int_equal(skep_test_http_count(t), gone == 0 ? 4 : 3);
        skep_test_free(&t);
    }
}

/* More than are sent in one turn of the loop, though there are connections for all. */
static void a_crowd_is_asked_about_in_turns(void **state)
{
    struct skep_test *t = with("connections 64; queue 0;");
    struct skep_test_client *c[64];
    char user[8];

    skep_test_http_delay(t, URL, 100);
    for (unsigned i = 0; i < 64; i++) {
        snprintf(user, sizeof user, "u%u", i);
        c[i] = skep_test_client(t, user, user, "x");
        assert_int_equal(skep_test_connect(c[i]), SKEP_PENDING);
    }
    skep_test_pass_ms(t, 99);
    assert_int_equal(skep_test_http_count(t), 64);
    skep_test_pass_ms(t, 500);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(skep_test_verdict(c[i]), SKEP_ALLOW);
    skep_test_free(&t);
}

static void a_queue_behind_a_dead_backend_ends_at_once(void **state)
{
    struct skep_test *t = with("connections 1; breaker { failures 1; pause 1h; }");
    static const char *const users[] = {"a", "b", "c"};
    struct skep_test_client *c[3];

    skep_test_http(t, URL, 503, "");
    skep_test_http_delay(t, URL, 100);
    for (unsigned i = 0; i < 3; i++) {
        c[i] = skep_test_client(t, users[i], users[i], "x");
        assert_int_equal(skep_test_connect(c[i]), SKEP_PENDING);
    }
    skep_test_pass_ms(t, 150);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(skep_test_verdict(c[i]), SKEP_DENY);
    assert_int_equal(skep_test_http_count(t), 1);
    skep_test_free(&t);
}

static void a_reload_keeps_who_waits_and_what_is_remembered(void **state)
{
    struct skep_test *t = with("cache_allow 1h;");
    struct skep_test_client *c;

    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    skep_test_http_delay(t, URL, 100);
    c = skep_test_client(t, "wasp", "willy", "x");
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    assert_null(skep_test_reload(t, OPTIONS "cache_allow 1h; timeout 2s;"));
    skep_test_pass_ms(t, 150);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_int_equal(enter(t, "willy"), SKEP_ALLOW);
    assert_int_equal(skep_test_http_count(t), 2);
    /* another question: nothing of it is known */
    assert_null(skep_test_reload(t, "url " URL "; field u %u; cache_allow 1h;"));
    assert_int_equal(enter(t, "maja"), SKEP_PENDING);
    skep_test_pass_ms(t, 150);
    skep_test_free(&t);
}

/* Whatever fails to be had, nobody gets in without an answer, and nothing is left behind. */
static void without_memory(void **state)
{
    for (unsigned n = 1; n < 12; n++) {
        struct skep_test *t = with("breaker { failures 0; window 0; }");
        struct skep_test_client *c = skep_test_client(t, "bee", "maja", "x");
        skep_test_http(t, URL, 403, "");
        skep_test_fail_allocation(t, n);
        enum skep_verdict v = skep_test_connect(c);
        skep_test_fail_allocation(t, 0);
        skep_test_pass_ms(t, 10000);
        assert_true(v == SKEP_DENY || (v == SKEP_PENDING && skep_test_verdict(c) == SKEP_DENY));
        skep_test_http(t, URL, 200, ALLOW);
        assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
        skep_test_free(&t);
    }
}

static void commands(void **state)
{
    struct skep_test *t = with("cache_allow 1h;");

    assert_int_equal(enter(t, "maja"), SKEP_ALLOW);
    assert_non_null(strstr(skep_test_command(t, "status"), "\"remembered\":1"));
    assert_non_null(strstr(skep_test_command(t, "status"), "\"breaker\":\"closed\""));
    skep_test_command(t, "flush");
    assert_non_null(strstr(skep_test_command(t, "status"), "\"remembered\":0"));
    assert_non_null(strstr(skep_test_command(t, "dance"), "error: knows"));
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_decides),
        cmocka_unit_test(what_an_answer_gives),
        cmocka_unit_test(an_allow_gets_old),
        cmocka_unit_test(an_answer_is_not_remembered_beyond_its_end),
        cmocka_unit_test(a_failing_backend_is_left_alone),
        cmocka_unit_test(one_question_for_all_who_ask_it),
        cmocka_unit_test(who_waits_too_long_is_refused),
        cmocka_unit_test(who_leaves_the_queue_is_not_asked_about),
        cmocka_unit_test(a_crowd_is_asked_about_in_turns),
        cmocka_unit_test(a_queue_behind_a_dead_backend_ends_at_once),
        cmocka_unit_test(a_reload_keeps_who_waits_and_what_is_remembered),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
