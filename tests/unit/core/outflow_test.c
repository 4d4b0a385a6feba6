/* From queue to bytes, read back by an independent decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rig.h"

static struct peer *subscriber(struct rig *r, uint8_t version, unsigned qos)
{
    struct peer *p = peer_connect(r, 0, version, "sub", 60);
    peer_subscribe(p, "#", qos);
    return p;
}

static char *filled(size_t len)
{
    char *text = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + i % 26);
    text[len] = '\0';
    return text;
}

/* Every layout at every size at which something changes: header bytes, copying or not. */
static void what_is_sent_reads_back_in_every_layout(void **state)
{
    static const uint8_t versions[] = {MQTT_31, MQTT_311, MQTT_50};
    static const size_t sizes[] = {0,    1,     100,   121,   122,   123,    124,
                                   125,  1015,  1016,  1017,  1018,  1023,   1024,
                                   1025, 16370, 16380, 16384, 70000, 2097152};
    struct rig *r = rig_open(NULL);

    for (unsigned v = 0; v < ARRAY_LEN(versions); v++) {
        for (unsigned qos = 0; qos < 3; qos++) {
            struct peer *p = subscriber(r, versions[v], qos);
            for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
                char *payload = filled(sizes[i]);
                rig_publish(r, "a/b", payload, qos);
                rig_turn(r);
                struct packet got = peer_expect(p, payload, qos);
                assert_text(got.topic, got.topic_len, "a/b");
                assert_false(got.dup || got.retain);
                assert_false(got.has_expiry);
                assert_int_equal(got.id, qos ? i + 1 : 0);
                peer_expect_nothing(p);
                free(payload);
            }
            p->s->expiry = 0;
            peer_free(&p);
        }
    }
    rig_close(&r);
}

static void long_topics_and_properties_go_out_whole(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 1);
    char *topic = filled(5000), *value = filled(3000);
    uint8_t props[4000] = {0x26, 0, 1, 'k', 3000 >> 8, 3000 & 255};

    memcpy(props + 6, value, 3000);
    struct publication pub = rig_publication(topic, "x", 1);
    pub.props = (struct str){(char *)props, 3006};
    rig_publish_as(r->workers[0], &pub);
    rig_turn(r);
    struct packet got = peer_expect(p, "x", 1);
    assert_text(got.topic, got.topic_len, topic);
    assert_int_equal(got.props_len, 3006); /* [MQTT-3.3.2-17] */
    assert_memory_equal(got.props, props, 3006);
    free(topic);
    free(value);
    peer_free(&p);
    rig_close(&r);
}

static void a_thousand_messages_leave_in_few_sends(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_311, 0);
    char text[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%d", i);
        rig_publish(r, "a", text, 0);
    }
    p->sends = 0;
    rig_turn(r);
    assert_int_equal(p->sends, 1);
    for (int i = 0; i < 1000; i++) { /* [MQTT-4.6.0-5] */
        snprintf(text, sizeof text, "%d", i);
        peer_expect(p, text, 0);
    }
    peer_free(&p);
    rig_close(&r);
}

static void big_and_small_payloads_keep_their_order(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 0);
    char *big = filled(5000);

    for (int i = 0; i < 300; i++)
        rig_publish(r, "t", i % 3 ? "small" : big, 0);
    rig_turn(r);
    for (int i = 0; i < 300; i++)
        peer_expect(p, i % 3 ? "small" : big, 0);
    peer_expect_nothing(p);
    free(big);
    peer_free(&p);
    rig_close(&r);
}

static void quota_bounds_what_is_unacknowledged(void **state) /* [MQTT-3.3.4-9] [MQTT-4.9.0-2] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 1);

    p->link.quota = 2;
    for (int i = 0; i < 5; i++)
        rig_publish(r, "t", "x", 1);
    rig_turn(r);
    assert_int_equal(peer_expect(p, "x", 1).id, 1);
    assert_int_equal(peer_expect(p, "x", 1).id, 2);
    peer_expect_nothing(p);
    rig_publish(r, "t", "zero", 0); /* QoS 0 needs no quota */
    rig_turn(r);
    peer_expect(p, "zero", 0);
    assert_int_equal(session_puback(p->w, p->s, 2, 0), 0);
    rig_turn(r);
    assert_int_equal(peer_expect(p, "x", 1).id, 3);
    peer_expect_nothing(p);
    peer_free(&p);
    rig_close(&r);
}

static void a_packet_as_large_as_the_client_takes_is_sent(void **state) /* [MQTT-3.1.2-24] */
{
    struct rig *r = rig_open(NULL);

    for (unsigned version = MQTT_311; version <= MQTT_50; version++) {
        for (unsigned qos = 0; qos < 3; qos++) {
            struct peer *p = subscriber(r, (uint8_t)version, qos);
            unsigned exact = 2 + 2 + 1 + (qos ? 2 : 0) + (version == MQTT_50 ? 1 : 0) + 10;
            p->link.alias_maximum = version == MQTT_50 ? 10 : 0;
            p->link.maximum_packet = exact;
            rig_publish(r, "t", "0123456789", qos);
            rig_publish(r, "t", "0123456789a", qos);
            rig_publish(r, "t", "012345678", qos);
            rig_turn(r);
            struct packet got = peer_expect(p, "0123456789", qos);
            assert_int_equal(got.size, exact);
            /* What is too large is as good as delivered: the next one follows. */
            peer_expect(p, "012345678", qos); /* [MQTT-3.1.2-25] */
            peer_expect_nothing(p);
            p->s->expiry = 0;
            peer_free(&p);
        }
    }
    struct ledger_sum sum;
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_too_large, 6);
    rig_close(&r);
}

static void aliases_never_make_a_packet_too_large(void **state)
{
    struct rig *r = rig_open(NULL);
    char *payload = filled(400);

    for (unsigned limit = 10; limit < 150; limit++) {
        struct peer *p = subscriber(r, MQTT_50, 0);
        struct packet got;
        p->link.maximum_packet = limit;
        p->link.alias_maximum = 3;
        for (unsigned len = 0; len < 160; len += 3) {
            struct publication pub = rig_publication("topic/of/some/length", payload, 0);
            pub.payload.len = len;
            rig_publish_as(r->workers[0], &pub);
        }
        rig_turn(r);
        while (peer_next(p, &got))
            assert_true(got.size <= limit);
        p->s->expiry = 0;
        peer_free(&p);
    }
    free(payload);
    rig_close(&r);
}

static void aliases_stand_for_topics_the_client_has_seen(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 1);
    struct packet got;

    p->link.alias_maximum = 4;
    rig_publish(r, "some/topic", "1", 1);
    rig_publish(r, "some/topic", "2", 0);
    rig_turn(r);
    got = peer_expect(p, "1", 1);
    assert_text(got.topic, got.topic_len, "some/topic");
    assert_in_range(got.alias, 1, 4); /* [MQTT-3.3.2-11] */
    unsigned alias = got.alias;
    got = peer_expect(p, "2", 0);
    assert_int_equal(got.topic_len, 0);
    assert_int_equal(got.alias, alias);

    /* They die with the connection [MQTT-3.3.2-7]. */
    peer_leave(p);
    assert_null(p->link.aliases);
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    got = peer_expect(p, "1", 1);
    assert_true(got.dup);
    assert_text(got.topic, got.topic_len, "some/topic");
    peer_free(&p);
    rig_close(&r);
}

static void no_alias_unless_asked_for(void **state) /* [MQTT-3.1.2-27] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 0);

    for (int i = 0; i < 3; i++)
        rig_publish(r, "t", "x", 0);
    rig_turn(r);
    for (int i = 0; i < 3; i++)
        assert_int_equal(peer_expect(p, "x", 0).alias, 0);
    peer_free(&p);
    rig_close(&r);
}

static void expiry_counts_down_in_the_queue(void **state) /* [MQTT-3.3.2-5] [MQTT-3.3.2-6] */
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_50, 1);
    struct publication pub = rig_publication("t", "long", 1);

    peer_leave(p);
    pub.expiry = 100;
    rig_publish_as(r->workers[0], &pub);
    pub.expiry = 10;
    pub.payload = STR("short");
    rig_publish_as(r->workers[0], &pub);
    rig_wait(r, 10000);
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    struct packet got = peer_expect(p, "long", 1);
    assert_true(got.has_expiry);
    assert_int_equal(got.expiry, 90);
    peer_expect_nothing(p);
    struct ledger_sum sum;
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_expired, 1);

    /* Once sent it does not expire [MQTT-4.3.3-7], and is sent again. */
    peer_leave(p);
    rig_wait(r, 59000); /* within the session's expiry */
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    peer_leave(p);
    rig_wait(r, 59000);
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    p->len = p->at = 0;
    peer_attach(p, 60);
    assert_true(peer_expect(p, "long", 1).dup);
    peer_free(&p);
    rig_close(&r);
}

/* More discarded messages than the window of ids holds: those behind them still come. */
static void a_queue_full_of_expired_messages_does_not_stall(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p;

    r->limits.max_queue_messages = 100000;
    rig_limit(r);
    p = subscriber(r, MQTT_50, 1);
    peer_leave(p);
    struct publication pub = rig_publication("t", "old", 1);
    pub.expiry = 1;
    for (int i = 0; i < 5000; i++)
        rig_publish_as(r->workers[0], &pub);
    rig_publish(r, "t", "new", 1);
    rig_wait(r, 2000);
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    p->link.quota = 1;
    peer_attach(p, 60);
    peer_expect(p, "new", 1);
    peer_free(&p);
    rig_close(&r);
}

static void a_blocked_link_gets_nothing_until_it_has_room(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_311, 1);

    p->result = LINK_BLOCKED;
    rig_publish(r, "t", "1", 1);
    rig_turn(r);
    peer_expect(p, "1", 1); /* the link took it over */
    p->result = LINK_SENT;
    rig_publish(r, "t", "2", 1);
    rig_turn(r); /* peer_send() would fail the test if it were called now */
    peer_expect_nothing(p);
    assert_int_equal(session_flush(p->w, p->s, STR("ctl")), LINK_BUSY);
    assert_int_equal(session_unblock(p->w, p->s, STR("\xd0\x00") /* PINGRESP */), LINK_SENT);
    struct packet got;
    assert_true(peer_next(p, &got));
    assert_int_equal(got.type, 13); /* control packets go first */
    peer_expect(p, "2", 1);
    peer_free(&p);
    rig_close(&r);
}

static void a_failed_link_loses_nothing_of_qos_1(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *p = subscriber(r, MQTT_311, 1);

    p->result = LINK_FAILED;
    rig_publish(r, "t", "1", 1);
    rig_turn(r);
    peer_leave(p);
    p->result = LINK_SENT;
    assert_int_equal(peer_claim(p, "sub", NULL, false), CLAIM_GRANTED);
    peer_attach(p, 60);
    assert_true(peer_expect(p, "1", 1).dup);
    peer_free(&p);
    rig_close(&r);
}

/* A worker marks a session whose link any thread may use; before its turn ends another
 * client, with a link that only its own worker may use, takes the session over. */
static void only_the_owner_sends_where_the_link_says_so(void **state)
{
    struct rig *r = rig_open(NULL);
    struct peer *old = subscriber(r, MQTT_311, 1), *next = peer_new(r, 1, MQTT_311);
    struct publication pub = rig_publication("t", "x", 1);

    next->link.shareable = false;
    rig_publish_as(r->workers[2], &pub); /* worker 2 will flush */
    peer_leave(old);
    assert_int_equal(peer_claim(next, "sub", NULL, false), CLAIM_GRANTED);
    rig_running = r->workers[1];
    peer_attach(next, 60);
    peer_expect(next, "x", 1);
    rig_publish_as(r->workers[2], &pub); /* handed to worker 1 */
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig_running = r->workers[i];
        worker_turn_end(r->workers[i]);
    }
    peer_expect_nothing(next);
    assert_int_equal(r->posted_count, 1);
    assert_int_equal(r->posted[0].worker, 1);
    rig_running = r->workers[1];
    rig_turn(r);
    rig_running = NULL;
    peer_expect(next, "x", 1);
    assert_int_equal(next->sent_by_foreign, 0);
    peer_free(&old);
    peer_free(&next);
    rig_close(&r);
}

static void the_mount_point_does_not_show(void **state)
{
    struct rig *r = rig_open(NULL);
    struct ledger_sum sum;

    for (unsigned version = MQTT_311; version <= MQTT_50; version++) {
        for (unsigned qos = 0; qos < 2; qos++) {
            struct peer *p = peer_connect(r, 0, (uint8_t)version, "sub", 60);
            peer_subscribe(p, "tenant/#", qos);
            p->link.mount_len = 7;
            rig_publish(r, "tenant", "parent", qos); /* matches, but is no topic of the tenant's */
            rig_publish(r, "tenant/", "empty", qos);
            rig_publish(r, "tenant/a", "x", qos);
            rig_turn(r);
            struct packet got = peer_expect(p, "x", qos);
            assert_text(got.topic, got.topic_len, "a");
            peer_expect_nothing(p);
            p->s->expiry = 0;
            peer_free(&p);
        }
    }
    rig_sum(r, &sum);
    assert_int_equal(sum.dropped_outside_mount, 8);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_reads_back_in_every_layout),
        cmocka_unit_test(long_topics_and_properties_go_out_whole),
        cmocka_unit_test(a_thousand_messages_leave_in_few_sends),
        cmocka_unit_test(big_and_small_payloads_keep_their_order),
        cmocka_unit_test(quota_bounds_what_is_unacknowledged),
        cmocka_unit_test(a_packet_as_large_as_the_client_takes_is_sent),
        cmocka_unit_test(aliases_never_make_a_packet_too_large),
        cmocka_unit_test(aliases_stand_for_topics_the_client_has_seen),
        cmocka_unit_test(no_alias_unless_asked_for),
        cmocka_unit_test(expiry_counts_down_in_the_queue),
        cmocka_unit_test(a_queue_full_of_expired_messages_does_not_stall),
        cmocka_unit_test(a_blocked_link_gets_nothing_until_it_has_room),
        cmocka_unit_test(a_failed_link_loses_nothing_of_qos_1),
        cmocka_unit_test(only_the_owner_sends_where_the_link_says_so),
        cmocka_unit_test(the_mount_point_does_not_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
