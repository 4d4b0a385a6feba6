/* Subscribing and unsubscribing sessions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "rig.h"

static void the_same_filter_again_replaces(void **state) /* [MQTT-3.8.4-3] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0);

    assert_false(peer_subscribe_with(p, "a/+", 2, 5));
    assert_true(peer_subscribe_with(p, "a/+", 1, 6));
    assert_int_equal(p->s->subs.count, 1);
    rig_publish(r, "a/b", "x", 2);
    rig_turn(r);
    struct packet got = peer_expect(p, "x", 1);
    assert_int_equal(got.sub_id_count, 1);
    assert_int_equal(got.sub_ids[0], 6);
    assert_true(peer_subscribe_with(p, "a/+", 1, 0));
    rig_publish(r, "a/b", "x", 2);
    rig_turn(r);
    assert_int_equal(peer_expect(p, "x", 1).sub_id_count, 0);
    peer_free(&p);
    rig_close(&r);
}

static void unsubscribing_stops_what_is_new_and_finishes_what_began(void **state)
{ /* [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-3] */
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0);

    peer_subscribe(p, "a/b", 1);
    peer_subscribe(p, "a/#", 1);
    p->link.quota = 1;
    rig_publish(r, "a/b", "1", 1);
    rig_publish(r, "a/b", "2", 1);
    rig_turn(r);
    assert_false(session_unsubscribe(p->w, p->s, STR("a/")));
    assert_false(session_unsubscribe(p->w, p->s, STR("A/B")));
    assert_false(session_unsubscribe(p->w, p->s, STR("a/+")));
    assert_true(session_unsubscribe(p->w, p->s, STR("a/b")));
    assert_true(session_unsubscribe(p->w, p->s, STR("a/#")));
    assert_false(session_unsubscribe(p->w, p->s, STR("a/#")));
    assert_int_equal(rig_publish(r, "a/b", "3", 1).targets, 0);
    peer_expect(p, "1", 1);
    assert_int_equal(session_puback(p->w, p->s, 1, 0), 0);
    rig_turn(r);
    peer_expect(p, "2", 1);
    peer_expect_nothing(p);
    peer_free(&p);
    rig_close(&r);
}

static void a_filter_of_another_session_is_not_ours(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0), *q = peer_connect(r, 1, MQTT_50, "d", 0);

    peer_subscribe(p, "a", 1);
    peer_subscribe(p, "$share/g/a", 1);
    assert_false(session_unsubscribe(q->w, q->s, STR("a")));
    assert_false(session_unsubscribe(q->w, q->s, STR("$share/g/a")));
    assert_int_equal(rig_publish(r, "a", "x", 0).targets, 2);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void a_session_has_so_many_and_no_more(void **state) /* C3 */
{
    struct rig *r = rig_open(NULL);
    struct peer *p;
    bool existed;

    r->limits.max_subscriptions = 3;
    rig_limit(r);
    p = peer_connect(r, 0, MQTT_50, "c", 0);
    peer_subscribe(p, "a", 1);
    peer_subscribe(p, "b/+", 1);
    peer_subscribe(p, "$share/g/c", 1);
    struct subscribe_request request = {.filter = STR("d")};
    assert_int_equal(session_subscribe(p->w, p->s, &request, &existed), ERR_LIMIT);
    request.filter = STR("$share/g/d");
    assert_int_equal(session_subscribe(p->w, p->s, &request, &existed), ERR_LIMIT);
    assert_true(peer_subscribe_with(p, "b/+", 0, 0)); /* a replacement is none more */
    assert_true(peer_subscribe_with(p, "$share/g/c", 0, 0));
    assert_true(session_unsubscribe(p->w, p->s, STR("a")));
    peer_subscribe(p, "d", 1);
    peer_free(&p);
    rig_close(&r);
}

static void note(void *arg, struct str filter, const struct subscription *sub)
{
    char *text = arg;
    size_t len = strlen(text);
    snprintf(text + len, 200 - len, "%.*s:%u ", STR_ARG(filter), sub->id);
}

static void all_of_them_can_be_listed(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0);
    char text[200] = "";

    peer_subscribe_with(p, "a/+/c", 1, 1);
    peer_subscribe_with(p, "plain", 1, 2);
    peer_subscribe_with(p, "$share/g/x/#", 1, 3);
    session_each_subscription(p->s, note, text);
    assert_non_null(strstr(text, "a/+/c:1 "));
    assert_non_null(strstr(text, "plain:2 "));
    assert_non_null(strstr(text, "$share/g/x/#:3 "));
    peer_free(&p);
    rig_close(&r);
}

static void a_session_that_ends_leaves_no_subscription(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0);
    char filter[16];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(filter, sizeof filter, i % 3 ? "a/%u" : i % 2 ? "b/%u/+" : "$share/g/%u", i);
        peer_subscribe(p, filter, 1);
    }
    assert_int_equal(p->s->subs.count, 1000);
    peer_leave(p);
    assert_int_equal(subs_stats(r->broker->subs).subscriptions, 0);
    peer_free(&p);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_filter_again_replaces),
        cmocka_unit_test(unsubscribing_stops_what_is_new_and_finishes_what_began),
        cmocka_unit_test(a_filter_of_another_session_is_not_ours),
        cmocka_unit_test(a_session_has_so_many_and_no_more),
        cmocka_unit_test(all_of_them_can_be_listed),
        cmocka_unit_test(a_session_that_ends_leaves_no_subscription),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
