/* Filters with named levels: what they mean, what matches, and the cache in front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "match.h"

static void a_filter_is_parsed(void **state)
{
    static const struct {
        const char *text, *filter;
    } good[] = {
        {"a/b", "a/b"},         {"{x}", "+"},         {"a/{room}/b", "a/+/b"},
        {"a/{rest...}", "a/#"}, {"+/{x}/#", "+/+/#"}, {"/{a}/", "/+/"},
    };
    static const char *const bad[] = {"a/{}/b", "a/{x y}", "{rest...}/a", "a/{1x}", "a/{x",
                                      "a/x}",   "a#/b",    "#/a",         "a/b+",   ""};
    struct match_filter f;
    char why[160];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(match_filter_parse(&f, skep_str(good[i].text), why, sizeof why), 0);
        assert_string_equal(f.filter, good[i].filter);
        match_filter_fini(&f);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        why[0] = 0;
        assert_int_equal(match_filter_parse(&f, skep_str(bad[i]), why, sizeof why), SKEP_E_INVALID);
        assert_true(why[0]);
    }
}

static void expect_capture(const char *filter, const char *topic, unsigned i, const char *value)
{
    struct match_filter f;
    char why[160];

    assert_int_equal(match_filter_parse(&f, skep_str(filter), why, sizeof why), 0);
    struct skep_str got = match_capture(&f, i, skep_str(topic));
    assert_int_equal(got.len, strlen(value));
    assert_memory_equal(got.ptr, value, got.len);
    match_filter_fini(&f);
}

static void names_give_levels(void **state)
{
    expect_capture("a/{x}/{y}", "a/one/two", 0, "one");
    expect_capture("a/{x}/{y}", "a/one/two", 1, "two");
    expect_capture("a/{x}", "a/", 0, "");
    expect_capture("{x}/+/{rest...}", "one/two/three/four", 1, "three/four");
    expect_capture("a/{rest...}", "a", 0, "");
}

/* Against skep_topic_matches() for every filter, over topics that share levels; twice, so that the
 * second answer comes from the cache. */
static void who_matches_is_found(void **state)
{
    static const char *const filters[] = {"a/b",    "a/+",    "a/#",  "#",     "+/b",
                                          "+/+",    "a/b/c",  "/a",   "/+",    "+",
                                          "$SYS/#", "$SYS/+", "a//b", "a/+/c", "a/b/#"};
    static const char *const topics[] = {"a",      "a/b",  "a/b/c", "b", "b/b",   "/a",     "a//b",
                                         "$SYS/x", "$SYS", "a/x/c", "/", "x/y/z", "a/b/c/d"};
    enum { FILTERS = sizeof filters / sizeof *filters };
    struct match *m = match_new();

    for (uint32_t i = 0; i < FILTERS; i++)
        match_add(m, skep_str(filters[i]), i);
    for (int round = 0; round < 2; round++) {
        for (size_t t = 0; t < sizeof topics / sizeof *topics; t++) {
            const uint32_t *found = NULL;
            unsigned count = match_find(m, skep_str(topics[t]), &found), at = 0;
            for (uint32_t i = 0; i < FILTERS; i++) {
                if (!skep_topic_matches(skep_str(filters[i]), skep_str(topics[t])))
                    continue;
                assert_true(at < count);
                assert_int_equal(found[at++], i);
            }
            assert_int_equal(at, count);
        }
    }
    match_free(&m);
    assert_null(m);
}

static void long_topics_and_many_of_them_are_found_too(void **state)
{
    struct match *m = match_new();
    const uint32_t *found;
    char topic[300];

    assert_int_equal(match_find(m, skep_str("a"), &found), 0);
    match_add(m, skep_str("t/+/#"), 7);
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(topic, sizeof topic, "%c/%d/%0*d", i % 3 ? 't' : 'u', i, 1 + i % 200, 0);
        unsigned count = match_find(m, skep_bytes(topic, (size_t)len), &found);
        assert_int_equal(count, i % 3 ? 1 : 0);
    }
    match_add(m, skep_str("u/1/#"), 8); /* what was remembered is void */
    assert_int_equal(match_find(m, skep_str("u/1/0"), &found), 1);
    match_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_is_parsed),
        cmocka_unit_test(names_give_levels),
        cmocka_unit_test(who_matches_is_found),
        cmocka_unit_test(long_topics_and_many_of_them_are_found_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
