/* From a publication to its targets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/retained.h"
#include "rig.h"

static void each_gets_it_at_the_lower_qos(void **state) /* [MQTT-3.8.4-8] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p[3];

    for (unsigned i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        p[i] = peer_connect(r, i, MQTT_311, id, 0);
        peer_subscribe(p[i], "a/+", i);
    }
    for (unsigned qos = 0; qos < 3; qos++) {
        assert_int_equal(rig_publish(r, "a/b", "x", qos).targets, 3);
        rig_turn(r);
        for (unsigned i = 0; i < 3; i++)
            peer_expect(p[i], "x", i < qos ? i : qos);
    }
    r->limits.upgrade_outgoing_qos = true;
    rig_limit(r);
    rig_publish(r, "a/b", "x", 0);
    rig_turn(r);
    for (unsigned i = 0; i < 3; i++) {
        peer_expect(p[i], "x", i);
        peer_free(&p[i]);
    }
    rig_close(&r);
}

/* [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] */
static void overlapping_subscriptions_give_one_copy_with_all_identifiers(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 1, MQTT_50, "c", 0), *q = peer_connect(r, 2, MQTT_311, "d", 0);
    bool seen[4] = {false};

    peer_subscribe_with(p, "a/b", 0, 1);
    peer_subscribe_with(p, "a/+", 2 | SUB_RETAIN_AS_PUBLISHED, 200);
    peer_subscribe_with(p, "#", 1, 70000);
    peer_subscribe_with(p, "a/#", 1, 0);
    peer_subscribe_with(q, "#", 1, 0);
    struct publication pub = rig_publication("a/b", "x", 2);
    pub.retain = true;
    assert_int_equal(rig_publish_as(r->workers[0], &pub).targets, 2);
    rig_turn(r);
    struct packet got = peer_expect(p, "x", 2);
    peer_expect_nothing(p);
    assert_true(got.retain); /* one of them asked for it [MQTT-3.3.1-13] */
    assert_int_equal(got.sub_id_count, 3);
    for (unsigned i = 0; i < 3; i++)
        seen[got.sub_ids[i] == 1       ? 0
             : got.sub_ids[i] == 200   ? 1
             : got.sub_ids[i] == 70000 ? 2
                                       : 3] = true;
    assert_true(seen[0] && seen[1] && seen[2]);
    got = peer_expect(q, "x", 1);
    assert_false(got.retain); /* [MQTT-3.3.1-12] */
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void identifiers_do_not_show_before_mqtt_5(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 1, MQTT_50, "c", 60);

    peer_subscribe_with(p, "a/b", 1, 5);
    peer_subscribe_with(p, "a/+", 1, 6);
    peer_leave(p);
    p->link.version = MQTT_311;
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    rig_publish(r, "a/b", "x", 1);
    rig_turn(r);
    peer_expect(p, "x", 1);
    peer_free(&p);
    rig_close(&r);
}

static void a_hundred_overlapping_sessions_get_one_each(void **state)
{
    enum { PEERS = 700 };
    struct rig *r = rig_open(NULL);
    static struct peer *p[PEERS];

    for (unsigned i = 0; i < PEERS; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%u", i);
        p[i] = peer_connect(r, i % RIG_WORKERS, MQTT_311, id, 0);
        peer_subscribe(p[i], "a/b/c", 0);
        peer_subscribe(p[i], "a/+/c", 0);
        peer_subscribe(p[i], "#", 0);
    }
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rig_publish(r, "a/b/c", "x", 0).targets, PEERS);
        rig_turn(r);
        for (unsigned i = 0; i < PEERS; i++) {
            peer_expect(p[i], "x", 0);
            peer_expect_nothing(p[i]);
        }
    }
    for (unsigned i = 0; i < PEERS; i++)
        peer_free(&p[i]);
    rig_close(&r);
}

static void no_local_keeps_ones_own_messages_away(void **state) /* [MQTT-3.8.3-3] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60), *q = peer_connect(r, 1, MQTT_50, "d", 0);

    peer_subscribe_with(p, "a", 1 | SUB_NO_LOCAL, 0);
    peer_subscribe_with(q, "a", 1 | SUB_NO_LOCAL, 0);
    struct publication pub = rig_publication("a", "mine", 1);
    pub.publisher = p->s->serial;
    assert_int_equal(rig_publish_as(p->w, &pub).targets, 1);
    rig_turn(r);
    peer_expect_nothing(p);
    peer_expect(q, "mine", 1);
    /* The session is what counts, not the connection. */
    peer_leave(p);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    pub.publisher = p->s->serial;
    rig_publish_as(p->w, &pub);
    rig_turn(r);
    peer_expect_nothing(p);
    /* With another subscription that wants it, it comes. */
    peer_subscribe_with(p, "+", 0, 0);
    rig_publish_as(p->w, &pub);
    rig_turn(r);
    peer_expect(p, "mine", 0);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void retained_messages_are_kept_replaced_and_cleared(void **state)
{
    struct rig *r = rig_open(NULL);
    struct publication pub = rig_publication("a", "1", 1);
    struct ledger_sum sum;

    rig_publish_as(r->workers[0], &pub); /* not retained: not kept [MQTT-3.3.1-8] */
    assert_null(retained_get(r->broker->retained, STR("a"), r->now_ms));
    pub.retain = true;
    rig_publish_as(r->workers[0], &pub); /* [MQTT-3.3.1-5] */
    pub.payload = STR("2");
    rig_publish_as(r->workers[0], &pub);
    struct message *m = retained_get(r->broker->retained, STR("a"), r->now_ms);
    assert_non_null(m);
    assert_int_equal(m->qos, 1);
    assert_text((const uint8_t *)message_payload(m).ptr, m->payload_len, "2");
    struct peer *p = peer_connect(r, 0, MQTT_311, "c", 0);
    peer_subscribe(p, "a", 1);
    pub.payload = STR("");
    rig_publish_as(r->workers[0], &pub); /* [MQTT-3.3.1-6] [MQTT-3.3.1-7] */
    assert_null(retained_get(r->broker->retained, STR("a"), r->now_ms));
    rig_turn(r);
    peer_expect(p, "", 1);
    rig_sum(r, &sum);
    assert_int_equal(sum.retained_set, 2);
    assert_int_equal(sum.retained_cleared, 1);
    peer_free(&p);
    rig_close(&r);
}

static void a_retained_message_above_the_limit_is_refused(void **state)
{
    struct rig *r = rig_open(NULL);
    struct ledger_sum sum;

    r->limits.max_retained_messages = 1;
    rig_limit(r);
    struct publication pub = rig_publication("a", "1", 1);
    pub.retain = true;
    assert_false(rig_publish_as(r->workers[0], &pub).retain_refused);
    pub.topic = STR("b");
    assert_true(rig_publish_as(r->workers[0], &pub).retain_refused);
    rig_sum(r, &sum);
    assert_int_equal(sum.refused_quota, 1);
    assert_int_equal(sum.accepted, 1);
    rig_close(&r);
}

static void retained_messages_expire(void **state)
{
    struct rig *r = rig_open(NULL);
    struct publication pub = rig_publication("a", "1", 0);

    pub.retain = true;
    pub.expiry = 10;
    rig_publish_as(r->workers[0], &pub);
    rig_wait(r, 9999);
    assert_non_null(retained_get(r->broker->retained, STR("a"), r->now_ms));
    rig_wait(r, 1);
    assert_null(retained_get(r->broker->retained, STR("a"), r->now_ms));
    rig_wait(r, 250);
    assert_int_equal(retained_stats(r->broker->retained).messages, 0);
    rig_close(&r);
}

static void the_broker_may_shorten_an_expiry(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.message_expiry_max = 5;
    rig_limit(r);
    p = peer_connect(r, 0, MQTT_50, "c", 60);
    peer_subscribe(p, "a", 1);
    struct publication pub = rig_publication("a", "long", 1);
    pub.expiry = 1000;
    rig_publish_as(r->workers[0], &pub);
    rig_turn(r);
    assert_int_equal(peer_expect(p, "long", 1).expiry, 5);
    peer_free(&p);
    rig_close(&r);
}

static void who_publishes_learns_what_became_of_it(void **state)
{
    struct rig *r = rig_open(NULL);
    struct ledger_sum sum;
    struct peer *p;

    assert_int_equal(rig_publish(r, "nobody", "x", 1).targets, 0);
    r->limits.max_queue_messages = 1;
    rig_limit(r);
    p = peer_connect(r, 0, MQTT_311, "c", 60);
    peer_subscribe(p, "a", 1);
    peer_leave(p);
    assert_int_equal(rig_publish(r, "a", "x", 1).full, 0);
    assert_int_equal(rig_publish(r, "a", "x", 1).full, 1);
    rig_sum(r, &sum);
    assert_int_equal(sum.received_qos1, 3);
    assert_int_equal(sum.accepted, 2);
    assert_int_equal(sum.accepted_unmatched, 1);
    assert_int_equal(sum.refused_quota, 1);
    peer_free(&p);
    rig_close(&r);
}

static void the_brokers_own_messages_are_not_received(void **state)
{
    struct rig *r = rig_open(NULL);
    struct publication pub = rig_publication("$SYS/x", "1", 0);
    struct ledger_sum sum;

    pub.internal = pub.retain = true;
    rig_publish_as(r->workers[0], &pub);
    rig_sum(r, &sum);
    assert_int_equal(ledger_received(&sum), 0);
    assert_int_equal(sum.accepted, 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_it_at_the_lower_qos),
        cmocka_unit_test(overlapping_subscriptions_give_one_copy_with_all_identifiers),
        cmocka_unit_test(identifiers_do_not_show_before_mqtt_5),
        cmocka_unit_test(a_hundred_overlapping_sessions_get_one_each),
        cmocka_unit_test(no_local_keeps_ones_own_messages_away),
        cmocka_unit_test(retained_messages_are_kept_replaced_and_cleared),
        cmocka_unit_test(a_retained_message_above_the_limit_is_refused),
        cmocka_unit_test(retained_messages_expire),
        cmocka_unit_test(the_broker_may_shorten_an_expiry),
        cmocka_unit_test(who_publishes_learns_what_became_of_it),
        cmocka_unit_test(the_brokers_own_messages_are_not_received),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
