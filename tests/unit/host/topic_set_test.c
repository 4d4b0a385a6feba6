/* Which topics on_message may be about: a no is never wrong. */
#include "host/topic_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

static struct topic_set of(const char *filter)
{
    struct topic_set set = {{0}};

    topic_set_add(&set, str_of(filter));
    return set;
}

static void a_topic_of_the_filter_is_in(void **state)
{
    static const struct {
        const char *filter, *topic;
    } matching[] = {{"a/b", "a/b"}, {"a/+", "a/x"}, {"a/#", "a"}, {"a", "a"}, {"+/b", "x/b"},
                    {"#", "x/y"},   {"/a", "/a"},   {"/#", "/"},  {"+", "x"}, {"$x/#", "$x/y"}};

    for (size_t i = 0; i < sizeof matching / sizeof *matching; i++) {
        struct topic_set set = of(matching[i].filter);
        assert_true(topic_set_has(&set, str_of(matching[i].topic)));
    }
}

static void most_others_are_not(void **state)
{
    struct topic_set set = of("sensors/+/temp"), more = of("plant/#");
    char topic[32];
    int in = 0;

    topic_set_join(&set, &more);
    assert_true(topic_set_has(&set, STR("sensors/x")));
    assert_true(topic_set_has(&set, STR("plant")));
    for (int i = 0; i < 1000; i++) {
        snprintf(topic, sizeof topic, "t%d/x", i);
        in += topic_set_has(&set, str_of(topic));
    }
    assert_true(in < 50);
}

static void wildcards_and_a_full_set_have_all(void **state)
{
    struct topic_set set = of("+/x"), full = {{0}};

    topic_set_fill(&full);
    for (int i = 0; i < 1000; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t%d", i);
        assert_true(topic_set_has(&set, str_of(topic)));
        assert_true(topic_set_has(&full, str_of(topic)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_topic_of_the_filter_is_in),
        cmocka_unit_test(most_others_are_not),
        cmocka_unit_test(wildcards_and_a_full_set_have_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
