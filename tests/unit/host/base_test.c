/* The functions of <skep/base.h>, and how many lines of a module are written. */
#include "host_fixture.h"

#include <skep/base.h>

static void secrets_are_compared_whole(void **state)
{
    assert_true(skep_str_eq_secret(SKEP_STR("abc"), SKEP_STR("abc")));
    assert_false(skep_str_eq_secret(SKEP_STR("abc"), SKEP_STR("abd")));
    assert_false(skep_str_eq_secret(SKEP_STR("abc"), SKEP_STR("xbc")));
    assert_false(skep_str_eq_secret(SKEP_STR("abc"), SKEP_STR("ab")));
    assert_false(skep_str_eq_secret(SKEP_STR("ab"), SKEP_STR("abc")));
    assert_true(skep_str_eq_secret(SKEP_STR("a\0b"), SKEP_STR("a\0b")));
    assert_false(skep_str_eq_secret(SKEP_STR("a\0b"), SKEP_STR("a\0c")));
    assert_true(skep_str_eq_secret(skep_str(NULL), skep_bytes("x", 0)));
}

static void topics_match_as_the_index_does(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"a/b", "a/b", true},     {"a/+", "a/b", true},       {"a/+", "a", false},
        {"a/#", "a", true},       {"a/#", "a/b/c", true},     {"#", "$SYS/x", false},
        {"+/x", "$SYS/x", false}, {"$SYS/#", "$SYS/x", true}, {"a/+/c", "a//c", true},
        {"a", "A", false},        {"+", "a/b", false},        {"/+", "/a", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(skep_topic_matches(skep_str(cases[i].filter), skep_str(cases[i].topic)),
                         cases[i].matches);
}

static void topics_are_valid_as_names_or_as_filters(void **state)
{
    assert_true(skep_topic_valid(SKEP_STR("a/b"), true));
    assert_false(skep_topic_valid(SKEP_STR("a/+"), true));
    assert_true(skep_topic_valid(SKEP_STR("a/+"), false));
    assert_false(skep_topic_valid(SKEP_STR("a/#/b"), false));
    assert_false(skep_topic_valid(SKEP_STR("a/b+"), false));
    assert_false(skep_topic_valid(SKEP_STR(""), true));
    assert_false(skep_topic_valid(SKEP_STR(""), false));
    assert_false(skep_topic_valid(SKEP_STR("a\0b"), true));
    assert_false(skep_topic_valid(SKEP_STR("\xff"), true));
}

static void every_error_has_words(void **state)
{
    for (int err = SKEP_OK; err >= SKEP_E_REFUSED; err--)
        assert_string_not_equal(skep_error_text(err), "unknown error");
    assert_string_equal(skep_error_text(1), "unknown error");
    assert_string_equal(skep_error_text(SKEP_E_REFUSED - 1), "unknown error");
    assert_string_equal(skep_error_text(INT32_MIN), "unknown error");
}

/* -- Lines -- */

static unsigned lines;
static char last[512];

static void take(enum log_level level, struct str line, void *arg)
{
    lines++;
    snprintf(last, sizeof last, "%.*s", STR_ARG(line));
}

static void a_line_carries_the_name_and_the_level(void **state)
{
    struct rig r;

    rig_open(&r, NULL);
    log_capture(take, NULL);
    skep_log(r.module, SKEP_LOG_WARN, "%s is %d", "it", 7);
    assert_non_null(strstr(last, "warn"));
    assert_non_null(strstr(last, "rig: it is 7"));
    skep_log(r.module, SKEP_LOG_INFO, "two\nlines \x1b[2J");
    assert_null(strchr(last, '\n'));
    assert_null(strchr(last, '\x1b'));
    lines = 0;
    skep_log(r.module, SKEP_LOG_DEBUG, "not wanted");
    assert_int_equal(lines, 0);
    assert_false(skep_log_wanted(SKEP_LOG_DEBUG));
    assert_true(skep_log_wanted(SKEP_LOG_ERROR));
    log_capture(NULL, NULL);
    rig_close(&r);
}

static void what_is_too_much_is_counted(void **state)
{
    struct rig r;
    unsigned left_out;

    rig_open(&r, NULL);
    log_capture(take, NULL);
    lines = 0;
    for (int i = 0; i < 5000; i++)
        skep_log(r.module, SKEP_LOG_INFO, "line");
    assert_true(lines < 2000);
    left_out = atomic_load(&r.module->log_left_out);
    assert_true(left_out > 0);
    instance_log_end(r.module);
    assert_non_null(strstr(last, "lines were left out"));
    lines = 0;
    instance_log_end(r.module); /* said once */
    assert_int_equal(lines, 0);
    log_capture(NULL, NULL);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_compared_whole),
        cmocka_unit_test(topics_match_as_the_index_does),
        cmocka_unit_test(topics_are_valid_as_names_or_as_filters),
        cmocka_unit_test(every_error_has_words),
        cmocka_unit_test(a_line_carries_the_name_and_the_level),
        cmocka_unit_test(what_is_too_much_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
