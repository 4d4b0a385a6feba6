/* The harness for module authors, with a module that is linked in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/client.h>
#include <skep/event.h>
#include <skep/http.h>
#include <skep/test.h>
#include <string.h>

#include "subject.h"

#define URL "http://auth.test/check"

static int reset(void **state)
{
    (void)state;
    memset(&subject_counts, 0, sizeof subject_counts);
    return 0;
}

static struct skep_test_client *user(struct skep_test *t, const char *name)
{
    return skep_test_client(t, name, name, "password");
}

static struct skep_test_client *connected(struct skep_test *t)
{
    struct skep_test_client *c = user(t, "allow");

    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    return c;
}

static void assert_str(struct skep_str s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.ptr, text, s.len);
}

/* -- Life -- */

static void a_module_lives_from_load_to_unload(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    assert_non_null(skep_test_self(t));
    assert_non_null(skep_test_module(t));
    assert_int_equal(subject_counts.loaded, 1);
    assert_int_equal(subject_counts.started, 1);
    skep_test_pass_ms(t, 999);
    assert_int_equal(subject_counts.ticks, 0);
    skep_test_pass_ms(t, 1);
    assert_int_equal(subject_counts.ticks, 1);
    skep_test_free(&t);
    assert_null(t);
    assert_int_equal(subject_counts.unloaded, 1);
}

static void complaints_name_the_line(void **state)
{
    (void)state;
    assert_non_null(strstr(skep_test_load_fails(NULL, "\n  greting x;"), "options:2:3"));
    assert_non_null(strstr(skep_test_load_fails(NULL, "greting x;"), "greeting"));
    assert_non_null(strstr(skep_test_load_fails(NULL, "greeting \"\";"), "the greeting is empty"));
    assert_non_null(strstr(skep_test_load_fails("no_such_module", NULL), "no_such_module"));
}

static void a_reload_replaces_the_instance(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *before = user(t, "ms"), *after = user(t, "deny");

    (void)state;
    assert_int_equal(skep_test_connect(before), SKEP_PENDING);
    assert_null(skep_test_reload(t, "greeting bye;"));
    assert_int_equal(subject_counts.loaded, 2);
    assert_int_equal(subject_counts.took_over, 1);
    assert_int_equal(subject_counts.unloaded, 0); /* the old one has a client to answer */
    skep_test_connect(after);
    assert_string_equal(skep_test_text(after), "bye");
    skep_test_pass_ms(t, 200);
    assert_int_equal(skep_test_verdict(before), SKEP_ALLOW);
    assert_int_equal(subject_counts.unloaded, 1);
    skep_test_free(&t);
    assert_int_equal(subject_counts.unloaded, 2);
}

static void a_reload_that_fails_changes_nothing(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "deny");

    (void)state;
    assert_non_null(strstr(skep_test_reload(t, "greeting \"\";"), "the greeting is empty"));
    assert_non_null(strstr(skep_test_reload(t, "cold on;"), "no keys"));
    skep_test_connect(c);
    assert_string_equal(skep_test_text(c), "hello");
    assert_null(skep_test_reload(t, "slow_start on;"));
    skep_test_free(&t);
    assert_int_equal(subject_counts.unloaded, subject_counts.loaded);
}

static void a_module_may_ask_for_a_reload(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    assert_string_equal(skep_test_command(t, "reload"), "true");
    assert_int_equal(subject_counts.loaded, 2);
    assert_int_equal(subject_counts.took_over, 1);
    skep_test_free(&t);
}

/* -- Verdicts, and waiting for them -- */

static void verdicts_at_once(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "greeting go;");
    struct skep_test_client *deny = user(t, "deny"), *next = user(t, "nobody"),
                            *error = user(t, "error");

    (void)state;
    assert_true(skep_test_is_connected(connected(t)));
    assert_int_equal(skep_test_connect(deny), SKEP_DENY);
    assert_int_equal(skep_test_reason(deny), SKEP_RC_BANNED);
    assert_string_equal(skep_test_text(deny), "go");
    assert_false(skep_test_is_connected(deny));
    assert_int_equal(skep_test_connect(next), SKEP_NEXT);
    assert_false(skep_test_is_connected(next));
    assert_int_equal(skep_test_connect(error), SKEP_DENY); /* on_error deny */
    skep_test_free(&t);
}

static void time_passes_when_told(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "ms");

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_pass_ms(t, 150);
    assert_int_equal(skep_test_verdict(c), SKEP_PENDING);
    skep_test_pass_ms(t, 50);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    assert_true(skep_test_is_connected(c));
    skep_test_free(&t);
}

static void jobs_run_at_once_or_when_told(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *now = skep_test_client(t, "1", "job", NULL),
                            *later = skep_test_client(t, "2", "job", NULL);

    (void)state;
    assert_int_equal(skep_test_connect(now), SKEP_ALLOW);
    assert_int_equal(subject_counts.dropped, 1);
    skep_test_jobs_wait(t, true);
    assert_int_equal(skep_test_connect(later), SKEP_PENDING);
    skep_test_pass_ms(t, 10);
    assert_int_equal(skep_test_verdict(later), SKEP_PENDING);
    skep_test_run(t);
    assert_int_equal(skep_test_verdict(later), SKEP_ALLOW);
    assert_int_equal(subject_counts.worked, 2);
    assert_int_equal(subject_counts.dropped, 2);
    skep_test_free(&t);
}

static void http_answers_as_told(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *yes = skep_test_client(t, "1", "http", NULL),
                            *no = skep_test_client(t, "2", "http", NULL),
                            *broken = skep_test_client(t, "3", "http", NULL);

    (void)state;
    skep_test_http(t, URL, 200, "");
    skep_test_http_header(t, URL, "x-verdict", "yes");
    skep_test_connect(yes);
    assert_int_equal(skep_test_verdict(yes), SKEP_ALLOW);
    assert_string_equal(skep_test_http_request(t, 0)->method, "POST");
    assert_str(skep_test_http_request(t, 0)->body, "{}");
    skep_test_http(t, URL, 200, "");
    skep_test_connect(no);
    assert_int_equal(skep_test_verdict(no), SKEP_DENY);
    skep_test_http(t, URL, 0, "the cable is cut");
    skep_test_connect(broken);
    assert_int_equal(skep_test_reason(broken), SKEP_RC_UNAVAILABLE);
    assert_string_equal(skep_test_text(broken), "the cable is cut");
    assert_int_equal(skep_test_http_count(t), 3);
    skep_test_free(&t);
}

static void http_that_is_slow_times_out(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "http");

    (void)state;
    skep_test_http(t, URL, 200, "");
    skep_test_http_delay(t, URL, 60000);
    skep_test_connect(c);
    skep_test_pass_ms(t, 1999);
    assert_int_equal(skep_test_verdict(c), SKEP_PENDING);
    skep_test_pass_ms(t, 1);
    assert_int_equal(skep_test_reason(c), SKEP_RC_UNAVAILABLE);
    skep_test_free(&t);
}

static void an_answer_that_never_comes_is_an_error(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "decision_timeout 3s;");
    struct skep_test_client *c = user(t, "token");

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_pass_ms(t, 2999);
    assert_int_equal(skep_test_verdict(c), SKEP_PENDING);
    skep_test_pass_ms(t, 1);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    assert_int_equal(subject_counts.dropped, 1);
    assert_false(skep_complete(subject_token, NULL));
    skep_test_free(&t);
}

static void a_token_completes_once(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "token");

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    assert_true(skep_complete(subject_token, NULL));
    assert_false(skep_complete(subject_token, NULL));
    skep_test_run(t);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    skep_test_free(&t);
}

static void clients_may_leave_at_each_wait(void **state)
{
    static const char *const waits[] = {"ms", "job", "http", "token"};
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_http(t, URL, 200, "");
    skep_test_http_delay(t, URL, 100);
    skep_test_jobs_wait(t, true);
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        struct skep_test_client *c = user(t, waits[i]);
        assert_int_equal(skep_test_connect(c), SKEP_PENDING);
        skep_test_leave(c);
        assert_false(skep_test_is_connected(c));
    }
    assert_false(skep_complete(subject_token, NULL));
    skep_test_run(t);
    skep_test_pass_ms(t, 5000);
    assert_int_equal(subject_counts.continued, 0);
    assert_int_equal(subject_counts.dropped, 2); /* of the job and of the token */
    skep_test_free(&t);
}

static void pending_without_a_wait_is_an_error(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "silent");

    (void)state;
    skep_test_connect(c);
    skep_test_pass_ms(t, 60000);
    assert_int_equal(skep_test_verdict(c), SKEP_DENY);
    skep_test_free(&t);
}

static void what_the_host_may_refuse_is_refused(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *memory = user(t, "memory"), *job = user(t, "job"), *c = connected(t);

    (void)state;
    skep_test_fail_allocation(t, 1);
    assert_int_equal(skep_test_connect(memory), SKEP_DENY);
    assert_string_equal(skep_test_text(memory), "no memory");
    skep_test_fail_allocation(t, 1);
    assert_int_equal(skep_test_connect(job), SKEP_DENY);
    assert_int_equal(subject_counts.dropped, 1);
    assert_int_equal(subject_counts.worked, 0);
    skep_test_fail_allocation(t, 1);
    skep_test_publish(c, "tell/1", "x", 0, false);
    assert_int_equal(subject_counts.refused, 1);
    assert_null(skep_test_published(t, 0));
    skep_test_fail_allocation(t, 1);
    assert_null(skep_test_reload(t, "greeting again;"));
    assert_int_equal(subject_counts.refused, 2); /* the watch */
    skep_test_free(&t);
}

static void enhanced_authentication_goes_in_rounds(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = user(t, "scram"), *other = user(t, "other");

    (void)state;
    assert_int_equal(skep_test_auth(c, "COUNT", SKEP_STR("a")), SKEP_CONTINUE);
    assert_str(skep_test_auth_data(c), "0");
    assert_false(skep_test_is_connected(c));
    assert_int_equal(skep_test_auth(c, NULL, SKEP_STR("b")), SKEP_CONTINUE);
    assert_int_equal(skep_test_auth(c, NULL, SKEP_STR("c")), SKEP_ALLOW);
    assert_str(skep_test_auth_data(c), "2");
    assert_true(skep_test_is_connected(c));
    assert_int_equal(skep_test_auth(c, NULL, SKEP_STR("again")), SKEP_CONTINUE);
    assert_true(skep_test_is_connected(c));
    assert_int_equal(skep_test_auth(other, "MAGIC", SKEP_STR("")), SKEP_DENY);
    skep_test_free(&t);
}

/* -- Topics -- */

static void subscriptions_are_decided_and_cut(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_subscribe(c, "any/+", 2), SKEP_ALLOW);
    assert_int_equal(skep_test_granted_qos(c), 2);
    assert_int_equal(skep_test_subscribe(c, "$share/group/low", 2), SKEP_ALLOW);
    assert_int_equal(skep_test_granted_qos(c), 0);
    assert_int_equal(skep_test_subscribe(c, "no/#", 0), SKEP_DENY);
    assert_string_equal(skep_test_where(c), "rules.conf:7 no/#");
    assert_string_equal(skep_test_text(c), "not this one");
    skep_test_free(&t);
}

static void messages_come_out_as_modules_left_them(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_publish(c, "plain", "x", 1, true), SKEP_ALLOW);
    assert_str(skep_test_message(c, 0)->payload, "x");
    assert_true(skep_test_message(c, 0)->retain);
    assert_null(skep_test_message(c, 1));
    skep_test_publish(c, "copy/1", "x", 0, false);
    assert_str(skep_test_message(c, 0)->topic, "copy/1");
    assert_str(skep_test_message(c, 1)->topic, "the/copy");
    skep_test_publish(c, "mark/1", "x", 0, false);
    assert_int_equal(skep_test_message(c, 0)->user_property_count, 1);
    assert_str(skep_test_message(c, 0)->user_properties[0].value, "subject");
    assert_int_equal(skep_test_publish(c, "drop/1", "x", 0, false), SKEP_DROP);
    assert_null(skep_test_message(c, 0));
    assert_int_equal(skep_test_publish(c, "no/1", "x", 0, false), SKEP_DENY);
    assert_null(skep_test_message(c, 0));
    skep_test_publish(c, "tell/1", "x", 0, false);
    assert_str(skep_test_published(t, 0)->payload, "tell/1");
    assert_null(skep_test_published(t, 1));
    skep_test_free(&t);
}

static void a_publication_may_wait(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_publish(c, "slow/1", "x", 0, false), SKEP_PENDING);
    assert_null(skep_test_message(c, 0));
    skep_test_pass_ms(t, 50);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    assert_str(skep_test_message(c, 0)->topic, "slow/1");
    skep_test_free(&t);
}

static void deliveries_are_decided(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_test_deliver(c, "open/1", "x", 0, false), SKEP_ALLOW);
    assert_int_equal(skep_test_deliver(c, "secret/1", "x", 0, false), SKEP_DENY);
    skep_test_free(&t);
}

static void a_will_is_decided_with_the_connect(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *good = skep_test_client(t, "1", "allow", NULL),
                            *bad = skep_test_client(t, "2", "allow", NULL);

    (void)state;
    skep_test_client_will(good, "gone", "1", 1, false);
    assert_int_equal(skep_test_connect(good), SKEP_ALLOW);
    assert_true(skep_test_is_connected(good));
    skep_test_client_will(bad, "no/will", "1", 1, false);
    assert_int_equal(skep_test_connect(bad), SKEP_DENY);
    assert_false(skep_test_is_connected(bad));
    skep_test_free(&t);
}

/* -- Clients, events, commands -- */

static void clients_are_who_the_test_says(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = skep_test_client(t, "bee", "allow", NULL);
    const struct skep_client *who;

    (void)state;
    skep_test_client_address(c, "192.0.2.7:1000");
    skep_test_client_cert(c, "bee.example");
    skep_test_client_password(c, SKEP_STR("a\0b"));
    skep_test_connect(c);
    who = skep_test_identity(c);
    assert_str(skep_client_id(who), "bee");
    assert_str(skep_client_host(who), "192.0.2.7");
    assert_str(skep_client_cert_cn(who), "bee.example");
    assert_true(skep_client_is_tls(who));
    assert_int_equal(skep_client_protocol(who), 5);
    skep_test_free(&t);
}

static void clients_can_be_found_and_kicked(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = connected(t);

    (void)state;
    assert_int_equal(skep_kick(skep_test_module(t), SKEP_STR("allow"), SKEP_RC_BANNED, NULL), 0);
    skep_test_run(t);
    assert_false(skep_test_is_connected(c));
    assert_int_equal(subject_counts.last_event, SKEP_EVENT_DISCONNECTED);
    assert_int_equal(skep_kick(skep_test_module(t), SKEP_STR("allow"), SKEP_RC_BANNED, NULL),
                     SKEP_E_NOT_FOUND);
    skep_test_free(&t);
}

static void events_and_what_comes_of_them(void **state)
{
    struct skep_event alarm = {.size = sizeof alarm, .kind = SKEP_EVENT_ALARM};
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_leave(connected(t));
    skep_test_event(t, &alarm);
    assert_int_equal(subject_counts.last_event, SKEP_EVENT_ALARM);
    assert_true(skep_test_metric(t, "events", NULL) == 3);
    assert_non_null(strstr(skep_test_log(t), "saw alarm"));
    skep_test_free(&t);
}

static void commands_are_answered(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    assert_string_equal(skep_test_command(t, "count one two"), "{\"words\":3}");
    assert_string_equal(skep_test_command(t, "what"), "error: count is all there is");
    skep_test_free(&t);
}

static void what_a_module_serves_can_be_asked(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "serves on;");

    (void)state;
    assert_int_equal(skep_test_request(t, "POST", "/now?x=1", "body"), 200);
    assert_string_equal(skep_test_answer(t), "body");
    assert_int_equal(skep_test_request(t, "GET", "/later", NULL), 202);
    assert_string_equal(skep_test_answer(t), "late");
    assert_int_equal(skep_test_request(t, "POST", "/later", "x"), 405);
    assert_int_equal(skep_test_request(t, "GET", "/nowhere", NULL), 404);
    assert_null(skep_test_reload(t, "serves on; greeting again;"));
    assert_int_equal(skep_test_request(t, "GET", "/now", NULL), 200);
    skep_test_free(&t);
}

static void what_is_stored_lasts_over_reloads(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    assert_string_equal(skep_test_command(t, "put colour red"), "true");
    assert_null(skep_test_reload(t, "greeting again;"));
    assert_string_equal(skep_test_command(t, "get colour"), "\"red\"");
    skep_test_free(&t);
    t = skep_test_load(NULL, NULL);
    assert_string_equal(skep_test_command(t, "get colour"), "error: no such thing");
    skep_test_free(&t);
}

static void names_are_known_without_a_name_server(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    assert_string_equal(skep_test_command(t, "resolve broker.test:8883"), "\"127.0.0.1:8883\"");
    assert_string_equal(skep_test_command(t, "resolve 192.0.2.7:1883"), "\"192.0.2.7:1883\"");
    assert_string_equal(skep_test_command(t, "resolve example.com:1"), "error: unknown");
    skep_test_fail_allocation(t, 1);
    assert_string_equal(skep_test_command(t, "resolve broker.test:1"), "error: refused");
    skep_test_free(&t);
}

static void the_wall_clock_can_be_set(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c;

    (void)state;
    skep_test_wall_ms(t, 5000);
    skep_test_pass_ms(t, 500);
    c = connected(t);
    assert_int_equal(skep_client_connected_at(skep_test_identity(c)), 5500);
    skep_test_free(&t);
}

static void modules_form_a_chain(void **state)
{
    struct skep_test *t = skep_test_load("hello", NULL);
    struct skep_test_client *bee = user(t, "bee"), *c = user(t, "allow");

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_NEXT);
    skep_test_add(t, NULL, NULL);
    c = skep_test_client(t, "2", "allow", NULL);
    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    assert_int_equal(skep_test_connect(bee), SKEP_ALLOW);
    skep_test_free(&t);
}

#define TEST(name) cmocka_unit_test_setup(name, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_module_lives_from_load_to_unload),
        TEST(complaints_name_the_line),
        TEST(a_reload_replaces_the_instance),
        TEST(a_reload_that_fails_changes_nothing),
        TEST(a_module_may_ask_for_a_reload),
        TEST(verdicts_at_once),
        TEST(time_passes_when_told),
        TEST(jobs_run_at_once_or_when_told),
        TEST(http_answers_as_told),
        TEST(http_that_is_slow_times_out),
        TEST(an_answer_that_never_comes_is_an_error),
        TEST(a_token_completes_once),
        TEST(clients_may_leave_at_each_wait),
        TEST(pending_without_a_wait_is_an_error),
        TEST(what_the_host_may_refuse_is_refused),
        TEST(enhanced_authentication_goes_in_rounds),
        TEST(subscriptions_are_decided_and_cut),
        TEST(messages_come_out_as_modules_left_them),
        TEST(a_publication_may_wait),
        TEST(deliveries_are_decided),
        TEST(a_will_is_decided_with_the_connect),
        TEST(clients_are_who_the_test_says),
        TEST(clients_can_be_found_and_kicked),
        TEST(events_and_what_comes_of_them),
        TEST(commands_are_answered),
        TEST(what_a_module_serves_can_be_asked),
        TEST(what_is_stored_lasts_over_reloads),
        TEST(names_are_known_without_a_name_server),
        TEST(the_wall_clock_can_be_set),
        TEST(modules_form_a_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
