/* Shared subscriptions: who of a group gets what [MQTT 4.8.2]. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/share.h"
#include "rig.h"

enum { MEMBERS = 3 };

struct group {
    struct rig *r;
    struct peer *p[MEMBERS];
};

static void group_open(struct group *g, enum share_strategy strategy, unsigned qos)
{
    g->r = rig_open(NULL);
    g->r->limits.share_strategy = strategy;
    rig_limit(g->r);
    for (unsigned i = 0; i < MEMBERS; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        g->p[i] = peer_connect(g->r, i, MQTT_50, id, 60);
        peer_subscribe(g->p[i], "$share/g/t/+", qos);
    }
}

static void group_close(struct group *g)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        peer_free(&g->p[i]);
    rig_close(&g->r);
}

static void publish(struct group *g, unsigned count, unsigned qos)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(rig_publish(g->r, "t/x", "m", qos).targets, 1);
    rig_turn(g->r);
}

static void round_robin_gives_each_its_turn(void **state)
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    publish(&g, 30, 1);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(peer_drain(g.p[i]), 10);
    group_close(&g);
}

static void sticky_stays_with_one_while_it_can(void **state)
{
    struct group g;
    unsigned got[MEMBERS], total = 0, chosen = 0;

    group_open(&g, SHARE_STICKY, 1);
    publish(&g, 30, 1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        got[i] = peer_drain(g.p[i]);
        total += got[i];
        if (got[i])
            chosen = i;
    }
    assert_int_equal(total, 30);
    assert_int_equal(got[chosen], 30);
    peer_leave(g.p[chosen]);
    publish(&g, 30, 1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        unsigned n = peer_drain(g.p[i]);
        assert_true(n == 0 || n == 30);
        assert_true(n == 0 || i != chosen);
    }
    group_close(&g);
}

static void hash_goes_by_the_publisher(void **state)
{
    struct group g;

    group_open(&g, SHARE_HASH, 0);
    for (uint32_t publisher = 1; publisher < 40; publisher++) {
        struct publication pub = rig_publication("t/x", "m", 0);
        pub.publisher_hash = publisher * 2654435761u;
        for (int i = 0; i < 5; i++)
            rig_publish_as(g.r->workers[0], &pub);
        rig_turn(g.r);
        for (unsigned i = 0; i < MEMBERS; i++) {
            unsigned n = peer_drain(g.p[i]);
            assert_true(n == 0 || n == 5);
        }
    }
    group_close(&g);
}

static void a_group_is_beside_its_members_own_subscriptions(void **state)
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    peer_subscribe(g.p[0], "t/x", 0);
    peer_subscribe(g.p[1], "$share/other/t/x", 1);
    assert_int_equal(rig_publish(g.r, "t/x", "m", 1).targets, 3);
    rig_turn(g.r);
    assert_int_equal(peer_drain(g.p[0]) + peer_drain(g.p[1]) + peer_drain(g.p[2]), 3);
    group_close(&g);
}

static void each_member_has_its_own_options(void **state) /* [MQTT-4.8.2-3] [MQTT-3.3.1-13] */
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 2);
    peer_subscribe_with(g.p[0], "$share/g/t/+", 0, 0);
    peer_subscribe_with(g.p[1], "$share/g/t/+", 1, 77);
    peer_subscribe_with(g.p[2], "$share/g/t/+", 2 | SUB_RETAIN_AS_PUBLISHED, 0);
    struct publication pub = rig_publication("t/x", "m", 2);
    pub.retain = true;
    for (unsigned i = 0; i < MEMBERS; i++)
        rig_publish_as(g.r->workers[0], &pub);
    rig_turn(g.r);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct packet got = peer_expect(g.p[i], "m", i);
        assert_int_equal(got.retain, i == 2);
        assert_int_equal(got.sub_id_count, i == 1);
        if (i == 1)
            assert_int_equal(got.sub_ids[0], 77);
        peer_expect_nothing(g.p[i]);
    }
    group_close(&g);
}

static void those_who_are_there_come_before_those_away(void **state)
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    peer_leave(g.p[0]);
    peer_leave(g.p[1]);
    publish(&g, 10, 1);
    assert_int_equal(peer_drain(g.p[2]), 10);
    peer_leave(g.p[2]);
    publish(&g, 9, 1); /* nobody is there: the queues take turns */
    for (unsigned i = 0; i < MEMBERS; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        g.p[i]->len = g.p[i]->at = 0;
        assert_int_equal(peer_claim(g.p[i], id, NULL, false), CLAIM_GRANTED);
        peer_attach(g.p[i], 60);
        assert_int_equal(peer_drain(g.p[i]), i == 2 ? 13 : 3);
    }
    group_close(&g);
}

static void who_has_no_quota_left_is_passed_over(void **state)
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    g.p[0]->link.quota = 1;
    g.p[1]->link.quota = 1;
    for (int i = 0; i < 12; i++)
        publish(&g, 1, 1);
    assert_int_equal(peer_drain(g.p[0]), 1);
    assert_int_equal(peer_drain(g.p[1]), 1);
    assert_int_equal(peer_drain(g.p[2]), 10);
    group_close(&g);
}

static void a_full_queue_is_passed_over(void **state)
{
    struct group g;
    struct ledger_sum sum;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    g.r->limits.max_queue_messages = 2;
    rig_limit(g.r);
    for (unsigned i = 0; i < MEMBERS; i++)
        peer_leave(g.p[i]);
    publish(&g, 6, 1);
    assert_int_equal(rig_publish(g.r, "t/x", "m", 1).full, 1); /* all of them are full */
    rig_sum(g.r, &sum);
    assert_int_equal(sum.dropped_queue_full, 1); /* one outcome, not three */
    assert_int_equal(sum.routed, 7);
    group_close(&g);
}

static void when_a_member_ends_the_others_get_its_messages(void **state)
{
    struct group g;
    struct packet got;
    unsigned total;
    bool release;

    group_open(&g, SHARE_ROUND_ROBIN, 2);
    publish(&g, 9, 1);
    publish(&g, 9, 2);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(peer_drain(g.p[i]), 6);
    assert_int_equal(session_pubrec(g.p[0]->w, g.p[0]->s, 4, 0, &release), 0);
    g.p[0]->s->expiry = 0;
    peer_leave(g.p[0]);
    rig_turn(g.r);
    /* QoS 1 goes to others; QoS 2 once sent goes to nobody else [MQTT-4.8.2-5]. */
    total = 0;
    for (unsigned i = 1; i < MEMBERS; i++) {
        while (peer_next(g.p[i], &got)) {
            assert_int_equal(got.qos, 1);
            assert_false(got.dup);
            total++;
        }
    }
    assert_int_equal(total, 3);
    struct ledger_sum sum;
    rig_sum(g.r, &sum);
    assert_int_equal(sum.routed, 18);
    assert_int_equal(sum.delivered_qos2, 1); /* it had said PUBREC */
    assert_int_equal(sum.dropped_session_ended, 2);
    rig_check_ledger(g.r);
    group_close(&g);
}

static void a_qos_2_delivery_begun_is_finished_with_that_member(void **state) /* [MQTT-4.8.2-4] */
{
    struct group g;

    group_open(&g, SHARE_STICKY, 2);
    publish(&g, 1, 2);
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct packet got;
        if (!peer_next(g.p[i], &got))
            continue;
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        peer_leave(g.p[i]);
        rig_turn(g.r);
        for (unsigned k = 0; k < MEMBERS; k++)
            assert_int_equal(peer_drain(g.p[k]), 0);
        assert_int_equal(peer_claim(g.p[i], id, NULL, false), CLAIM_GRANTED);
        peer_attach(g.p[i], 60);
        assert_true(peer_expect(g.p[i], "m", 2).dup);
    }
    group_close(&g);
}

static void a_refusal_by_a_member_is_final(void **state) /* [MQTT-4.8.2-6] */
{
    struct group g;
    unsigned total = 0;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    publish(&g, 3, 1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_int_equal(session_puback(g.p[i]->w, g.p[i]->s, 1, 0x83), 0);
        total += peer_drain(g.p[i]);
    }
    rig_turn(g.r);
    for (unsigned i = 0; i < MEMBERS; i++)
        total += peer_drain(g.p[i]);
    assert_int_equal(total, 3);
    group_close(&g);
}

static void the_last_to_leave_takes_the_group_along(void **state)
{
    struct group g;

    group_open(&g, SHARE_ROUND_ROBIN, 1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        assert_non_null(share_find(g.r->workers[0], STR("g"), STR("t/+")));
        assert_true(session_unsubscribe(g.p[i]->w, g.p[i]->s, STR("$share/g/t/+")));
        assert_false(session_unsubscribe(g.p[i]->w, g.p[i]->s, STR("$share/g/t/+")));
    }
    assert_null(share_find(g.r->workers[0], STR("g"), STR("t/+")));
    assert_int_equal(rig_publish(g.r, "t/x", "m", 1).targets, 0);
    group_close(&g);
}

static void many_groups_come_and_go(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0);
    char filter[48];

    r->limits.max_subscriptions = 0;
    rig_limit(r);
    for (unsigned i = 0; i < 70000; i++) { /* more than there are tags */
        snprintf(filter, sizeof filter, "$share/g%u/t", i);
        peer_subscribe(p, filter, 0);
        if (i >= 300) {
            snprintf(filter, sizeof filter, "$share/g%u/t", i - 300);
            assert_true(session_unsubscribe(p->w, p->s, str_of(filter)));
        }
        if (i % 1000 == 0)
            rig_turn(r);
    }
    assert_int_equal(rig_publish(r, "t", "x", 0).targets, 300);
    rig_turn(r);
    assert_int_equal(peer_drain(p), 300);
    peer_free(&p);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_gives_each_its_turn),
        cmocka_unit_test(sticky_stays_with_one_while_it_can),
        cmocka_unit_test(hash_goes_by_the_publisher),
        cmocka_unit_test(a_group_is_beside_its_members_own_subscriptions),
        cmocka_unit_test(each_member_has_its_own_options),
        cmocka_unit_test(those_who_are_there_come_before_those_away),
        cmocka_unit_test(who_has_no_quota_left_is_passed_over),
        cmocka_unit_test(a_full_queue_is_passed_over),
        cmocka_unit_test(when_a_member_ends_the_others_get_its_messages),
        cmocka_unit_test(a_qos_2_delivery_begun_is_finished_with_that_member),
        cmocka_unit_test(a_refusal_by_a_member_is_final),
        cmocka_unit_test(the_last_to_leave_takes_the_group_along),
        cmocka_unit_test(many_groups_come_and_go),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
