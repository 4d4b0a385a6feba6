/* What is written down: for each event exactly its records, and nothing for what need not
 * survive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stored.h"

static struct stored st;

static int begin(void **state)
{
    scratch_clear();
    stored_open(&st, NULL);
    return 0;
}

static void end(struct peer *a, struct peer *b)
{
    if (a)
        peer_free(&a);
    if (b)
        peer_free(&b);
    stored_close(&st);
    stored_free(&st);
}

static bool publish(const char *topic, const char *payload, unsigned qos)
{
    return rig_publish(st.rig, topic, payload, qos).written;
}

static struct routed publish_retained(const char *topic, const char *payload, unsigned qos)
{
    struct publication p = rig_publication(topic, payload, qos);

    p.retain = true;
    return rig_publish_as(st.rig->workers[0], &p);
}

/* -- Messages -- */

static void what_need_not_survive_is_not_written(void **state)
{
    struct peer *local = stored_connect(&st, 0, "local", 0);
    struct peer *kept = stored_connect(&st, 1, "kept", 100);

    peer_subscribe(local, "t", 2);
    peer_subscribe(kept, "t", 0);
    assert_log(&st, "SESSION 1 kept 100\nSUB 1 t\n");
    for (unsigned qos = 0; qos < 3; qos++) {
        assert_false(publish("t", "x", qos));
        assert_false(publish("nobody", "x", qos));
    }
    stored_turn(&st);
    assert_int_equal(peer_drain(local), 3);
    assert_int_equal(session_puback(local->w, local->s, 1, 0), 0);
    peer_leave(local);
    assert_log(&st, "");
    end(local, kept);
}

static void a_message_stands_once_and_names_all_who_queue_it(void **state) /* [MQTT-4.5.0-1] */
{
    struct peer *local = stored_connect(&st, 0, "local", 0);
    struct peer *a = stored_connect(&st, 1, "a", 100), *b = stored_connect(&st, 2, "b", 100);

    peer_subscribe(local, "t", 2);
    peer_subscribe_with(a, "t", 1, 7);
    peer_subscribe_with(b, "t", 2 | SUB_RETAIN_AS_PUBLISHED, 0);
    stored_log(&st);
    assert_true(publish("t", "x", 2));
    assert_log(&st, "PUB t=x 1#0:q1,id7 2#0:q2\n");
    publish_retained("t", "y", 1);
    assert_log(&st, "PUB t=y 1#1:q1,id7 2#1:q1,retain KEEP\n");
    peer_leave(b); /* away it gets its own all the same */
    stored_log(&st);
    publish("t", "z", 1);
    assert_log(&st, "PUB t=z 1#2:q1,id7 2#2:q1\n");
    peer_free(&local);
    end(a, b);
}

static void several_identifiers_are_records_that_count_together(void **state) /* [MQTT-3.3.4-4] */
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = stored_connect(&st, 1, "b", 100);

    peer_subscribe_with(a, "t", 1, 1);
    peer_subscribe_with(a, "+", 1, 2);
    peer_subscribe_with(b, "t", 1, 0);
    stored_log(&st);
    publish("t", "x", 1);
    assert_log(&st, "PUB t=x 1#0:q1,id1\nPUB t=x 2#0:q1\n");
    /* What it says beside who gets it must not come without who gets it. */
    publish_retained("t", "y", 1);
    assert_log(&st, "PUB t=y 1#1:q1,id1 +\nPUB t=y 2#1:q1 KEEP\n");
    peer_leave(b);
    session_unsubscribe_all(a->w, a->s);
    peer_subscribe_with(a, "u", 1, 1);
    peer_subscribe_with(a, "u/#", 1, 2);
    stored_log(&st);
    publish_retained("u", "z", 1);
    assert_log(&st, "PUB u=z 1#2:q1,id1 +\nPUB u=z KEEP\n");
    end(a, b);
}

/* A copy of its own that nobody keeps is gone before the chain goes on. */
static void a_copy_that_is_dropped_at_once_is_no_part_of_it(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = stored_connect(&st, 1, "b", 100);

    for (unsigned i = 0; i < 2; i++) {
        struct peer *p = i ? b : a;
        peer_subscribe_with(p, "t", i ? 0 : 1, 1);
        peer_subscribe_with(p, "+", i ? 0 : 1, 2);
        peer_leave(p);
    }
    stored_log(&st);
    assert_true(publish_retained("t", "x", 1).written);
    assert_log(&st, "PUB t=x 1#0:q1,id1 +\nPUB t=x KEEP\n");
    end(a, b);
}

static void retained_messages_are_kept_and_cleared(void **state) /* [MQTT-3.3.1-5] [MQTT-3.3.1-6] */
{
    for (unsigned qos = 0; qos < 3; qos++) {
        assert_true(publish_retained("t", "x", qos).written);
        assert_log(&st, "PUB t=x KEEP\n");
    }
    publish_retained("t", "", 0);
    assert_log(&st, "PUB t= KEEP\n");
    struct publication p = rig_publication("$SYS/x", "x", 0);
    p.retain = p.internal = true;
    rig_publish_as(st.rig->workers[0], &p);
    assert_log(&st, ""); /* made anew by each process */
    end(NULL, NULL);
}

static void a_retained_message_that_is_refused_is_not_written(void **state)
{
    st.rig->limits.max_retained_messages = 1;
    rig_limit(st.rig);
    publish_retained("a", "x", 1);
    stored_log(&st);
    assert_true(publish_retained("b", "x", 1).retain_refused);
    assert_log(&st, "");
    publish_retained("a", "y", 1);
    assert_log(&st, "PUB a=y KEEP\n");
    end(NULL, NULL);
}

static void an_inbound_id_stands_with_its_message(void **state) /* [MQTT-4.3.3-8] */
{
    struct peer *from = stored_connect(&st, 0, "from", 100), *to = stored_connect(&st, 1, "to", 9);
    struct publication p = rig_publication("t", "x", 2);

    peer_subscribe(to, "t", 1);
    stored_log(&st);
    p.publisher = p.origin = from->s->serial;
    p.packet_id = 77;
    struct routed routed = rig_publish_as(from->w, &p);
    assert_true(routed.written && routed.id_written);
    assert_log(&st, "PUB t=x 2#0:q1 INBOUND 1:77\n");
    p.topic = STR("nobody");
    routed = rig_publish_as(from->w, &p); /* no message: the front writes the id alone */
    assert_false(routed.written || routed.id_written);
    journal_received(from->w, from->s, 78, false);
    journal_received(from->w, from->s, 77, true);
    assert_log(&st, "RECEIVED 1:78\nGONE 1:77\n");
    end(from, to);
}

static void what_comes_back_to_its_publisher_only_is_not_written(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100);
    struct publication p = rig_publication("t", "x", 1);

    peer_subscribe_with(a, "t", 1 | SUB_NO_LOCAL, 0);
    stored_log(&st);
    p.publisher = p.origin = a->s->serial;
    assert_false(rig_publish_as(a->w, &p).written);
    assert_log(&st, "");
    end(a, NULL);
}

/* -- Queues -- */

static void acknowledgements_become_runs(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100);

    peer_subscribe(a, "t", 1);
    for (unsigned i = 0; i < 6; i++)
        publish("t", "x", 1);
    stored_turn(&st);
    stored_log(&st);
    for (uint16_t id = 1; id <= 6; id++) {
        if (id != 4)
            assert_int_equal(session_puback(a->w, a->s, id, id == 2 ? 0x83 : 0), 0);
    }
    assert_log(&st, "ACK 1#0+3\nACK 1#4+2\n");
    assert_int_equal(session_puback(a->w, a->s, 6, 0), RC_PACKET_ID_NOT_FOUND);
    assert_log(&st, "");
    end(a, NULL);
}

static void each_step_of_qos_2_is_written_once(void **state) /* [MQTT-4.3.3-4] [MQTT-4.3.3-5] */
{
    struct peer *a = stored_connect(&st, 0, "a", 100);
    bool release;

    peer_subscribe(a, "t", 2);
    publish("t", "x", 2);
    publish("t", "y", 2);
    stored_turn(&st);
    stored_log(&st);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(session_pubrec(a->w, a->s, 1, 0, &release), 0);
        assert_true(release);
    }
    assert_log(&st, "RELEASE 1#0+1\n");
    assert_int_equal(session_pubrec(a->w, a->s, 2, 0x80, &release), 0); /* [MQTT-4.4.0-2] */
    assert_log(&st, "ACK 1#1+1\n");
    assert_int_equal(session_pubcomp(a->w, a->s, 1, 0), 0);
    assert_log(&st, "ACK 1#0+1\n");
    end(a, NULL);
}

static void what_leaves_a_queue_unsent_is_written_too(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100);
    struct publication p = rig_publication("t", "short", 1);

    st.rig->limits.max_queue_messages = 2;
    rig_limit(st.rig);
    peer_subscribe(a, "t", 1);
    peer_leave(a);
    stored_log(&st);
    p.expiry = 5;
    rig_publish_as(st.rig->workers[0], &p);
    publish("t", "this is far too large for it", 1);
    st.rig->limits.queue_full = QUEUE_DROP_NEW;
    rig_limit(st.rig);
    assert_false(publish("t", "refused", 1));
    assert_log(&st, "PUB t=short 1#0:q1\nPUB t=this is far too large for it 1#1:q1\n");
    stored_wait(&st, 5000);
    a->link.maximum_packet = 20;
    stored_claim(a, "a", 100, false);
    stored_turn(&st);
    peer_expect_nothing(a);
    assert_log(&st, "SESSION 1 a 100\nACK 1#0+1 EXPIRED\nACK 1#1+1 DROPPED\n");

    st.rig->limits.queue_full = QUEUE_DROP_OLD;
    rig_limit(st.rig);
    peer_leave(a);
    stored_log(&st);
    for (unsigned i = 0; i < 3; i++)
        publish("t", "x", 1);
    const char *written = stored_log(&st);
    assert_non_null(strstr(written, "PUB t=x 1#4:q1\n"));
    assert_non_null(strstr(written, "ACK 1#2+1 DROPPED\n"));
    end(a, NULL);
}

/* The oldest of a full queue gives way while the message's record is being made. */
static void what_is_dropped_for_a_message_stands_behind_it(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = stored_connect(&st, 1, "b", 100);

    st.rig->limits.max_queue_messages = 1;
    st.rig->limits.queue_full = QUEUE_DROP_OLD;
    rig_limit(st.rig);
    peer_subscribe_with(a, "t", 1, 1);
    peer_subscribe_with(b, "t", 1, 1);
    peer_leave(a);
    peer_leave(b);
    publish("t", "x", 1);
    stored_log(&st);
    publish("t", "y", 1);
    assert_log(&st, "ACK 1#0+1 DROPPED\nPUB t=y 1#1:q1,id1 2#1:q1,id1\nACK 2#0+1 DROPPED\n");
    stored_claim(a, "a", 100, false);
    peer_subscribe_with(a, "+", 1, 2);
    peer_leave(a);
    stored_log(&st);
    publish_retained("t", "z", 1); /* nor may it stand within a chain */
    assert_log(&st, "PUB t=z 1#2:q1,id1 +\nPUB t=z 2#2:q1,id1 KEEP\nACK 2#1+1 DROPPED\n");
    end(a, b);
}

/* -- Sessions -- */

static void the_life_of_a_session(void **state)
{
    struct peer *a = peer_new(st.rig, 0, MQTT_50);

    assert_int_equal(peer_claim(a, "a", NULL, false), CLAIM_GRANTED);
    a->claim.session->expiry = 100;
    stored_will(a, "gone", 30);
    assert_true(sessions_record(a->w, &a->claim, a->claim.session) > 0);
    peer_attach(a, 100);
    assert_log(&st, "SESSION 1 a 100 +\nWILL 1 gone delay 30\n");
    peer_subscribe_with(a, "t", 1, 5);
    assert_log(&st, "SUB 1 t options 1 id 5\n");
    assert_true(session_unsubscribe(a->w, a->s, STR("t")));
    assert_log(&st, "UNSUB 1 t\n");
    peer_leave(a);
    assert_log(&st, "AWAY 1 ends 100 will 30\n");
    stored_claim(a, "a", EXPIRY_NEVER, false); /* back in time, with no will */
    assert_log(&st, "SESSION 1 a 4294967295 +\nNO WILL 1\n");
    peer_leave(a);
    assert_log(&st, "AWAY 1\n");
    stored_claim(a, "a", 10, true); /* a clean start */
    assert_log(&st, "END 1\nSESSION 2 a 10\n");
    peer_leave(a);
    assert_log(&st, "AWAY 2 ends 10\n");
    stored_wait(&st, 10000);
    assert_log(&st, "END 2\n");
    end(a, NULL);
}

static void a_session_that_is_kept_no_longer(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100);

    peer_leave(a);
    stored_log(&st);
    stored_claim(a, "a", 0, false); /* resumed for this connection only */
    assert_log(&st, "SESSION 1 a 0\n");
    peer_leave(a);
    assert_log(&st, "END 1\n");
    stored_claim(a, "a", 100, false);
    peer_leave(a);
    stored_log(&st);
    peer_claim(a, "a", NULL, true); /* replaced by one that is not kept */
    assert_true(sessions_record(a->w, &a->claim, a->claim.session) > 0); /* CONNACK waits */
    peer_attach(a, 0);
    assert_log(&st, "END 2\nEND 2\n");
    peer_leave(a);
    assert_log(&st, "");
    end(a, NULL);
}

static void wills_are_written_as_published(void **state) /* [MQTT-3.1.2-10] */
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = stored_connect(&st, 1, "b", 100);

    stored_will(a, "gone", 0);
    journal_session(a->w, a->s);
    peer_subscribe(b, "will", 1);
    stored_log(&st);
    peer_leave(a);
    assert_log(&st, "PUB will=gone 2#0:q1 WILL 1\nAWAY 1 ends 100\n");

    stored_claim(a, "a", 100, false);
    stored_will(a, "unheard", 0);
    journal_session(a->w, a->s);
    assert_true(session_unsubscribe(b->w, b->s, STR("will")));
    stored_log(&st);
    peer_leave(a);
    assert_log(&st, "NO WILL 1\nAWAY 1 ends 100\n");

    stored_claim(a, "a", 100, false);
    stored_will(a, "late", 5);
    journal_session(a->w, a->s);
    stored_log(&st);
    peer_leave(a);
    assert_log(&st, "AWAY 1 ends 100 will 5\n");
    peer_subscribe(b, "will", 1);
    stored_log(&st);
    stored_wait(&st, 5000);
    assert_log(&st, "PUB will=late 2#1:q1 WILL 1\nAWAY 1 ends 95\n");
    end(a, b);
}

static void what_was_shared_goes_to_another_before_the_end_is_written(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 10), *b;

    peer_subscribe(a, "$share/g/t", 1);
    publish("t", "x", 1);
    stored_turn(&st);
    assert_int_equal(peer_drain(a), 1);
    b = stored_connect(&st, 1, "b", 100);
    peer_subscribe(b, "$share/g/t", 1);
    peer_leave(a);
    stored_log(&st);
    stored_wait(&st, 10000);
    assert_log(&st, "PUB t=x 2#0:q1\nEND 1\n");
    end(a, b);
}

static void a_takeover_is_written_in_its_order(void **state) /* [MQTT-3.1.4-3] */
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = peer_new(st.rig, 1, MQTT_50);

    peer_subscribe(a, "t", 1);
    publish("t", "x", 1);
    publish("t", "y", 1);
    stored_turn(&st);
    stored_log(&st);
    assert_int_equal(peer_claim(b, "a", NULL, false), CLAIM_WAITING);
    assert_int_equal(session_puback(a->w, a->s, 1, 0), 0); /* in this very turn */
    assert_false(batch_empty(&a->w->journal.batch));
    peer_leave(a);
    assert_true(b->answered);
    assert_true(batch_empty(&a->w->journal.batch)); /* handed over before it let go */
    b->claim.session->expiry = 100;
    sessions_record(b->w, &b->claim, b->claim.session);
    peer_attach(b, 100);
    assert_true(b->present);
    assert_int_equal(session_puback(b->w, b->s, 2, 0), 0);
    assert_log(&st, "ACK 1#0+1\nSESSION 1 a 100\nACK 1#1+1\n");
    end(a, b);
}

/* -- Holds -- */

static void a_qos_2_message_waits_for_its_record(void **state) /* [MQTT-2.2.1-4] */
{
    struct peer *a = stored_connect(&st, 1, "a", 100), *local = stored_connect(&st, 2, "l", 0);

    peer_subscribe(a, "t", 2);
    peer_subscribe(local, "t", 2);
    publish("t", "one", 1);
    publish("t", "two", 2);
    publish("t", "behind", 1);
    rig_turn(st.rig);
    peer_expect(a, "one", 1); /* at worst it comes again */
    peer_expect_nothing(a);
    assert_int_equal(peer_drain(local), 3); /* nothing of it survives anyway */
    store_wait(st.store, journal_submit(st.rig->workers[0]));
    rig_turn(st.rig);
    peer_expect_nothing(a); /* worker 0 has not heard */
    journal_settled(st.rig->workers[0], store_settled(st.store));
    rig_turn(st.rig);
    peer_expect(a, "two", 2);
    peer_expect(a, "behind", 1);
    end(a, local);
}

static void holds_are_released_in_their_order_and_not_before(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100);
    struct worker *w = st.rig->workers[0];

    peer_subscribe(a, "t", 2);
    stored_settle(&st);
    publish("t", "1", 2);
    uint64_t first = journal_submit(w);
    publish("t", "2", 2);
    publish("t", "3", 2);
    uint64_t second = journal_submit(w);
    store_wait(st.store, second);
    publish("t", "4", 2); /* not handed over yet */
    journal_settled(w, first - 1);
    rig_turn(st.rig);
    peer_expect_nothing(a);
    journal_settled(w, first);
    rig_turn(st.rig);
    peer_expect(a, "1", 2);
    peer_expect_nothing(a);
    journal_settled(w, second);
    rig_turn(st.rig);
    peer_expect(a, "2", 2);
    peer_expect(a, "3", 2);
    peer_expect_nothing(a);
    stored_turn(&st);
    peer_expect(a, "4", 2);
    end(a, NULL);
}

static void holds_outlive_their_session_and_their_entries(void **state)
{
    struct peer *a = stored_connect(&st, 0, "a", 100), *b = stored_connect(&st, 1, "b", 100);

    st.rig->limits.max_queue_messages = 2;
    st.rig->limits.queue_full = QUEUE_DROP_OLD;
    rig_limit(st.rig);
    peer_subscribe(a, "t", 2);
    peer_subscribe(b, "t", 2);
    peer_leave(a);
    peer_leave(b);
    stored_settle(&st);
    for (unsigned i = 0; i < 500; i++)
        publish("t", i < 498 ? "old" : "new", 2);
    assert_int_equal(peer_claim(a, "a", NULL, true), CLAIM_GRANTED); /* its old session ends */
    sessions_record(a->w, &a->claim, a->claim.session);
    peer_attach(a, 0);
    rig_turn(st.rig);
    rig_turn(st.rig);
    stored_claim(b, "b", 100, false);
    rig_turn(st.rig);
    peer_expect_nothing(b);
    stored_turn(&st);
    peer_expect(b, "new", 2);
    peer_expect(b, "new", 2);
    peer_expect_nothing(b);
    peer_expect_nothing(a);
    end(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_need_not_survive_is_not_written, begin),
        cmocka_unit_test_setup(a_message_stands_once_and_names_all_who_queue_it, begin),
        cmocka_unit_test_setup(several_identifiers_are_records_that_count_together, begin),
        cmocka_unit_test_setup(a_copy_that_is_dropped_at_once_is_no_part_of_it, begin),
        cmocka_unit_test_setup(retained_messages_are_kept_and_cleared, begin),
        cmocka_unit_test_setup(a_retained_message_that_is_refused_is_not_written, begin),
        cmocka_unit_test_setup(an_inbound_id_stands_with_its_message, begin),
        cmocka_unit_test_setup(what_comes_back_to_its_publisher_only_is_not_written, begin),
        cmocka_unit_test_setup(acknowledgements_become_runs, begin),
        cmocka_unit_test_setup(each_step_of_qos_2_is_written_once, begin),
        cmocka_unit_test_setup(what_leaves_a_queue_unsent_is_written_too, begin),
        cmocka_unit_test_setup(what_is_dropped_for_a_message_stands_behind_it, begin),
        cmocka_unit_test_setup(the_life_of_a_session, begin),
        cmocka_unit_test_setup(a_session_that_is_kept_no_longer, begin),
        cmocka_unit_test_setup(wills_are_written_as_published, begin),
        cmocka_unit_test_setup(what_was_shared_goes_to_another_before_the_end_is_written, begin),
        cmocka_unit_test_setup(a_takeover_is_written_in_its_order, begin),
        cmocka_unit_test_setup(a_qos_2_message_waits_for_its_record, begin),
        cmocka_unit_test_setup(holds_are_released_in_their_order_and_not_before, begin),
        cmocka_unit_test_setup(holds_outlive_their_session_and_their_entries, begin),
    };

    hash_seed();
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
