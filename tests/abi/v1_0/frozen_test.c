/* The module that was built with SDK 1.0, hook by hook, in today's host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/http.h>
#include <skep/test.h>
#include <stdio.h>
#include <string.h>

#define URL     "http://frozen.test/ask"
#define OPTIONS "string said; secret s3cret; "

enum { SKIPPED = 77 };

static struct skep_test *load(const char *more)
{
    char options[512];

    snprintf(options, sizeof options, OPTIONS "%s", more);
    return skep_test_load(FROZEN, options);
}

static struct skep_test_client *user(struct skep_test *t, const char *name)
{
    return skep_test_client(t, name, name, "s3cret");
}

static struct skep_test_client *connected(struct skep_test *t)
{
    struct skep_test_client *c = user(t, "plain");

    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    return c;
}

static void assert_str(struct skep_str s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

static void options_of_every_type(void **state)
{
    struct skep_test *t = load("");

    (void)state;
    assert_string_equal(skep_test_command(t, "show"),
                        "\"1 7 65536 1500 100 1 5 said 127.0.0.1:9100 s3cret 2 0 10 0::0 0\"");
    skep_test_free(&t);
    t = load("flag off; number 8; size 1m; duration 2s; rate 5/s; choice third; set b; "
             "address [::1]:80; list p q r; lines a b; lines c; limits { most 99; } "
             "realm east { users u v; }");
    assert_string_equal(skep_test_command(t, "show"),
                        "\"0 8 1048576 2000 5 2 2 said [::1]:80 s3cret 3 2 99 1:east:2 0\"");
    assert_null(skep_test_reload(t, OPTIONS));
    assert_string_equal(skep_test_command(t, "show"),
                        "\"1 7 65536 1500 100 1 5 said 127.0.0.1:9100 s3cret 2 0 10 0::0 1\"");
    skep_test_free(&t);
}

static void complaints(void **state)
{
    (void)state;
    assert_non_null(strstr(skep_test_load_fails(FROZEN, ""), "string"));
    assert_non_null(strstr(skep_test_load_fails(FROZEN, OPTIONS "number 13;"), "bad luck"));
    assert_non_null(strstr(skep_test_load_fails(FROZEN, OPTIONS "number 14;"), "with 14"));
    assert_non_null(strstr(skep_test_load_fails(FROZEN, OPTIONS "limits { most 101; }"), "most"));
}

static void on_connect_at_once(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *other = user(t, "other");

    (void)state;
    assert_true(skep_test_is_connected(connected(t)));
    assert_int_equal(skep_test_connect(other), SKEP_DENY);
    assert_int_equal(skep_test_reason(other), SKEP_RC_BANNED);
    assert_string_equal(skep_test_text(other), "said");
    assert_int_equal(skep_test_connect(skep_test_client(t, "x", NULL, NULL)), SKEP_NEXT);
    skep_test_free(&t);
}

static void on_connect_with_waits(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *ms = user(t, "ms"), *token = user(t, "token");

    (void)state;
    assert_int_equal(skep_test_connect(user(t, "job")), SKEP_ALLOW);
    assert_int_equal(skep_test_connect(ms), SKEP_PENDING);
    skep_test_pass_ms(t, 100);
    assert_int_equal(skep_test_verdict(ms), SKEP_ALLOW);
    assert_int_equal(skep_test_connect(token), SKEP_PENDING);
    assert_string_equal(skep_test_command(t, "complete"), "true");
    assert_string_equal(skep_test_command(t, "complete"), "false");
    assert_int_equal(skep_test_verdict(token), SKEP_ALLOW);
    skep_test_free(&t);
}

static void on_connect_with_http(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *good = skep_test_client(t, "1", "http", "pass"),
                            *slow = skep_test_client(t, "2", "http", "pass");
    const struct skep_http_request *asked;

    (void)state;
    skep_test_http(t, URL, 200, "body");
    skep_test_http_header(t, URL, "X-Frozen", "yes");
    assert_int_equal(skep_test_connect(good), SKEP_ALLOW);
    asked = skep_test_http_request(t, 0);
    assert_string_equal(asked->method, "PUT");
    assert_str(asked->body, "pass");
    assert_str(asked->headers[0].value, "1");
    assert_str(asked->bearer, "b");
    skep_test_http_delay(t, URL, 2000);
    assert_int_equal(skep_test_connect(slow), SKEP_PENDING);
    skep_test_pass_ms(t, 1000);
    assert_int_equal(skep_test_reason(slow), SKEP_RC_UNAVAILABLE);
    skep_test_free(&t);
}

static void what_a_module_gives_a_client(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = user(t, "rich");
    const struct skep_client *who;

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    who = skep_test_identity(c);
    assert_str(skep_client_username(who), "croesus");
    assert_str(skep_client_attribute(who, "metal"), "gold");
    assert_int_equal(skep_test_publish(c, "poor/croesus/1", "x", 0, false), SKEP_DENY);
    skep_test_free(&t);
}

static void on_auth(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = user(t, "auth");

    (void)state;
    assert_int_equal(skep_test_auth(c, "FROZEN", SKEP_STR("one")), SKEP_CONTINUE);
    assert_str(skep_test_auth_data(c), "one");
    assert_int_equal(skep_test_auth(c, NULL, SKEP_STR("two")), SKEP_ALLOW);
    assert_str(skep_test_auth_data(c), "two");
    assert_true(skep_test_is_connected(c));
    skep_test_free(&t);
}

static void on_subscribe(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_subscribe(c, "a/#", 2), SKEP_ALLOW);
    assert_int_equal(skep_test_granted_qos(c), 1);
    assert_int_equal(skep_test_subscribe(c, "$share/g/a", 0), SKEP_DENY);
    assert_string_equal(skep_test_text(c), "no groups");
    skep_test_free(&t);
}

static void on_publish_and_on_message(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = connected(t);
    const struct skep_message *m;

    (void)state;
    assert_int_equal(skep_test_publish(c, "open/1", "x", 1, false), SKEP_ALLOW);
    assert_int_equal(skep_test_publish(c, "shut", "x", 1, false), SKEP_DENY);
    assert_string_equal(skep_test_where(c), "frozen.c:1 not open");
    assert_int_equal(skep_test_publish(c, "open/drop", "x", 0, false), SKEP_DROP);
    assert_int_equal(skep_test_publish(c, "open/change", "x", 1, true), SKEP_ALLOW);
    m = skep_test_message(c, 0);
    assert_str(m->topic, "open/changed");
    assert_str(m->payload, "changed");
    assert_str(m->content_type, "text/plain");
    assert_int_equal(m->qos, 0);
    assert_false(m->retain);
    assert_int_equal(m->expiry_s, 60);
    assert_str(m->user_properties[0].value, "frozen");
    assert_str(skep_test_message(c, 1)->topic, "open/copy");
    skep_test_publish(c, "open/echo", "hear", 0, false);
    assert_str(skep_test_published(t, 0)->payload, "hear");
    assert_int_equal(skep_test_published(t, 0)->qos, 1);
    assert_true(skep_test_metric(t, "sizes", NULL) == 5);
    skep_test_free(&t);
}

static void on_will_and_on_deliver(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *good = skep_test_client(t, "1", "plain", "s3cret"),
                            *bad = skep_test_client(t, "2", "plain", "s3cret");

    (void)state;
    skep_test_client_will(good, "gone", "x", 0, false);
    skep_test_client_will(bad, "gone", "x", 0, true);
    assert_int_equal(skep_test_connect(good), SKEP_ALLOW);
    assert_int_equal(skep_test_connect(bad), SKEP_DENY);
    assert_int_equal(skep_test_deliver(good, "a", "x", 2, false), SKEP_DENY);
    skep_test_free(&t);
}

static void a_reload_on_request(void **state)
{
    struct skep_test *t = load("");

    (void)state;
    assert_string_equal(skep_test_command(t, "reload"), "true");
    assert_string_equal(skep_test_command(t, "show"),
                        "\"1 7 65536 1500 100 1 5 said 127.0.0.1:9100 s3cret 2 0 10 0::0 1\"");
    skep_test_free(&t);
}

static void narrowed_to_one_stage(void **state)
{
    struct skep_test *t = load("number 11;");
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_publish(c, "shut", "x", 1, false), SKEP_ALLOW); /* it is not asked */
    assert_true(skep_test_metric(t, "events", "kind=\"any\"") == 0);
    skep_test_free(&t);
}

static void events_timers_logs_and_storage(void **state)
{
    struct skep_test *t = load("");

    (void)state;
    skep_test_leave(connected(t));
    assert_true(skep_test_metric(t, "events", "kind=\"any\"") == 2);
    assert_non_null(strstr(skep_test_log(t), "started frozen"));
    assert_non_null(strstr(skep_test_log(t), "event disconnected client plain"));
    skep_test_pass_ms(t, 3000);
    assert_true(skep_test_metric(t, "ticks", NULL) == 2);
    assert_string_equal(skep_test_command(t, "put key value"), "true");
    assert_string_equal(skep_test_command(t, "get key"), "\"value\"");
    assert_memory_equal(skep_test_command(t, "get nothing"), "error: ", 7);
    assert_string_equal(skep_test_command(t, ""), "error: show, put, get, complete or reload");
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_every_type),
        cmocka_unit_test(complaints),
        cmocka_unit_test(on_connect_at_once),
        cmocka_unit_test(on_connect_with_waits),
        cmocka_unit_test(on_connect_with_http),
        cmocka_unit_test(what_a_module_gives_a_client),
        cmocka_unit_test(on_auth),
        cmocka_unit_test(on_subscribe),
        cmocka_unit_test(on_publish_and_on_message),
        cmocka_unit_test(on_will_and_on_deliver),
        cmocka_unit_test(a_reload_on_request),
        cmocka_unit_test(narrowed_to_one_stage),
        cmocka_unit_test(events_timers_logs_and_storage),
    };

#ifndef __x86_64__
    puts("skipped: the frozen module is a program for x86_64");
    return SKIPPED;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
