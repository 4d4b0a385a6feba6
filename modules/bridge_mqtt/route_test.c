/* Topics of both sides, as the `topic` lines say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "route.h"

enum { WORDS = 12 };

static struct routes read_lines(const char *const (*lines)[WORDS], size_t count)
{
    static struct skep_list lists[8];
    struct skep_lines all = {lists, count};
    struct routes routes;

    for (size_t i = 0; i < count; i++) {
        lists[i] = (struct skep_list){.items = lines[i]};
        while (lists[i].count < WORDS && lines[i][lists[i].count])
            lists[i].count++;
    }
    assert_int_equal(routes_read(&routes, &all, NULL), 0);
    return routes;
}

static void out_is(const struct routes *r, const char *local, const char *remote)
{
    struct buf topic = {0};
    const struct route *route = route_out(r, skep_str(local), &topic);

    assert_true((route != NULL) == (remote != NULL));
    if (remote)
        assert_true(skep_str_eq(skep_bytes(buf_data(&topic), buf_len(&topic)), skep_str(remote)));
    buf_fini(&topic);
}

static void in_is(const struct routes *r, const char *remote, const char *local)
{
    struct buf topic = {0};
    const struct route *route = route_in(r, skep_str(remote), &topic);

    assert_true((route != NULL) == (local != NULL));
    if (local)
        assert_true(skep_str_eq(skep_bytes(buf_data(&topic), buf_len(&topic)), skep_str(local)));
    buf_fini(&topic);
}

static void prefixes_change_on_the_way(void **state)
{
    static const char *const lines[][WORDS] = {
        {"out", "sensors/#", "qos", "1", "local_prefix", "plant/", "remote_prefix", "site7/"},
        {"in", "commands/+", "qos", "2", "local_prefix", "hq/"},
        {"both", "chat/#"},
    };
    struct routes r = read_lines(lines, 3);

    assert_string_equal(r.items[0].local_filter, "plant/sensors/#");
    assert_null(r.items[0].subscribed);
    assert_string_equal(r.items[1].subscribed, "commands/+");
    assert_int_equal(r.items[1].qos, 2);
    out_is(&r, "plant/sensors/a/b", "site7/sensors/a/b");
    out_is(&r, "plant/sensors", "site7/sensors");
    out_is(&r, "sensors/a", NULL);
    in_is(&r, "site7/sensors/a", NULL);
    in_is(&r, "commands/x", "hq/commands/x");
    in_is(&r, "commands/x/y", NULL);
    out_is(&r, "hq/commands/x", NULL);
    out_is(&r, "chat/1", "chat/1");
    in_is(&r, "chat/1", "chat/1");
    routes_fini(&r);
}

static void an_empty_pattern_maps_one_topic(void **state)
{
    static const char *const lines[][WORDS] = {
        {"both", "", "local_prefix", "here/it", "remote_prefix", "there/that"},
        {"in", "#", "local_prefix", "", "remote_prefix", "all/"},
    };
    struct routes r = read_lines(lines, 2);

    out_is(&r, "here/it", "there/that");
    in_is(&r, "there/that", "here/it");
    out_is(&r, "here/it/x", NULL);
    in_is(&r, "all/x", "x");
    in_is(&r, "all/", NULL); /* nothing would be left of it */
    routes_fini(&r);
}

static void shared_subscriptions(void **state)
{
    static const char *const lines[][WORDS] = {
        {"in", "jobs/#", "share", "skeps", "remote_prefix", "r/"},
    };
    struct routes r = read_lines(lines, 1);

    assert_string_equal(r.items[0].subscribed, "$share/skeps/r/jobs/#");
    in_is(&r, "r/jobs/1", "jobs/1");
    routes_fini(&r);
}

static void too_long_a_name_is_none(void **state)
{
    static const char *const lines[][WORDS] = {{"out", "#", "remote_prefix", "abcdef/"}};
    struct routes r = read_lines(lines, 1);
    char *topic = malloc(65530);
    struct buf out = {0};

    memset(topic, 'x', 65530);
    assert_non_null(route_out(&r, skep_bytes(topic, 65528), &out));
    assert_null(route_out(&r, skep_bytes(topic, 65529), &out));
    free(topic);
    buf_fini(&out);
    routes_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_change_on_the_way),
        cmocka_unit_test(an_empty_pattern_maps_one_topic),
        cmocka_unit_test(shared_subscriptions),
        cmocka_unit_test(too_long_a_name_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
