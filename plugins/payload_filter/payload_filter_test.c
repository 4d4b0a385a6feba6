#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/test.h>

#define OPTIONS "topics sensors/+/reading; require celsius:number room:string; "
#define TOPIC   "sensors/4/reading"
#define GOOD    "{\"celsius\":21.5,\"room\":\"hall\"}"

static struct skep_test_client *publisher(struct skep_test *t)
{
    struct skep_test_client *c = skep_test_client(t, "sensor", NULL, NULL);

    skep_test_connect(c);
    return c;
}

static void assert_bytes(struct skep_str got, const char *wanted)
{
    assert_int_equal(got.len, strlen(wanted));
    assert_memory_equal(got.ptr, wanted, got.len);
}

static void what_was_agreed_on_passes(void **state)
{
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS);
    struct skep_test_client *c = publisher(t);

    (void)state;
    skep_test_publish(c, TOPIC, GOOD, 1, false);
    assert_bytes(skep_test_message(c, 0)->payload, GOOD);
    assert_bytes(skep_test_message(c, 0)->topic, TOPIC);
    assert_null(skep_test_message(c, 1));
    assert_true(skep_test_metric(t, "messages", "result=\"passed\"") == 1);
    skep_test_free(&t);
}

static void all_else_is_dropped(void **state)
{
    static const char *const bad[] = {
        "",
        "21.5",
        "[" GOOD "]",
        "{\"celsius\":21.5}",
        "{\"celsius\":\"21.5\",\"room\":\"hall\"}",
        "{\"Celsius\":21.5,\"room\":\"hall\"}",
        GOOD "}",
        "{\"celsius\":21.5,",
    };
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS);
    struct skep_test_client *c = publisher(t);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(skep_test_publish(c, TOPIC, bad[i], 0, false), SKEP_DROP);
        assert_null(skep_test_message(c, 0));
    }
    assert_true(skep_test_metric(t, "messages", "result=\"invalid\"") == 8);
    skep_test_free(&t);
}

static void other_topics_are_left_alone(void **state)
{
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS);
    struct skep_test_client *c = publisher(t);

    (void)state;
    skep_test_publish(c, "sensors/4/raw", "hello", 0, false);
    assert_bytes(skep_test_message(c, 0)->payload, "hello");
    skep_test_free(&t);
}

static void bad_ones_can_be_moved(void **state)
{
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS "invalid move;");
    struct skep_test_client *c = publisher(t);

    (void)state;
    skep_test_publish(c, TOPIC, "hot", 0, false);
    assert_bytes(skep_test_message(c, 0)->topic, "bad/" TOPIC);
    assert_bytes(skep_test_message(c, 0)->payload, "hot");
    skep_test_free(&t);
}

static void what_nobody_asked_for_can_be_taken_away(void **state)
{
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS "trim on;");
    struct skep_test_client *c = publisher(t);

    (void)state;
    skep_test_publish(c, TOPIC, "{\"celsius\":1, \"serial\":[7], \"room\":\"attic\"} ", 0, false);
    assert_bytes(skep_test_message(c, 0)->payload, "{\"celsius\":1,\"room\":\"attic\"}");
    skep_test_free(&t);
}

/* Nobody gets half a message when the broker runs short: the load block's on_error decides. */
static void short_of_memory_it_errs(void **state)
{
    struct skep_test *t = skep_test_load("payload_filter", OPTIONS "invalid move;");
    struct skep_test_client *c = publisher(t);

    (void)state;
    skep_test_fail_allocation(t, 1);
    assert_int_equal(skep_test_publish(c, TOPIC, "hot", 0, false), SKEP_DENY);
    assert_null(skep_test_message(c, 0));
    skep_test_free(&t);
}

static void mistakes_in_the_options_are_told(void **state)
{
    (void)state;
    assert_non_null(strstr(skep_test_load_fails("payload_filter", "topics a/#/b;"),
                           "'a/#/b' is no topic filter"));
    assert_non_null(strstr(skep_test_load_fails("payload_filter", "topics a; require b;"),
                           "'b' is not NAME:TYPE"));
    assert_non_null(strstr(skep_test_load_fails("payload_filter", ""), "topics"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_agreed_on_passes),
        cmocka_unit_test(all_else_is_dropped),
        cmocka_unit_test(other_topics_are_left_alone),
        cmocka_unit_test(bad_ones_can_be_moved),
        cmocka_unit_test(what_nobody_asked_for_can_be_taken_away),
        cmocka_unit_test(short_of_memory_it_errs),
        cmocka_unit_test(mistakes_in_the_options_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
