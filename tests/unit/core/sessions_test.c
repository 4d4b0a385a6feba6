/* The table of sessions: claims, takeover, expiry, wills with delay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/will.h"
#include "rig.h"

static void give_will(struct peer *p, const char *payload, uint32_t delay)
{
    struct mqtt_will will = {.topic = STR("will"),
                             .payload = str_of(payload),
                             .qos = 1,
                             .delay = delay,
                             .expiry = UINT32_MAX};
    will_set(p->s, &will, STR_NONE);
}

/* Somebody who hears the wills. */
static struct peer *listener(struct rig *r)
{
    struct peer *p = peer_connect(r, 2, MQTT_50, "listener", 0);
    peer_subscribe(p, "will", 0);
    return p;
}

static void a_session_lasts_as_long_as_its_expiry(void **state) /* [MQTT-3.1.2-23] [MQTT-4.1.0-2] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 10);

    assert_false(p->present); /* [MQTT-3.2.2-3] [MQTT-3.1.2-6] */
    peer_subscribe(p, "t", 1);
    peer_leave(p);
    rig_wait(r, 9999);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 10);
    assert_true(p->present); /* [MQTT-3.1.2-5] */
    peer_leave(p);
    rig_wait(r, 10000);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    assert_int_equal(rig_publish(r, "t", "x", 1).targets, 0);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 10);
    assert_false(p->present);
    peer_free(&p);
    rig_close(&r);
}

static void expiry_0_ends_with_the_connection_and_never_never(void **state) /* [MQTT-3.1.2-6] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 0), *q;

    peer_leave(p);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    q = peer_connect(r, 0, MQTT_311, "d", EXPIRY_NEVER);
    peer_leave(q);
    rig_wait(r, 1000ull * 60 * 60 * 24 * 365 * 200);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void clean_start_throws_the_old_session_away(void **state) /* [MQTT-3.1.2-4] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 100);
    uint64_t serial = p->s->serial;

    peer_subscribe(p, "t", 1);
    peer_leave(p);
    rig_publish(r, "t", "old", 1);
    assert_int_equal(peer_claim(p, "c", NULL, true), CLAIM_GRANTED);
    peer_attach(p, 100);
    assert_false(p->present); /* [MQTT-3.2.2-2] */
    assert_int_not_equal(p->s->serial, serial);
    assert_int_equal(rig_publish(r, "t", "x", 1).targets, 0);
    peer_expect_nothing(p);
    struct ledger_sum sum;
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_session_ended, 1);
    peer_free(&p);
    rig_close(&r);
}

static void a_second_connection_takes_over_what_there_is(void **state) /* [MQTT-3.1.4-3] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60), *q = peer_new(r, 1, MQTT_50);

    peer_subscribe(p, "t", 1);
    rig_publish(r, "t", "x", 1);
    rig_turn(r);
    peer_expect(p, "x", 1);
    assert_int_equal(peer_claim(q, "c", NULL, false), CLAIM_WAITING);
    assert_int_equal(p->kicked, RC_TAKEN_OVER);
    assert_false(q->answered);
    peer_leave(p);
    assert_true(q->answered);
    peer_attach(q, 60);
    assert_true(q->present);
    assert_true(peer_expect(q, "x", 1).dup);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1);
    assert_int_equal(sessions_stats(r->broker->sessions).connected, 1);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void taking_over_a_clean_session_begins_anew(void **state)
{
    struct rig *r = rig_open(NULL);

    for (int clean = 0; clean < 2; clean++) {
        /* The old session ends with its connection, or the new connection wants none of it. */
        struct peer *p = peer_connect(r, 0, MQTT_311, "c", clean ? 60 : 0);
        struct peer *q = peer_new(r, 1, MQTT_311);
        peer_subscribe(p, "t", 1);
        assert_int_equal(peer_claim(q, "c", NULL, clean), CLAIM_WAITING);
        peer_leave(p);
        peer_attach(q, 0);
        assert_false(q->present);
        assert_int_equal(rig_publish(r, "t", "x", 1).targets, 0);
        peer_free(&p);
        peer_free(&q);
    }
    rig_close(&r);
}

static void the_newest_claim_wins(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60);
    struct peer *q[3] = {peer_new(r, 1, MQTT_50), peer_new(r, 2, MQTT_50), peer_new(r, 0, MQTT_50)};

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(peer_claim(q[i], "c", NULL, false), CLAIM_WAITING);
    assert_true(q[0]->answered && q[0]->claimed == CLAIM_SUPERSEDED);
    assert_true(q[1]->answered && q[1]->claimed == CLAIM_SUPERSEDED);
    assert_false(q[2]->answered);
    peer_leave(p);
    assert_true(q[2]->answered && q[2]->claimed == CLAIM_GRANTED);
    peer_attach(q[2], 60);
    assert_true(q[2]->present);
    peer_free(&p);
    for (unsigned i = 0; i < 3; i++)
        peer_free(&q[i]);
    rig_close(&r);
}

static void a_claim_can_be_withdrawn(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60), *q = peer_new(r, 1, MQTT_50);

    assert_int_equal(peer_claim(q, "c", NULL, false), CLAIM_WAITING);
    assert_true(sessions_cancel(q->w, &q->claim));
    assert_false(sessions_cancel(q->w, &q->claim));
    peer_leave(p);
    assert_false(q->answered);
    assert_int_equal(sessions_stats(r->broker->sessions).connected, 0);
    assert_int_equal(peer_claim(q, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(q, 60);
    assert_true(q->present);
    assert_false(sessions_cancel(q->w, &q->claim)); /* too late */
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

/* Granted but not attached yet: whoever claims now has nobody to kick, and waits. */
static void a_claim_between_grant_and_attach_is_not_forgotten(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_new(r, 0, MQTT_50), *q = peer_new(r, 1, MQTT_50);

    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    assert_int_equal(peer_claim(q, "c", NULL, false), CLAIM_WAITING);
    assert_int_equal(p->kicked, 0);
    peer_attach(p, 60);
    sessions_attached(p->w, p->s);
    assert_int_equal(p->kicked, RC_TAKEN_OVER);
    peer_leave(p);
    assert_true(q->answered);
    peer_attach(q, 60);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void a_session_belongs_to_its_user(void **state) /* S3 */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_new(r, 0, MQTT_50), *q = peer_new(r, 1, MQTT_50);

    assert_int_equal(peer_claim(p, "c", "ann", false), CLAIM_GRANTED);
    peer_attach(p, 60);
    assert_int_equal(peer_claim(q, "c", "bob", true), CLAIM_FOREIGN);
    assert_int_equal(peer_claim(q, "c", NULL, true), CLAIM_FOREIGN);
    assert_int_equal(p->kicked, 0);
    peer_leave(p);
    assert_int_equal(peer_claim(q, "c", "", true), CLAIM_FOREIGN); /* an empty name is a name */
    assert_int_equal(peer_claim(q, "c", "ann", true), CLAIM_GRANTED);
    peer_attach(q, 60);
    peer_leave(q);
    assert_int_equal(peer_claim(q, "c", "bob", true), CLAIM_FOREIGN); /* also the new one */
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

/* Under another mount point the topics in its queue would mean something else. */
static void a_session_stays_behind_its_mount_point(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60), *q = peer_new(r, 1, MQTT_50);

    for (int attached = 0; attached < 2; attached++) {
        uint64_t serial = p->s->serial;
        if (!attached)
            peer_leave(p);
        q->claim = (struct claim){.client_id = STR("c"), .realm = 7, .ready = peer_ready};
        q->claimed = sessions_claim(q->w, &q->claim);
        if (attached)
            peer_leave(p);
        peer_attach(q, 60);
        assert_false(q->present);
        assert_int_not_equal(q->s->serial, serial);
        peer_leave(q);
        assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
        peer_attach(p, 60);
        assert_false(p->present); /* nor back again */
    }
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void the_table_has_a_limit(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p, *q = peer_new(r, 1, MQTT_50);

    r->limits.max_sessions = 1;
    rig_limit(r);
    p = peer_connect(r, 0, MQTT_50, "c", 60);
    assert_int_equal(peer_claim(q, "d", NULL, true), CLAIM_LIMIT);
    peer_leave(p);
    assert_int_equal(peer_claim(q, "d", NULL, true), CLAIM_LIMIT);
    assert_int_equal(peer_claim(p, "c", NULL, true), CLAIM_GRANTED); /* in its own place */
    peer_attach(p, 0);
    peer_leave(p);
    assert_int_equal(peer_claim(q, "d", NULL, true), CLAIM_GRANTED);
    peer_attach(q, 0);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void a_will_goes_out_when_the_connection_ends(
    void **state) /* [MQTT-3.1.2-8] [MQTT-3.1.2-10] */
{
    struct rig *r = rig_open(NULL);
    struct peer *l = listener(r), *p = peer_connect(r, 0, MQTT_50, "c", 60);

    give_will(p, "bye", 0);
    peer_leave(p);
    rig_turn(r);
    peer_expect(l, "bye", 0);
    rig_wait(r, 100000); /* and never again */
    peer_expect_nothing(l);
    p = (peer_free(&p), peer_connect(r, 0, MQTT_50, "c", 60));
    give_will(p, "kept", 0);
    will_free(&p->s->will); /* as DISCONNECT 0x00 does [MQTT-3.14.4-3] */
    peer_leave(p);
    rig_turn(r);
    peer_expect_nothing(l);
    peer_free(&l);
    peer_free(&p);
    rig_close(&r);
}

static void a_delayed_will_is_never_early_and_hardly_late(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *l = listener(r), *p = peer_connect(r, 0, MQTT_50, "c", 60);

    give_will(p, "late", 5);
    peer_leave(p);
    rig_wait(r, 4999);
    peer_expect_nothing(l);
    rig_wait(r, 1);
    peer_expect(l, "late", 0);
    rig_wait(r, 100000);
    peer_expect_nothing(l);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1); /* the listener */
    peer_free(&l);
    peer_free(&p);
    rig_close(&r);
}

static void the_end_of_the_session_does_not_wait_for_the_will_delay(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *l = listener(r), *p = peer_connect(r, 0, MQTT_50, "c", 3), *q;

    give_will(p, "ended", 50);
    peer_leave(p);
    rig_wait(r, 2999);
    peer_expect_nothing(l);
    rig_wait(r, 1);
    peer_expect(l, "ended", 0);

    /* Nor does a clean start, nor the end by a takeover. */
    q = peer_connect(r, 0, MQTT_50, "d", 100);
    give_will(q, "cleaned", 50);
    peer_leave(q);
    assert_int_equal(peer_claim(p, "d", NULL, true), CLAIM_GRANTED);
    peer_attach(p, 0);
    rig_turn(r);
    peer_expect(l, "cleaned", 0);
    give_will(p, "over", 50); /* of a session that ends with its connection */
    peer_leave(p);
    rig_turn(r);
    peer_expect(l, "over", 0);
    peer_free(&l);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

static void back_in_time_no_will_is_sent(void **state) /* [MQTT-3.1.3-9] */
{
    struct rig *r = rig_open(NULL);
    struct peer *l = listener(r), *p = peer_connect(r, 0, MQTT_50, "c", 60);

    give_will(p, "no", 5);
    peer_leave(p);
    rig_wait(r, 4000);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    rig_wait(r, 10000);
    peer_expect_nothing(l);

    /* Taken over: the same; without a delay it goes out at once. */
    struct peer *q = peer_new(r, 1, MQTT_50);
    give_will(p, "no", 5);
    assert_int_equal(peer_claim(q, "c", NULL, false), CLAIM_WAITING);
    peer_leave(p);
    peer_attach(q, 60);
    rig_wait(r, 10000);
    peer_expect_nothing(l);
    give_will(q, "now", 0);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_WAITING);
    peer_leave(q);
    peer_attach(p, 60);
    rig_turn(r);
    peer_expect(l, "now", 0);
    peer_free(&l);
    peer_free(&p);
    peer_free(&q);
    rig_close(&r);
}

/* The tick comes once a second, a client when it likes. */
static void what_is_due_is_done_before_the_client_is_back(void **state) /* [MQTT-3.1.2-8] */
{
    struct rig *r = rig_open(NULL);
    struct peer *w = listener(r), *p = peer_connect(r, 0, MQTT_50, "c", 10);

    give_will(p, "late", 5);
    peer_leave(p);
    r->now_ms += 5000;
    rig_turn(r); /* without a tick */
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 10);
    assert_true(p->present);
    rig_turn(r);
    peer_expect(w, "late", 0);

    peer_subscribe(p, "t", 1);
    peer_leave(p);
    r->now_ms += 10000;
    rig_turn(r);
    assert_int_equal(peer_claim(p, "c", NULL, false), CLAIM_GRANTED); /* [MQTT-4.1.0-2] */
    peer_attach(p, 10);
    assert_false(p->present);
    assert_int_equal(rig_publish(r, "t", "x", 1).targets, 0);
    peer_leave(p);
    rig_wait(r, 10000);
    peer_expect_nothing(w);
    peer_free(&p);
    peer_free(&w);
    rig_close(&r);
}

static void thousands_due_at_once_are_all_done_in_that_second(void **state)
{
    enum { MANY = 5000 };
    struct rig *r = rig_open(NULL);
    struct peer *l = listener(r);

    for (unsigned i = 0; i < MANY; i++) {
        char id[16];
        snprintf(id, sizeof id, "c%u", i);
        struct peer *p = peer_connect(r, 0, MQTT_50, id, 10);
        give_will(p, "w", 5);
        peer_free(&p);
    }
    r->now_ms += 5000;
    rig_turn(r);
    unsigned ticks = 1;
    while (broker_tick(r->workers[0]))
        ticks++;
    assert_in_range(ticks, 2, MANY); /* in slices, but one after the other */
    rig_turn(r);
    assert_int_equal(peer_drain(l), MANY);
    r->now_ms += 5000;
    rig_turn(r);
    while (broker_tick(r->workers[0]))
        ;
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1);
    peer_free(&l);
    rig_close(&r);
}

static void assigned_ids_are_new(void **state) /* [MQTT-3.2.2-16] [MQTT-3.1.3-6] */
{
    struct rig *r = rig_open(NULL);
    char a[64], b[64];
    size_t len = sessions_assign_id(r->workers[0], a, sizeof a);

    assert_int_equal(len, strlen("skep-") + 16);
    assert_int_equal(sessions_assign_id(r->workers[0], b, sizeof b), len);
    assert_memory_not_equal(a, b, len);
    rig_close(&r);
}

static void one_can_be_kicked_by_name(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = peer_connect(r, 0, MQTT_50, "c", 60);

    assert_false(sessions_kick(r->broker->sessions, STR("nobody"), RC_ADMINISTRATIVE));
    assert_true(sessions_kick(r->broker->sessions, STR("c"), RC_ADMINISTRATIVE));
    assert_int_equal(p->kicked, RC_ADMINISTRATIVE);
    peer_leave(p);
    assert_false(sessions_kick(r->broker->sessions, STR("c"), RC_ADMINISTRATIVE));
    peer_free(&p);
    rig_close(&r);
}

static void thousands_of_sessions_are_found_again(void **state) /* [MQTT-3.1.3-2] */
{
    enum { MANY = 5000 };
    struct rig *r = rig_open(NULL);

    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            char id[16];
            snprintf(id, sizeof id, "c%u", i);
            struct peer *p = peer_connect(r, i % RIG_WORKERS, MQTT_50, id, 60);
            assert_int_equal(p->present, round);
            peer_free(&p);
        }
    }
    assert_int_equal(sessions_stats(r->broker->sessions).total, MANY);
    rig_wait(r, 60000);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_lasts_as_long_as_its_expiry),
        cmocka_unit_test(expiry_0_ends_with_the_connection_and_never_never),
        cmocka_unit_test(clean_start_throws_the_old_session_away),
        cmocka_unit_test(a_second_connection_takes_over_what_there_is),
        cmocka_unit_test(taking_over_a_clean_session_begins_anew),
        cmocka_unit_test(the_newest_claim_wins),
        cmocka_unit_test(a_claim_can_be_withdrawn),
        cmocka_unit_test(a_claim_between_grant_and_attach_is_not_forgotten),
        cmocka_unit_test(a_session_belongs_to_its_user),
        cmocka_unit_test(a_session_stays_behind_its_mount_point),
        cmocka_unit_test(the_table_has_a_limit),
        cmocka_unit_test(a_will_goes_out_when_the_connection_ends),
        cmocka_unit_test(a_delayed_will_is_never_early_and_hardly_late),
        cmocka_unit_test(the_end_of_the_session_does_not_wait_for_the_will_delay),
        cmocka_unit_test(back_in_time_no_will_is_sent),
        cmocka_unit_test(what_is_due_is_done_before_the_client_is_back),
        cmocka_unit_test(thousands_due_at_once_are_all_done_in_that_second),
        cmocka_unit_test(assigned_ids_are_new),
        cmocka_unit_test(one_can_be_kicked_by_name),
        cmocka_unit_test(thousands_of_sessions_are_found_again),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
