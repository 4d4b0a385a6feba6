/* Consumers: windows, acknowledgements, restarts, takeovers, and ends of all kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../store/scratch.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"
#include "traffic_rig.h"

static void publish_numbers(struct host_rig *r, struct skep_module *m, const char *topic,
                            unsigned from, unsigned to, unsigned qos)
{
    char payload[16];

    for (unsigned i = from; i < to; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        assert_int_equal(rig_publish_on(r, i % RIG_LOOPS, m, topic, payload, qos, NULL), SKEP_OK);
        rig_calm(r); /* from several loops there is no order but this */
    }
}

static unsigned number_of(const struct seen *s)
{
    return (unsigned)strtoul(s->payload, NULL, 10);
}

/* -- The window -- */

static void no_more_than_the_window_is_open(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);

    rec->ack = false;
    rec->conf.window = 3;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 2, 0), SKEP_OK);
    publish_numbers(r, m, "t", 0, 10, 1);
    rig_await(&rec->count, 3);
    rig_calm(r);
    assert_int_equal(rec->count, 3);
    assert_int_equal(rec_queued(rec), 10);

    rec_ack(rec, rec->seen[1].id); /* in any order */
    rig_await(&rec->count, 4);
    rec_ack(rec, rec->seen[1].id); /* twice: nothing happens */
    rig_calm(r);
    assert_int_equal(rec->count, 4);
    rec_ack(rec, rec->seen[3].id);
    rec_ack(rec, rec->seen[2].id);
    rec_ack(rec, 77777); /* none of ours */
    rig_await(&rec->count, 6);
    rec_ack(rec, rec->seen[0].id);
    for (unsigned i = 4; i < 10; i++) {
        rig_await(&rec->count, i + 1);
        rec_ack(rec, rec->seen[i].id);
    }
    rig_calm(r);
    assert_int_equal(rec->count, 10);
    assert_int_equal(rec_queued(rec), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(number_of(&rec->seen[i]), i);
        assert_false(rec->seen[i].duplicate);
    }
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* Packet ids go round every 65535; the module's ids do not. */
static void ids_are_never_used_twice(void **state)
{
    enum { MANY = 70000 };
    struct limits limits;
    limits_default(&limits);
    limits.max_queue_messages = 2 * MANY;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 0);
    uint64_t first, last;

    rec->conf.window = 1000;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    rig_publish_on(r, 0, m, "t", "x", 1, NULL);
    rig_await(&rec->count, 1);
    first = rec->seen[0].id;
    for (unsigned i = 1; i < MANY; i++)
        rig_publish_on(r, 0, m, "t", "x", 1, NULL);
    rig_await(&rec->count, MANY);
    rig_calm(r);
    rig_lock();
    rec->count = 0;
    rig_unlock();
    rig_publish_on(r, 0, m, "t", "x", 1, NULL);
    rig_await(&rec->count, 1);
    last = rec->seen[0].id;
    assert_int_equal(last - first, MANY);
    assert_int_equal(rec_queued(rec), 0);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void a_pause_holds_everything_back(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 2);

    rec->conf.paused = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    publish_numbers(r, m, "t", 0, 5, 1);
    assert_int_equal(rec->count, 0);
    assert_int_equal(rec_queued(rec), 5);
    rec_pause(rec, false);
    rig_await(&rec->count, 5);
    rec_pause(rec, true);
    publish_numbers(r, m, "t", 5, 8, 0);
    assert_int_equal(rec->count, 5);
    rec_pause(rec, false);
    rig_await(&rec->count, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(number_of(&rec->seen[i]), i);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void pause_after_two(struct recorder *rec, const struct skep_message *m, uint64_t id)
{
    if (rec->count == 1)
        skep_consumer_pause(rec->c, true);
    if (rec->count == 3) { /* back and forth in one callback */
        skep_consumer_pause(rec->c, true);
        skep_consumer_pause(rec->c, false);
    }
}

static void pausing_in_a_callback_stops_at_once(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);

    rec->conf.paused = true;
    rec->also = pause_after_two;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    publish_numbers(r, m, "t", 0, 6, 1);
    rec_pause(rec, false);
    rig_await(&rec->count, 2);
    rig_calm(r);
    assert_int_equal(rec->count, 2);
    rec_pause(rec, false);
    rig_await(&rec->count, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(number_of(&rec->seen[i]), i);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* More than the link takes at a time, in large payloads that travel by reference. */
static void large_messages_come_in_order(void **state)
{
    enum { SIZE = 100000, MANY = 40 };
    static char large[SIZE];
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    struct pub_call call = {.m = m, .message = text_message("t", "", 1)};

    rec->conf.paused = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    memset(large, ' ', sizeof large);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(large, sizeof large, "%u ", i);
        call.message.payload = skep_bytes(large, sizeof large);
        rig_on(r, 0, pub_do, &call);
    }
    rec_pause(rec, false);
    rig_await(&rec->count, MANY);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(number_of(&rec->seen[i]), i);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Subscriptions -- */

static void what_it_published_itself_does_not_come_back(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1), *other = rec_new(r, "d", 2);
    struct pub_call call = {.m = m, .message = text_message("t", "mine", 1)};

    rec_open(rec, m);
    rec_open(other, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, SKEP_SUBSCRIBE_NO_LOCAL), SKEP_OK);
    assert_int_equal(rec_subscribe(other, "t", 1, 0), SKEP_OK);
    call.as = rec->c;
    rig_on(r, 1, pub_do, &call);
    assert_int_equal(call.err, SKEP_OK);
    rig_publish_on(r, 1, m, "t", "other", 1, NULL);
    rig_await(&rec->count, 1);
    rig_await(&other->count, 2);
    rig_calm(r);
    assert_int_equal(rec->count, 1);
    assert_string_equal(rec->seen[0].payload, "other");
    rig_on(r, 0, pub_do, &call); /* not its loop */
    assert_int_equal(call.err, SKEP_E_STATE);
    rec_close(rec, false);
    rec_close(other, false);
    free(rec);
    free(other);
    rig_close(&r);
    rig_module_free(&m);
}

static void members_of_a_group_share(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec[2] = {rec_new(r, "a", 0), rec_new(r, "b", 1)};
    unsigned *first = &rec[0]->count, *second = &rec[1]->count;

    for (unsigned i = 0; i < 2; i++) {
        rec_open(rec[i], m);
        assert_int_equal(rec_subscribe(rec[i], "$share/g/t", 1, 0), SKEP_OK);
        assert_int_equal(rec_subscribe(rec[i], "$share/g/u", 1, SKEP_SUBSCRIBE_NO_LOCAL),
                         SKEP_E_INVALID);
    }
    publish_numbers(r, m, "t", 0, 20, 1);
    rig_calm(r);
    assert_int_equal(*first + *second, 20);
    assert_int_equal(*first, 10);
    rec_close(rec[0], false);
    publish_numbers(r, m, "t", 20, 24, 1);
    rig_await(second, 14);
    rec_close(rec[1], false);
    free(rec[0]);
    free(rec[1]);
    rig_close(&r);
    rig_module_free(&m);
}

static void retained_messages_wait_for_the_end_of_a_pause(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "a", 0);
    struct pub_call call = {.m = m, .message = text_message("", "kept", 0)};
    char topic[32];

    call.message.retain = true;
    for (unsigned i = 0; i < 600; i++) {
        snprintf(topic, sizeof topic, "keep/%u", i);
        call.message.topic = skep_str(topic);
        rig_on(r, 2, pub_do, &call);
    }
    rec->conf.paused = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "keep/#", 1, 0), SKEP_OK);
    rig_calm(r);
    assert_int_equal(rec->count, 0);
    rec_pause(rec, false);
    rig_await(&rec->count, 600);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void retained_messages_come_with_a_subscription(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "a", 0), *none = rec_new(r, "b", 1);
    struct pub_call call = {.m = m, .message = text_message("", "kept", 1)};
    char topic[32];

    call.message.retain = true;
    for (unsigned i = 0; i < 1500; i++) { /* several slices */
        snprintf(topic, sizeof topic, "keep/%u", i);
        call.message.topic = skep_str(topic);
        rig_on(r, 2, pub_do, &call);
    }
    rec_open(rec, m);
    rec_open(none, m);
    assert_int_equal(rec_subscribe(rec, "keep/#", 1, SKEP_SUBSCRIBE_KEEP_RETAIN), SKEP_OK);
    assert_int_equal(rec_subscribe(none, "keep/#", 1, SKEP_SUBSCRIBE_NO_RETAINED), SKEP_OK);
    rig_await(&rec->count, 1500);
    for (unsigned i = 0; i < 1500; i++)
        assert_true(rec->seen[i].retain);
    rig_on(r, 2, pub_do, &call);
    rig_await(&rec->count, 1501);
    rig_await(&none->count, 1);
    assert_true(rec->seen[1500].retain);
    assert_false(none->seen[0].retain);
    rec_close(rec, false);
    rec_close(none, false);
    free(rec);
    free(none);
    rig_close(&r);
    rig_module_free(&m);
}

struct subscriptions {
    struct recorder *rec;
    unsigned count, qos;
    char last[64];
};

static void count_subscription(struct skep_str filter, unsigned qos, void *arg)
{
    struct subscriptions *s = arg;

    s->count++;
    s->qos = qos;
    rig_text(s->last, filter);
}

static void ask_subscriptions(struct loop *l, void *arg)
{
    struct subscriptions *s = arg;
    skep_consumer_subscriptions(s->rec->c, count_subscription, s);
}

static void unsubscribe_here(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    call->err = skep_consumer_unsubscribe(call->rec->c, skep_str(call->filter));
}

static void filters_are_checked_and_counted(void **state)
{
    struct limits limits;
    limits_default(&limits);
    limits.max_subscriptions = 2;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "a", 0);
    struct subscriptions subs = {.rec = rec};
    struct rec_call call = {.rec = rec, .filter = "$share/g/b"};

    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "a/#/b", 1, 0), SKEP_E_INVALID);
    assert_int_equal(rec_subscribe(rec, "a", 3, 0), SKEP_E_INVALID);
    assert_int_equal(rec_subscribe(rec, "a", 1, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(rec, "$share/g/b", 2, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(rec, "c", 1, 0), SKEP_E_LIMIT);
    assert_int_equal(rec_subscribe(rec, "a", 2, 0), SKEP_OK); /* replaces */
    rig_on(r, 0, ask_subscriptions, &subs);
    assert_int_equal(subs.count, 2);
    rig_on(r, 0, unsubscribe_here, &call);
    assert_int_equal(call.err, SKEP_OK);
    rig_on(r, 0, unsubscribe_here, &call);
    assert_int_equal(call.err, SKEP_E_NOT_FOUND);
    subs.count = 0;
    rig_on(r, 0, ask_subscriptions, &subs);
    assert_int_equal(subs.count, 1);
    assert_int_equal(subs.qos, 2);
    assert_string_equal(subs.last, "a");
    rig_on(r, 1, unsubscribe_here, &call); /* another loop */
    assert_int_equal(call.err, SKEP_E_STATE);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Restarts -- */

static void what_was_not_acknowledged_comes_again(void **state)
{
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "kept", 1);
    struct subscriptions subs = {.rec = rec};
    uint64_t ids[6];

    rec->ack = false;
    rec->conf.durable = true;
    rec_open(rec, m);
    assert_false(rec->resumed);
    assert_int_equal(rec_subscribe(rec, "t", 2, 0), SKEP_OK);
    for (unsigned i = 0; i < 6; i++)
        publish_numbers(r, m, "t", i, i + 1, 1 + i % 2);
    rig_await(&rec->count, 6);
    for (unsigned i = 0; i < 6; i++)
        ids[i] = rec->seen[i].id;
    rec_ack(rec, ids[1]); /* QoS 2 */
    rec_ack(rec, ids[2]); /* QoS 1 */
    rig_close(&r);        /* the consumer is open still: it waits, like its session */
    rig_module_free(&m);

    r = rec->rig = rig_open_with(NULL, "d");
    m = rig_module(r, "mod");
    rec->count = 0;
    rec_open(rec, m);
    assert_true(rec->resumed);
    rig_await(&rec->count, 4);
    rig_calm(r);
    assert_int_equal(rec->count, 4);
    static const unsigned left[] = {0, 3, 4, 5};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(number_of(&rec->seen[i]), left[i]);
        assert_int_equal(rec->seen[i].id, ids[left[i]]);
        assert_true(rec->seen[i].duplicate);
        rec_ack(rec, rec->seen[i].id);
    }
    rig_on(r, 1, ask_subscriptions, &subs);
    assert_int_equal(subs.count, 1);
    assert_int_equal(rec_queued(rec), 0);
    publish_numbers(r, m, "t", 6, 7, 1);
    rig_await(&rec->count, 5);
    assert_false(rec->seen[4].duplicate);
    assert_true(rec->seen[4].id > ids[5]);
    rec_close(rec, true);
    rig_close(&r);
    rig_module_free(&m);

    r = rec->rig = rig_open_with(NULL, "d");
    m = rig_module(r, "mod");
    rec_open(rec, m);
    assert_false(rec->resumed); /* it was forgotten */
    rec_close(rec, true);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void the_next_id_is_known_after_an_empty_queue(void **state)
{
    struct recorder *rec = NULL;
    uint64_t last = 0;

    for (unsigned run = 0; run < 3; run++) {
        struct host_rig *r = rig_open_with(NULL, "d");
        struct skep_module *m = rig_module(r, "mod");
        rec = rec_new(r, "kept", run);
        rec->conf.durable = true;
        rec_open(rec, m);
        assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
        publish_numbers(r, m, "t", 0, 3, 1);
        rig_await(&rec->count, 3);
        assert_true(rec->seen[0].id > last);
        assert_false(rec->seen[0].duplicate);
        last = rec->seen[2].id;
        rec_close(rec, false);
        free(rec);
        rig_close(&r);
        rig_module_free(&m);
    }
}

/* -- Numbers held: published once -- */

struct once_call {
    struct recorder *rec;
    struct skep_module *m;
    uint16_t once;
    bool forget;
    struct done done;
    int err;
};

static void forgotten(void *arg)
{
    done_called(arg, SKEP_RC_SUCCESS);
}

static void once_here(struct loop *l, void *arg)
{
    struct once_call *call = arg;
    struct skep_message message = text_message("once", "x", 2);

    message.once = call->once;
    if (call->forget)
        skep_consumer_forget(call->rec->c, call->once, forgotten, &call->done);
    else
        call->err = skep_publish(call->m, &message, call->rec->c, done_called, &call->done);
}

static void publish_once(struct recorder *rec, struct skep_module *m, uint16_t once, bool forget)
{
    struct once_call call = {.rec = rec, .m = m, .once = once, .forget = forget};

    rig_on(rec->rig, 1, once_here, &call);
    assert_int_equal(call.err, SKEP_OK);
    rig_await(&call.done.count, 1);
    assert_true(call.done.reason < 0x80);
    rig_calm(rec->rig);
}

static void a_number_that_is_held_is_published_once(void **state)
{
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "from", 1), *to = rec_new(r, "to", 0);

    rec->conf.durable = to->conf.durable = true;
    rec_open(rec, m);
    rec_open(to, m);
    assert_int_equal(rec_subscribe(to, "once", 2, 0), SKEP_OK);
    publish_once(rec, m, 7, false);
    publish_once(rec, m, 7, false);
    publish_once(rec, m, 8, false);
    assert_int_equal(to->count, 2);
    publish_once(rec, m, 7, true);
    publish_once(rec, m, 7, false);
    assert_int_equal(to->count, 3);
    rig_close(&r);
    rig_module_free(&m);

    r = rec->rig = to->rig = rig_open_with(NULL, "d");
    m = rig_module(r, "mod");
    rec_open(rec, m);
    rec_open(to, m);
    publish_once(rec, m, 7, false); /* held over the restart */
    publish_once(rec, m, 8, false);
    assert_int_equal(to->count, 3);
    publish_once(rec, m, 0, true); /* all */
    publish_once(rec, m, 7, false);
    publish_once(rec, m, 8, false);
    assert_int_equal(to->count, 5);
    rec_close(rec, true);
    rec_close(to, true);
    free(rec);
    free(to);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Who has the session -- */

static void a_new_instance_takes_over(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *old = rig_module(r, "mod"), *new = rig_module(r, "mod");
    struct recorder *first = rec_new(r, "c", 1), *second = rec_new(r, "c", 2);

    first->ack = false;
    first->conf.durable = second->conf.durable = true;
    rec_open(first, old);
    assert_int_equal(rec_subscribe(first, "t", 1, 0), SKEP_OK);
    publish_numbers(r, old, "t", 0, 3, 1);
    rig_await(&first->count, 3);
    rec_open(second, new);
    assert_true(second->resumed);
    rig_await(&first->refused, 1);
    rig_await(&second->count, 3); /* what had not been acknowledged */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(second->seen[i].duplicate);
        assert_int_equal(second->seen[i].id, first->seen[i].id);
    }
    rec_ack(first, first->seen[0].id); /* has no say any more */
    publish_numbers(r, new, "t", 3, 4, 1);
    rig_await(&second->count, 4);
    assert_int_equal(first->count, 3);
    assert_int_equal(rec_subscribe(first, "u", 1, 0), SKEP_E_STATE);
    rec_close(first, false);
    rec_close(second, true);
    free(first);
    free(second);
    rig_close(&r);
    rig_module_free(&old);
    rig_module_free(&new);
}

struct intruder {
    struct worker *w;
    struct link link;
    struct claim claim;
    struct session *s;
    unsigned ready, kicked; /* under rig_lock() */
};

static enum link_sent intruder_send(struct link *link, const struct out_vec *vec, unsigned count)
{
    return LINK_SENT;
}

static void intruder_kick(struct link *link, uint8_t reason)
{
    struct intruder *in = CONTAINER_OF(link, struct intruder, link);
    rig_lock();
    in->kicked = reason;
    rig_unlock();
}

static void intruder_ready(struct claim *claim, enum claim_result result)
{
    fail();
}

static const struct link_ops intruder_ops = {.send = intruder_send, .kick = intruder_kick};

static void intrude(struct loop *l, void *arg)
{
    struct intruder *in = arg;

    worker_turn(in->w, loop_now_ms(l));
    in->claim = (struct claim){.client_id = STR("$mod/c"), .ready = intruder_ready};
    in->ready = sessions_claim(in->w, &in->claim);
    if (in->ready != CLAIM_GRANTED)
        return;
    in->s = in->claim.session;
    in->s->expiry = EXPIRY_NEVER;
    in->link = (struct link){.ops = &intruder_ops, .version = MQTT_50, .quota = 1};
    session_attach(in->w, in->s, &in->link, STR_NONE);
    sessions_attached(in->w, in->s);
}

static void intruder_leaves(struct loop *l, void *arg)
{
    struct intruder *in = arg;

    worker_turn(in->w, loop_now_ms(l));
    session_detach(in->w, in->s);
    sessions_release(in->w, in->s);
}

/* An id is no way for a client into a module's session, nor can it keep a module out. */
static void clients_and_modules_do_not_share_sessions(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    struct intruder in = {.w = r->workers[0]};

    rec->conf.durable = true;
    rig_on(r, 0, intrude, &in); /* it was there first */
    assert_int_equal(in.ready, CLAIM_GRANTED);
    rec->c = skep_consumer_open(m, &rec->conf);
    rig_await(&in.kicked, RC_TAKEN_OVER);
    rig_on(r, 0, intruder_leaves, &in);
    rig_await(&rec->ready, 1);
    assert_false(rec->resumed);

    rig_on(r, 0, intrude, &in);
    assert_int_equal(in.ready, CLAIM_FOREIGN);
    rec_close(rec, false);
    rig_on(r, 0, intrude, &in); /* also while it is away */
    assert_int_equal(in.ready, CLAIM_FOREIGN);
    rec_open(rec, m);
    assert_true(rec->resumed);
    rec_close(rec, true);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void a_limit_is_told(void **state)
{
    struct limits limits;
    limits_default(&limits);
    limits.max_sessions = 1;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "a", 1), *more = rec_new(r, "b", 1);

    rec_open(rec, m);
    more->c = skep_consumer_open(m, &more->conf);
    rig_await(&more->refused, 1);
    assert_string_equal(more->error, "too many sessions");
    assert_int_equal(rec_subscribe(more, "t", 0, 0), SKEP_E_STATE);
    rec_close(more, false);
    rec_close(rec, false);
    free(rec);
    free(more);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Ends -- */

static void close_at_two(struct recorder *rec, const struct skep_message *m, uint64_t id)
{
    if (rec->count == 1)
        skep_consumer_close(rec->c, true);
}

static void nothing_comes_after_a_close_in_a_callback(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);

    rec->conf.durable = rec->conf.paused = true;
    rec->also = close_at_two;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    publish_numbers(r, m, "t", 0, 5, 1);
    rec_pause(rec, false);
    rig_await(&rec->count, 2);
    rig_calm(r);
    assert_int_equal(rec->count, 2);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    assert_int_equal(atomic_load(&m->holds), 1);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

struct open_close {
    struct skep_module *m;
    struct recorder *rec;
    bool forget;
};

static void open_and_close(struct loop *l, void *arg)
{
    struct open_close *oc = arg;
    struct skep_consumer *c = skep_consumer_open(oc->m, &oc->rec->conf);

    assert_non_null(c);
    skep_consumer_close(c, oc->forget);
}

static void closed_before_it_was_ready(void **state)
{
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    struct open_close oc = {.m = m, .rec = rec, .forget = true};

    rig_on(r, 1, open_and_close, &oc);
    rec->conf.durable = true;
    rig_on(r, 1, open_and_close, &oc);
    rig_calm(r);
    assert_int_equal(rec->ready + rec->refused, 0);
    assert_int_equal(atomic_load(&m->holds), 1);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void sessions_end_with_consumers_that_do_not_last(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);

    rec_open(rec, m);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1);
    rec_close(rec, false);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    rec->conf.durable = true;
    rec_open(rec, m);
    rec_close(rec, false);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 1);
    rec_open(rec, m);
    assert_true(rec->resumed);
    rec_close(rec, true);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static void leave_here(struct loop *l, void *arg)
{
    struct skep_module *m = arg;

    for (unsigned i = 0; i < m->host->leave_count; i++)
        m->host->leave[i](host_here, m);
}

/* A module that forgets to close its consumer, and one that does it too late. */
static void the_host_closes_what_a_stopped_module_left(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *left = rec_new(r, "left", 1), *late = rec_new(r, "late", 2);

    rec_open(left, m);
    rec_open(late, m);
    assert_int_equal(rec_subscribe(left, "t", 1, 0), SKEP_OK);
    atomic_store(&m->stopped, true);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        rig_on(r, i, leave_here, m);
    rig_calm(r);
    assert_int_equal(atomic_load(&m->holds), 1);
    assert_int_equal(sessions_stats(r->broker->sessions).total, 0);
    publish_numbers(r, m, "t", 0, 2, 1);
    assert_int_equal(left->count, 0);
    rec_close(late, true); /* there is nothing left to close, but its memory */
    assert_int_equal(rec_subscribe(left, "u", 1, 0), SKEP_E_STATE);
    free(left);
    free(late);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Traffic both ways -- */

static void echo(struct recorder *rec, const struct skep_message *m, uint64_t id)
{
    struct skep_message answer = text_message("back", "", m->qos);

    answer.payload = m->payload;
    assert_int_equal(skep_publish(rec->module, &answer, NULL, NULL, NULL), SKEP_OK);
}

static void an_echo_comes_in_the_same_order(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1), *back = rec_new(r, "d", 1);

    rec->also = echo;
    rec_open(rec, m);
    rec_open(back, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(back, "back", 1, 0), SKEP_OK);
    publish_numbers(r, m, "t", 0, 50, 1);
    rig_await(&back->count, 50);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(number_of(&back->seen[i]), i);
    rec_close(rec, false);
    rec_close(back, false);
    free(rec);
    free(back);
    rig_close(&r);
    rig_module_free(&m);
}

static void answer_itself(struct recorder *rec, const struct skep_message *m, uint64_t id)
{
    struct skep_message again = text_message("t", "x", m->qos);

    if (rec->count < 1000)
        assert_int_equal(skep_publish(rec->module, &again, NULL, NULL, NULL), SKEP_OK);
}

/* A message that causes the next one must not keep the loop from everybody else. */
static void a_module_in_a_circle_does_not_stop_the_loop(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    struct loop_stats before, after;

    rec->also = answer_itself;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    loop_stats(r->loops[1], &before);
    rig_publish_on(r, 1, m, "t", "x", 1, NULL);
    rig_await(&rec->count, 1001);
    loop_stats(r->loops[1], &after);
    assert_true(after.turns - before.turns >= 100);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* The broker ends with everything under way: nothing is left, and whoever waits is told. */
static void the_end_with_messages_under_way(void **state)
{
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    struct done done = {0};

    rec->ack = false;
    rec->conf.durable = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    for (unsigned i = 0; i < 300; i++)
        rig_publish_on(r, i % RIG_LOOPS, m, "t", "x", 1, &done);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        rig_on(r, i, rig_end_place, r);
    rig_publish_on(r, HOST_MANAGEMENT, m, "t", "x", 1, &done); /* too late */
    assert_int_equal(rig_publish_on(r, 0, m, "t", "x", 1, &done), SKEP_E_REFUSED);
    rig_await(&done.count, 301);
    rec_do_close(NULL, &(struct rec_call){.rec = rec}); /* as a module would that hears last */
    rig_close(&r);
    rig_module_free(&m);
    free(rec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_than_the_window_is_open),
        cmocka_unit_test(ids_are_never_used_twice),
        cmocka_unit_test(a_pause_holds_everything_back),
        cmocka_unit_test(pausing_in_a_callback_stops_at_once),
        cmocka_unit_test(large_messages_come_in_order),
        cmocka_unit_test(what_it_published_itself_does_not_come_back),
        cmocka_unit_test(members_of_a_group_share),
        cmocka_unit_test(retained_messages_come_with_a_subscription),
        cmocka_unit_test(retained_messages_wait_for_the_end_of_a_pause),
        cmocka_unit_test(filters_are_checked_and_counted),
        cmocka_unit_test_setup_teardown(what_was_not_acknowledged_comes_again, in_scratch,
                                        out_of_scratch),
        cmocka_unit_test_setup_teardown(the_next_id_is_known_after_an_empty_queue, in_scratch,
                                        out_of_scratch),
        cmocka_unit_test_setup_teardown(a_number_that_is_held_is_published_once, in_scratch,
                                        out_of_scratch),
        cmocka_unit_test(a_new_instance_takes_over),
        cmocka_unit_test(clients_and_modules_do_not_share_sessions),
        cmocka_unit_test(a_limit_is_told),
        cmocka_unit_test(nothing_comes_after_a_close_in_a_callback),
        cmocka_unit_test_setup_teardown(closed_before_it_was_ready, in_scratch, out_of_scratch),
        cmocka_unit_test(sessions_end_with_consumers_that_do_not_last),
        cmocka_unit_test(the_host_closes_what_a_stopped_module_left),
        cmocka_unit_test(an_echo_comes_in_the_same_order),
        cmocka_unit_test(a_module_in_a_circle_does_not_stop_the_loop),
        cmocka_unit_test_setup_teardown(the_end_with_messages_under_way, in_scratch,
                                        out_of_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
