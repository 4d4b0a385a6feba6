/* One session: its queues and their limits, acknowledgements, resumption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

static uint64_t dropped_full(struct rig *r)
{
    struct ledger_sum sum;
    rig_sum(r, &sum);
    return sum.dropped_queue_full;
}

static void resume(struct peer *p)
{
    p->len = p->at = 0;
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
}

static struct peer *subscriber(struct rig *r, unsigned qos)
{
    struct peer *p = peer_connect(r, 1, MQTT_50, "sub", 60);
    peer_subscribe(p, "t/#", qos);
    return p;
}

static void publish_numbers(struct rig *r, unsigned from, unsigned to, unsigned qos)
{
    char text[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(text, sizeof text, "%u", i);
        rig_publish(r, "t/x", text, qos);
    }
}

static void expect_numbers(struct peer *p, unsigned from, unsigned to, unsigned qos, bool dup)
{
    char text[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_int_equal(peer_expect(p, text, qos).dup, dup);
    }
}

/* [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.2-3] */
static void what_was_not_acknowledged_comes_again_with_its_id_and_dup(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 1);

    publish_numbers(r, 0, 5, 1);
    rig_turn(r);
    expect_numbers(p, 0, 5, 1, false); /* [MQTT-4.3.2-2] */
    assert_int_equal(session_puback(p->w, p->s, 2, 0), 0);
    assert_int_equal(session_puback(p->w, p->s, 4, 0), 0);
    peer_leave(p);
    publish_numbers(r, 5, 7, 1); /* [MQTT-3.1.2-5] */
    resume(p);
    assert_int_equal(peer_expect(p, "0", 1).id, 1);
    assert_int_equal(peer_expect(p, "2", 1).id, 3);
    struct packet got = peer_expect(p, "4", 1);
    assert_int_equal(got.id, 5);
    assert_true(got.dup);
    got = peer_expect(p, "5", 1);
    assert_int_equal(got.id, 6);
    assert_false(got.dup);
    peer_expect(p, "6", 1);
    peer_expect_nothing(p);
    peer_free(&p);
    rig_close(&r);
}

static void qos_2_goes_on_where_it_stopped(void **state) /* [MQTT-4.3.3-6] [MQTT-4.3.3-5] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 2);
    struct packet got;
    bool release;

    publish_numbers(r, 0, 3, 2);
    rig_turn(r);
    expect_numbers(p, 0, 3, 2, false);
    assert_int_equal(session_pubrec(p->w, p->s, 2, 0, &release), 0);
    assert_true(release); /* [MQTT-4.3.3-4] */
    peer_leave(p);
    resume(p);
    assert_int_equal(peer_expect(p, "0", 2).id, 1);
    assert_true(peer_next(p, &got)); /* never the PUBLISH again */
    assert_int_equal(got.type, MQTT_PUBREL);
    assert_int_equal(got.id, 2);
    assert_int_equal(peer_expect(p, "2", 2).id, 3);
    peer_expect_nothing(p);

    assert_int_equal(session_pubcomp(p->w, p->s, 1, 0), RC_PROTOCOL_ERROR); /* too early */
    assert_int_equal(session_puback(p->w, p->s, 1, 0), RC_PROTOCOL_ERROR);  /* the wrong kind */
    assert_int_equal(session_pubcomp(p->w, p->s, 2, 0), 0);
    assert_int_equal(session_pubcomp(p->w, p->s, 2, 0), RC_PACKET_ID_NOT_FOUND);
    assert_int_equal(session_pubrec(p->w, p->s, 1, 0x83, &release), 0); /* [MQTT-4.4.0-2] */
    assert_false(release);
    assert_int_equal(session_pubrec(p->w, p->s, 3, 0, &release), 0);
    assert_int_equal(session_pubrec(p->w, p->s, 3, 0, &release), 0); /* repeated */
    assert_true(release);
    assert_int_equal(session_pubcomp(p->w, p->s, 3, 0), 0);
    assert_int_equal(session_queued(p->s), 0);
    struct ledger_sum sum;
    rig_sum(r, &sum);
    assert_int_equal(sum.delivered_qos2, 2);
    assert_int_equal(sum.dropped_refused_by_client, 1);
    peer_free(&p);
    rig_close(&r);
}

/* A client answers on the new connection what it got on the old, before it comes again. */
static void a_late_acknowledgement_counts(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 2);
    bool release;

    publish_numbers(r, 0, 3, 2);
    rig_turn(r);
    peer_leave(p);
    p->link.quota = 1; /* only the first can come again yet */
    resume(p);
    peer_expect(p, "0", 2);
    peer_expect_nothing(p);
    assert_int_equal(session_pubrec(p->w, p->s, 2, 0, &release), 0);
    assert_true(release);
    assert_int_equal(session_pubcomp(p->w, p->s, 2, 0), 0);
    assert_int_equal(session_pubrec(p->w, p->s, 1, 0, &release), 0);
    assert_int_equal(session_pubcomp(p->w, p->s, 1, 0), 0);
    rig_turn(r);
    assert_int_equal(peer_expect(p, "2", 2).id, 3); /* and not the second once more */
    peer_expect_nothing(p);
    peer_free(&p);
    rig_close(&r);
}

static void a_stranger_to_ids_is_told_so(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 2);
    bool release;

    assert_int_equal(session_puback(p->w, p->s, 1, 0), RC_PACKET_ID_NOT_FOUND);
    publish_numbers(r, 0, 1, 1);
    rig_turn(r);
    assert_int_equal(session_puback(p->w, p->s, 9, 0), RC_PACKET_ID_NOT_FOUND);
    assert_int_equal(session_pubrec(p->w, p->s, 1, 0, &release), RC_PROTOCOL_ERROR);
    assert_int_equal(session_pubcomp(p->w, p->s, 1, 0), RC_PROTOCOL_ERROR);
    assert_int_equal(session_puback(p->w, p->s, 0, 0), RC_PACKET_ID_NOT_FOUND);
    peer_free(&p);
    rig_close(&r);
}

static void seventy_thousand_messages_through_one_window(void **state) /* C6 [MQTT-2.2.1-4] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 1);
    unsigned next = 0, expected_id = 1;

    p->link.quota = 3;
    for (unsigned i = 0; i < 70000; i++) {
        publish_numbers(r, i, i + 1, 1);
        rig_turn(r);
        if (i % 2) {
            for (unsigned k = 0; k < 2; k++) {
                char text[16];
                snprintf(text, sizeof text, "%u", next++);
                struct packet got = peer_expect(p, text, 1);
                assert_int_equal(got.id, expected_id);
                expected_id = expected_id % 65535 + 1;
                assert_int_equal(session_puback(p->w, p->s, (uint16_t)got.id, 0), 0);
            }
            p->len = p->at = 0;
        }
    }
    assert_int_equal(next, 70000);
    peer_free(&p);
    rig_close(&r);
}

/* One message is never acknowledged while ever more pass it by: the ids stay unique. */
static void an_id_in_flight_is_never_used_again(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 1);
    unsigned got_count = 0;
    struct packet got;

    p->link.quota = 64;
    for (unsigned i = 0; i < 70000; i++) {
        rig_publish(r, "t/x", "x", 1);
        rig_turn(r);
        while (peer_next(p, &got)) {
            got_count++;
            if (got_count > 1) {
                assert_int_not_equal(got.id, 1);
                assert_int_equal(session_puback(p->w, p->s, (uint16_t)got.id, 0), 0);
            }
        }
        p->len = p->at = 0;
    }
    assert_in_range(got_count, 1000, 65000);
    assert_true(dropped_full(r) > 0); /* the client's own doing, and it is counted */
    assert_int_equal(session_puback(p->w, p->s, 1, 0), 0);
    rig_turn(r);
    assert_true(peer_drain(p) > 0); /* the way is free again */
    peer_free(&p);
    rig_close(&r);
}

static void a_full_queue_refuses_the_new(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.max_queue_messages = 10;
    rig_limit(r);
    p = subscriber(r, 1);
    peer_leave(p);
    publish_numbers(r, 0, 10, 1);
    struct routed out = rig_publish(r, "t/x", "too many", 1);
    assert_int_equal(out.targets, 1);
    assert_int_equal(out.full, 1); /* so that the publisher can be told: M6 */
    assert_int_equal(dropped_full(r), 1);
    resume(p);
    expect_numbers(p, 0, 10, 1, false);
    peer_expect_nothing(p);
    peer_free(&p);
    rig_close(&r);
}

static void a_full_queue_lets_the_oldest_go_if_so_configured(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.max_queue_messages = 10;
    r->limits.queue_full = QUEUE_DROP_OLD;
    rig_limit(r);
    p = subscriber(r, 1);
    p->link.quota = 2;
    publish_numbers(r, 0, 2, 1);
    rig_turn(r);
    expect_numbers(p, 0, 2, 1, false);
    publish_numbers(r, 2, 1000, 1); /* connected, but it acknowledges nothing */
    assert_int_equal(session_queued(p->s), 2 + 10);
    peer_leave(p);
    publish_numbers(r, 1000, 100000, 1); /* and away */
    assert_int_equal(session_queued(p->s ? p->s : p->claim.session), 2 + 10);
    assert_true(p->claim.session->out->q1.cap <= 256);
    p->link.quota = 65535;
    resume(p);
    expect_numbers(p, 0, 2, 1, true); /* what was sent once stays */
    expect_numbers(p, 99990, 100000, 1, false);
    peer_expect_nothing(p);
    assert_int_equal(dropped_full(r), 100000 - 12);
    peer_free(&p);
    rig_close(&r);
}

static void the_limits_work_down_to_one(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.max_queue_messages = 1;
    rig_limit(r);
    for (unsigned mode = QUEUE_DROP_NEW; mode <= QUEUE_DROP_OLD; mode++) {
        r->limits.queue_full = mode;
        rig_limit(r);
        p = subscriber(r, 1);
        p->link.quota = 1;
        publish_numbers(r, 0, 1, 1);
        rig_turn(r);
        peer_expect(p, "0", 1);
        publish_numbers(r, 1, 4, 1);
        rig_turn(r);
        assert_int_equal(session_puback(p->w, p->s, 1, 0), 0);
        rig_turn(r);
        peer_expect(p, mode == QUEUE_DROP_NEW ? "1" : "3", 1);
        peer_expect_nothing(p);
        p->s->expiry = 0;
        peer_free(&p);
    }
    rig_close(&r);
}

static void bytes_are_bounded_too(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;
    char big[1001];

    memset(big, 'b', 1000);
    big[1000] = '\0';
    r->limits.max_queue_bytes = 5000;
    rig_limit(r);
    p = subscriber(r, 1);
    peer_leave(p);
    for (int i = 0; i < 10; i++)
        rig_publish(r, "t/x", big, 1);
    assert_int_equal(dropped_full(r), 6);

    /* Properties weigh as much as payload. */
    struct publication pub = rig_publication("t/x", "", 1);
    char props[2000] = {0x26, 0, 1, 'k', 1994 >> 8, (char)(1994 & 255)};
    pub.props = (struct str){props, sizeof props};
    assert_int_equal(rig_publish_as(r->workers[0], &pub).full, 1);

    /* One that is larger than all the room makes all others go, and fits alone. */
    r->limits.queue_full = QUEUE_DROP_OLD;
    r->limits.max_queue_bytes = 900;
    rig_limit(r);
    rig_publish(r, "t/x", big, 1);
    assert_int_equal(session_queued(p->claim.session), 1);
    peer_free(&p);
    rig_close(&r);
}

static void qos_0_is_for_those_who_are_there_and_read(void **state)
{
    struct rig *r = rig_open(NULL);
    struct ledger_sum sum;
    struct peer *p;

    r->limits.qos0_queue_bytes = 1000;
    rig_limit(r);
    p = subscriber(r, 0);
    p->result = LINK_BLOCKED;
    publish_numbers(r, 0, 1, 0);
    rig_turn(r);
    p->result = LINK_SENT;
    publish_numbers(r, 10, 99, 0); /* 2 + 2 + 3 + 2 bytes each */
    rig_turn(r);
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_slow_consumer, 0);
    publish_numbers(r, 10, 99, 0);
    rig_sum(r, &sum);
    assert_true(sum.dropped_slow_consumer > 0);
    assert_int_equal(p->kicked, 0);

    r->limits.slow_consumer = SLOW_CLOSE;
    rig_limit(r);
    publish_numbers(r, 10, 11, 0);
    assert_int_equal(p->kicked, RC_QUOTA_EXCEEDED);
    peer_leave(p);
    rig_sum(r, &sum);
    assert_true(sum.dropped_connection_lost > 80);
    publish_numbers(r, 0, 1, 0);
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_offline, 1);
    peer_free(&p);
    rig_close(&r);
}

static void nothing_gets_ahead_of_the_first_packet(void **state) /* [MQTT-3.2.0-1] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, 1);
    struct packet got;

    peer_leave(p);
    publish_numbers(r, 0, 3, 1);
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    p->s = p->claim.session;
    assert_int_equal(session_attach(p->w, p->s, &p->link, STR("\x20\x03\x01\x00\x00")), LINK_SENT);
    assert_int_equal(p->sends, 1);
    assert_true(peer_next(p, &got));
    assert_int_equal(got.type, MQTT_CONNACK);
    assert_true(got.session_present);
    expect_numbers(p, 0, 3, 1, false);

    /* A link that is blocked from before: the caller keeps the packet. */
    session_detach(p->w, p->s);
    p->link.blocked = true;
    assert_int_equal(session_attach(p->w, p->s, &p->link, STR("\x20\x03\x01\x00\x00")), LINK_BUSY);
    assert_int_equal(session_unblock(p->w, p->s, STR("\x20\x03\x01\x00\x00")), LINK_SENT);
    assert_true(peer_next(p, &got));
    assert_int_equal(got.type, MQTT_CONNACK);
    expect_numbers(p, 0, 3, 1, true);
    peer_free(&p);
    rig_close(&r);
}

static void room_for_replay_is_what_the_limits_leave(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.max_queue_messages = 10;
    rig_limit(r);
    p = subscriber(r, 1);
    p->link.quota = 1;
    assert_int_equal(session_room(p->w, p->s), 10);
    publish_numbers(r, 0, 5, 1);
    rig_turn(r);
    assert_int_equal(session_room(p->w, p->s), 6);
    p->link.blocked = true;
    assert_int_equal(session_room(p->w, p->s), 0);
    p->link.blocked = false;
    peer_free(&p);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_acknowledged_comes_again_with_its_id_and_dup),
        cmocka_unit_test(qos_2_goes_on_where_it_stopped),
        cmocka_unit_test(a_late_acknowledgement_counts),
        cmocka_unit_test(a_stranger_to_ids_is_told_so),
        cmocka_unit_test(seventy_thousand_messages_through_one_window),
        cmocka_unit_test(an_id_in_flight_is_never_used_again),
        cmocka_unit_test(a_full_queue_refuses_the_new),
        cmocka_unit_test(a_full_queue_lets_the_oldest_go_if_so_configured),
        cmocka_unit_test(the_limits_work_down_to_one),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(qos_0_is_for_those_who_are_there_and_read),
        cmocka_unit_test(nothing_gets_ahead_of_the_first_packet),
        cmocka_unit_test(room_for_replay_is_what_the_limits_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
