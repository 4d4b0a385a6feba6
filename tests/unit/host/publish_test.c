/* skep_publish() and skep_retained(): from every kind of thread, in order, and what became of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "../store/scratch.h"
#include "base/clock.h"
#include "host/chain.h"
#include "mqtt/reason.h"
#include "store/disk.h"
#include "traffic_rig.h"
#include <skep/decide.h>

/* -- From where -- */

static void what_a_loop_publishes_is_delivered(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 1);
    struct done done[3] = {0};

    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t/#", 2, 0), SKEP_OK);
    assert_int_equal(rig_publish_on(r, 0, m, "t/0", "zero", 0, &done[0]), SKEP_OK);
    assert_int_equal(rig_publish_on(r, 1, m, "t/1", "one", 1, &done[1]), SKEP_OK);
    assert_int_equal(rig_publish_on(r, HOST_MANAGEMENT, m, "t/2", "two", 2, &done[2]), SKEP_OK);
    rig_await(&rec->count, 3);
    for (unsigned i = 0; i < 3; i++) {
        rig_await(&done[i].count, 1);
        assert_int_equal(done[i].reason, SKEP_RC_SUCCESS);
        assert_int_equal(rec->seen[i].loop, 1);
        assert_int_equal(rec->seen[i].id != 0, rec->seen[i].qos > 0);
    }
    assert_int_equal(done[0].loop, 0);
    assert_int_equal(done[1].loop, 1);
    assert_int_equal(done[2].loop, HOST_MANAGEMENT);

    /* counted like a client's */
    struct ledger_sum sum;
    rig_calm(r);
    broker_ledger(r->broker, &sum);
    assert_int_equal(sum.received_qos0, 1);
    assert_int_equal(sum.received_qos1, 1);
    assert_int_equal(sum.received_qos2, 1);
    assert_int_equal(sum.accepted, 3);
    assert_int_equal(sum.delivered_qos0, 1);
    assert_int_equal(sum.delivered_qos1, 1);
    assert_int_equal(sum.delivered_qos2, 1);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

enum { THREADS = 3, MESSAGES = 1500 };

struct publisher {
    pthread_t thread;
    struct skep_module *m;
    unsigned number;
    struct done done;
};

/* Publishes from a thread that is no loop, at most some hundreds ahead of the word that came back.
 */
static void *publish_many(void *arg)
{
    struct publisher *p = arg;
    char topic[16], payload[16];

    snprintf(topic, sizeof topic, "from/%u", p->number);
    for (unsigned i = 0; i < MESSAGES; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        struct skep_message msg = text_message(topic, payload, i % 3);
        assert_int_equal(skep_publish(p->m, &msg, NULL, done_called, &p->done), SKEP_OK);
        if (i >= 500)
            rig_await(&p->done.count, i - 500);
    }
    return NULL;
}

/* Payloads of each topic must rise by one. */
static void check_order(const struct recorder *rec, unsigned publishers)
{
    unsigned next[8] = {0};

    for (unsigned i = 0; i < rec->count; i++) {
        unsigned from = 0, n = 0;
        assert_int_equal(sscanf(rec->seen[i].topic, "from/%u", &from), 1);
        assert_int_equal(sscanf(rec->seen[i].payload, "%u", &n), 1);
        assert_int_equal(n, next[from]);
        next[from]++;
    }
    for (unsigned i = 0; i < publishers; i++)
        assert_int_equal(next[i], MESSAGES);
}

/* QoS 1 and 2 only: what is QoS 0 stands in another queue, and overtakes. */
static void *publish_reliably(void *arg)
{
    struct publisher *p = arg;
    char topic[16], payload[16];

    snprintf(topic, sizeof topic, "from/%u", p->number);
    for (unsigned i = 0; i < MESSAGES; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        struct skep_message msg = text_message(topic, payload, 1 + i % 2);
        assert_int_equal(skep_publish(p->m, &msg, NULL, done_called, &p->done), SKEP_OK);
        if (i >= 500 && !host_here)
            rig_await(&p->done.count, i - 500);
    }
    return NULL;
}

static void publish_reliably_here(struct loop *l, void *arg)
{
    publish_reliably(arg);
}

static void each_thread_keeps_its_order(void **state)
{
    struct limits limits;
    limits_default(&limits);
    limits.max_queue_messages = 100000;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 0);
    struct publisher p[THREADS + 2];

    rec->conf.window = 1000;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "from/#", 2, 0), SKEP_OK);
    for (unsigned i = 0; i < THREADS + 2; i++)
        p[i] = (struct publisher){.m = m, .number = i};
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&p[i].thread, NULL, publish_reliably, &p[i]), 0);
    rig_on(r, 1, publish_reliably_here, &p[THREADS]);
    rig_on(r, HOST_MANAGEMENT, publish_reliably_here, &p[THREADS + 1]);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(p[i].thread, NULL);
    rig_await(&rec->count, (THREADS + 2) * MESSAGES);
    check_order(rec, THREADS + 2);
    for (unsigned i = 0; i < THREADS + 2; i++)
        rig_await(&p[i].done.count, MESSAGES);
    assert_int_equal(p[THREADS].done.loop, 1);
    assert_int_equal(p[0].done.loop, HOST_MANAGEMENT);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* All QoS at once, against the other lists of the traffic. */
static void mixed_qos_from_threads_all_arrive(void **state)
{
    struct limits limits;
    limits_default(&limits);
    limits.max_queue_messages = 100000;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 2);
    struct publisher p[2] = {{.m = m, .number = 0}, {.m = m, .number = 1}};

    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "from/#", 2, 0), SKEP_OK);
    assert_int_equal(pthread_create(&p[0].thread, NULL, publish_many, &p[0]), 0);
    assert_int_equal(pthread_create(&p[1].thread, NULL, publish_many, &p[1]), 0);
    pthread_join(p[0].thread, NULL);
    pthread_join(p[1].thread, NULL);
    rig_await(&rec->count, 2 * MESSAGES);
    assert_int_equal(rec->count, 2 * MESSAGES);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- From inside core -- */

static void publish_within(struct loop *l, void *arg)
{
    traffic_within_begin(host_here);
    pub_do(l, arg);
    traffic_within_end(host_here);
    /* not routed yet, and what follows is not either: it keeps its place */
    struct pub_call *call = arg;
    assert_non_null(host_here->traffic->queue.first);
    assert_int_equal(skep_publish(call->m, &call->message, NULL, NULL, NULL), SKEP_OK);
    assert_ptr_not_equal(host_here->traffic->queue.first, host_here->traffic->queue.last);
}

static void within_core_it_waits_for_the_turns_end(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 1);
    struct done done = {0};
    struct pub_call call = {.m = m, .message = text_message("t", "x", 1), .done = &done};

    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    rig_on(r, 0, publish_within, &call);
    rig_await(&rec->count, 2);
    rig_await(&done.count, 1);
    assert_int_equal(done.loop, 0);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- From on_message -- */

static unsigned asked; /* the loop's */

/* Answers each message with another one, which it is asked about, too. */
static enum skep_verdict answer_message(struct skep_request *request, void *self)
{
    struct skep_module *m = skep_request_module(request);
    struct skep_message next = text_message("t", "", 1);
    char payload[16];

    snprintf(payload, sizeof payload, "%u", ++asked);
    next.payload = skep_str(payload);
    if (asked < 2000)
        assert_int_equal(skep_publish(m, &next, NULL, NULL, NULL), SKEP_OK);
    return SKEP_NEXT;
}

static void swap_chain(struct host_rig *r, struct skep_module *m)
{
    qsbr_online(&r->host->main_slot);
    chain_swap(r->host, r->host->nowhere, chain_new(&m, m ? 1 : 0, true));
    qsbr_quiescent(&r->host->main_slot);
    qsbr_offline(&r->host->main_slot);
}

static void on_message_may_publish_without_end(void **state)
{
    static const struct skep_descriptor d = {
        .size = sizeof d, .name = "test", .flags = SKEP_SEE_INTERNAL, .on_message = answer_message};
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 1);

    asked = 0;
    m->d = &d;
    m->stats = xcalloc(RIG_LOOPS + 1, sizeof *m->stats);
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    swap_chain(r, m);
    assert_int_equal(rig_publish_on(r, 1, m, "t", "0", 1, NULL), SKEP_OK);
    rig_await(&rec->count, 2000);
    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(strtoul(rec->seen[i].payload, NULL, 10), i);
    swap_chain(r, NULL);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    free(m->stats);
    rig_module_free(&m);
}

/* -- What became of it -- */

static void reasons(void **state)
{
    struct limits limits;
    limits_default(&limits);
    limits.max_queue_messages = 1;
    limits.max_payload = 100;
    limits.retain = false;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "slow", 0);
    struct done done[6] = {{0}};
    char large[101];

    memset(large, 'x', sizeof large - 1);
    large[100] = '\0';
    rec->ack = false;
    rec->conf.window = 1;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    rig_publish_on(r, 1, m, "nobody", "x", 1, &done[0]);
    rig_await(&done[0].count, 1);
    assert_int_equal(done[0].reason, SKEP_RC_NO_SUBSCRIBERS);
    for (unsigned i = 1; i <= 3; i++) { /* one in flight, one waits, the third is too many */
        rig_publish_on(r, 1, m, "t", "x", 1, &done[i]);
        rig_await(&done[i].count, 1);
        rig_calm(r);
    }
    assert_int_equal(done[1].reason, SKEP_RC_SUCCESS);
    assert_int_equal(done[2].reason, SKEP_RC_SUCCESS);
    assert_int_equal(done[3].reason, SKEP_RC_QUOTA);

    struct pub_call call = {.m = m, .message = text_message("t", large, 0), .done = &done[4]};
    rig_on(r, 1, pub_do, &call);
    rig_await(&done[4].count, 1);
    assert_int_equal(done[4].reason, SKEP_RC_SUCCESS);
    call.message.payload.len++;
    rig_on(r, 1, pub_do, &call);
    rig_await(&done[4].count, 2);
    assert_int_equal(done[4].reason, RC_PACKET_TOO_LARGE);
    call = (struct pub_call){.m = m, .message = text_message("t", "", 0), .done = &done[5]};
    call.message.retain = true;
    rig_on(r, HOST_MANAGEMENT, pub_do, &call);
    rig_await(&done[5].count, 1);
    assert_int_equal(done[5].reason, RC_RETAIN_NOT_SUPPORTED);

    struct ledger_sum sum;
    broker_ledger(r->broker, &sum);
    assert_int_equal(sum.refused_invalid, 2);
    assert_int_equal(sum.refused_quota, 1);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

static int publish(struct skep_module *m, const struct skep_message *message)
{
    return skep_publish(m, message, NULL, NULL, NULL);
}

static void what_mqtt_does_not_allow_is_refused_at_once(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct skep_message good = text_message("t", "x", 0), bad;
    struct skep_user_property user = {SKEP_STR("name"), SKEP_STR("va\xff")};
    static char huge[65536];

    assert_int_equal(publish(m, &good), SKEP_OK);
#define REFUSED(member, value)                                                                     \
    bad = good;                                                                                    \
    bad.member = value;                                                                            \
    assert_int_equal(publish(m, &bad), SKEP_E_INVALID)
    REFUSED(topic, SKEP_STR(""));
    REFUSED(topic, SKEP_STR("a/+"));
    REFUSED(topic, SKEP_STR("a/#"));
    REFUSED(topic, skep_bytes("a\0b", 3));
    REFUSED(topic, SKEP_STR("a\xc0\x80"));
    REFUSED(qos, 3);
    REFUSED(size, 8);
    REFUSED(once, 1); /* at QoS 0, and as nobody */
    REFUSED(content_type, SKEP_STR("\xff"));
    REFUSED(response_topic, SKEP_STR("a/#"));
    REFUSED(correlation_data, skep_bytes(huge, sizeof huge));
    bad = good;
    bad.payload_is_utf8 = true;
    bad.payload = SKEP_STR("\xff");
    assert_int_equal(publish(m, &bad), SKEP_E_INVALID);
    bad = good;
    bad.user_properties = &user;
    bad.user_property_count = 1;
    assert_int_equal(publish(m, &bad), SKEP_E_INVALID);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Too much under way -- */

static void loop_held(struct loop *l, void *arg)
{
    struct done *d = arg;

    rig_lock();
    d[0].count = 1;
    rig_unlock();
    rig_await(&d[1].count, 1);
}

struct held_task {
    struct loop_task task;
    struct done *done;
};

static void held_run(struct loop_task *task, struct loop *l)
{
    loop_held(l, CONTAINER_OF(task, struct held_task, task)->done);
}

/* With every loop held up, what is posted piles up to the limit. */
static void too_much_under_way_is_said(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod"), *other = rig_module(r, "other");
    struct done held[RIG_LOOPS][2] = {{{0}}}, all = {0};
    struct held_task tasks[RIG_LOOPS];
    struct skep_message message = text_message("t", "x", 0);
    unsigned taken = 0;
    int err;

    for (unsigned i = 0; i < RIG_LOOPS; i++) {
        tasks[i] = (struct held_task){.task.run = held_run, .done = held[i]};
        loop_post(r->loops[i], &tasks[i].task);
        rig_await(&held[i][0].count, 1);
    }
    while ((err = skep_publish(m, &message, NULL, done_called, &all)) == SKEP_OK)
        taken++;
    assert_int_equal(err, SKEP_E_LIMIT);
    assert_int_equal(taken, 10000);
    assert_int_equal(publish(other, &message), SKEP_OK); /* each module has its own */

    static char big[33 << 20];
    memset(big, 'x', sizeof big);
    message.payload = skep_bytes(big, sizeof big);
    assert_int_equal(publish(other, &message), SKEP_OK);
    assert_int_equal(publish(other, &message), SKEP_E_LIMIT); /* bytes */
    for (unsigned i = 0; i < RIG_LOOPS; i++) {
        rig_lock();
        held[i][1].count = 1;
        rig_unlock();
    }
    rig_await(&all.count, taken);
    message.payload = SKEP_STR("x");
    rig_calm(r);
    assert_int_equal(publish(m, &message), SKEP_OK);
    rig_close(&r);
    rig_module_free(&m);
    rig_module_free(&other);
}

/* -- Properties, both ways -- */

static struct skep_message property_message(const struct skep_user_property *user)
{
    struct skep_message message = text_message("p", "h\xc3\xa4", 1);

    message.payload_is_utf8 = true;
    message.content_type = SKEP_STR("text/plain");
    message.response_topic = SKEP_STR("answer/here");
    message.correlation_data = skep_bytes("\0\1\2", 3);
    message.expiry_s = 1000;
    message.user_properties = user;
    message.user_property_count = 3;
    return message;
}

static void check_properties(const struct skep_message *m)
{
    assert_true(m->payload_is_utf8);
    assert_true(skep_str_eq(m->content_type, SKEP_STR("text/plain")));
    assert_true(skep_str_eq(m->response_topic, SKEP_STR("answer/here")));
    assert_true(skep_str_eq(m->correlation_data, skep_bytes("\0\1\2", 3)));
    assert_in_range(m->expiry_s, 900, 1000);
    assert_int_equal(m->user_property_count, 3);
    assert_true(skep_str_eq(m->user_properties[0].name, SKEP_STR("a")));
    assert_true(skep_str_eq(m->user_properties[0].value, SKEP_STR("1")));
    assert_true(skep_str_eq(m->user_properties[1].name, SKEP_STR("a")));
    assert_true(skep_str_eq(m->user_properties[1].value, SKEP_STR("2")));
    assert_int_equal(m->user_properties[2].value.len, 3000);
}

static void check_received(struct recorder *rec, const struct skep_message *m, uint64_t id)
{
    check_properties(m);
}

static void properties_come_through(void **state)
{
    static char large[3000];
    memset(large, 'y', sizeof large);
    struct skep_user_property user[] = {{SKEP_STR("a"), SKEP_STR("1")},
                                        {SKEP_STR("a"), SKEP_STR("2")},
                                        {SKEP_STR(""), skep_bytes(large, sizeof large)}};
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "all", 1);
    struct pub_call call = {.m = m, .message = property_message(user)};

    rec->also = check_received;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "p", 1, 0), SKEP_OK);
    rig_on(r, 0, pub_do, &call);
    rig_on(r, HOST_MANAGEMENT, pub_do, &call);
    rig_await(&rec->count, 2);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Retained -- */

struct found {
    unsigned count, most;
};

static bool count_found(const struct skep_message *message, void *arg)
{
    struct found *f = arg;

    assert_true(message->retain);
    if (skep_str_eq(message->topic, SKEP_STR("keep/p")))
        check_properties(message);
    return ++f->count < f->most;
}

struct look {
    struct skep_module *m;
    const char *filter;
    size_t most;
    struct found found;
    int err;
};

static void look_here(struct loop *l, void *arg)
{
    struct look *look = arg;
    look->err =
        skep_retained(look->m, skep_str(look->filter), look->most, count_found, &look->found);
}

static unsigned retained_count(struct host_rig *r, struct skep_module *m, const char *filter,
                               size_t most, unsigned stop_after)
{
    struct look look = {.m = m, .filter = filter, .most = most, .found.most = stop_after};

    rig_on(r, 1, look_here, &look);
    assert_int_equal(look.err, SKEP_OK);
    return look.found.count;
}

static void retained_messages_can_be_looked_at(void **state)
{
    static char large[3000];
    memset(large, 'y', sizeof large);
    struct skep_user_property user[] = {{SKEP_STR("a"), SKEP_STR("1")},
                                        {SKEP_STR("a"), SKEP_STR("2")},
                                        {SKEP_STR(""), skep_bytes(large, sizeof large)}};
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct pub_call call = {.m = m, .message = property_message(user)};
    char topic[32];

    call.message.retain = true;
    call.message.topic = SKEP_STR("keep/p");
    rig_on(r, 0, pub_do, &call);
    call.message = text_message("", "x", 0);
    call.message.retain = true;
    for (unsigned i = 0; i < 500; i++) {
        snprintf(topic, sizeof topic, "keep/n/%u", i);
        call.message.topic = skep_str(topic);
        rig_on(r, 0, pub_do, &call);
    }
    assert_int_equal(retained_count(r, m, "keep/#", SIZE_MAX, UINT32_MAX), 501);
    assert_int_equal(retained_count(r, m, "keep/+", SIZE_MAX, UINT32_MAX), 1);
    assert_int_equal(retained_count(r, m, "keep/#", 10, UINT32_MAX), 10);
    assert_int_equal(retained_count(r, m, "keep/#", SIZE_MAX, 7), 7);
    assert_int_equal(retained_count(r, m, "keep/#", 0, UINT32_MAX), 0);

    call.message.payload = SKEP_STR(""); /* takes it away */
    rig_on(r, 2, pub_do, &call);
    assert_int_equal(retained_count(r, m, "keep/#", SIZE_MAX, UINT32_MAX), 500);

    struct look bad = {.m = m, .filter = "a/#/b", .most = 1};
    rig_on(r, 1, look_here, &bad);
    assert_int_equal(bad.err, SKEP_E_INVALID);
    bad.filter = "$share/g/a";
    rig_on(r, 1, look_here, &bad);
    assert_int_equal(bad.err, SKEP_E_INVALID);
    assert_int_equal(skep_retained(m, SKEP_STR("#"), 1, count_found, NULL), SKEP_E_STATE);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- The log -- */

struct safe {
    struct host_rig *r;
    struct skep_module *m;
    uint64_t lsn; /* behind the message */
    bool safe;    /* the store had settled it when done() came */
    struct done done;
};

static void note_safe(void *arg, enum skep_reason reason)
{
    struct safe *s = arg;

    s->safe = store_settled(s->r->store) >= s->lsn;
    done_called(&s->done, reason);
}

static void publish_and_note(struct loop *l, void *arg)
{
    struct safe *s = arg;
    struct skep_message message = text_message("t", "x", 1);
    uint64_t before = s->r->workers[loop_index(l)]->journal.end;

    assert_int_equal(skep_publish(s->m, &message, NULL, note_safe, s), SKEP_OK);
    s->lsn = journal_submit(s->r->workers[loop_index(l)]);
    assert_true(s->lsn > before);
}

static void done_waits_for_the_log(void **state)
{
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "kept", 1);
    struct safe safe[200];

    rec->conf.durable = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    for (unsigned i = 0; i < ARRAY_LEN(safe); i++) {
        safe[i] = (struct safe){.r = r, .m = m};
        rig_on(r, i % RIG_LOOPS, publish_and_note, &safe[i]);
    }
    for (unsigned i = 0; i < ARRAY_LEN(safe); i++) {
        rig_await(&safe[i].done.count, 1);
        assert_true(safe[i].safe);
        assert_int_equal(safe[i].done.reason, SKEP_RC_SUCCESS);
        assert_int_equal(safe[i].done.loop, i % RIG_LOOPS);
    }
    rig_await(&rec->count, ARRAY_LEN(safe));
    rec_close(rec, true);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- A disk that takes nothing -- */

static _Atomic bool disk_full;

static ssize_t full_pwritev(struct disk *d, int fd, const struct iovec *vec, int count, uint64_t at)
{
    if (atomic_load(&disk_full)) {
        errno = ENOSPC;
        return -1;
    }
    return disk_system.ops->pwritev(d, fd, vec, count, at);
}

static void await_refusing(struct host_rig *r, bool refusing)
{
    uint64_t deadline = clock_mono_ms() + 1000 * RIG_PATIENCE_S;

    while (store_refusing(r->store) != refusing) {
        assert_true(clock_mono_ms() < deadline);
        rig_calm(r);
    }
}

static void a_disk_that_is_full(void **state)
{
    struct disk_ops ops = *disk_system.ops;
    struct disk disk = {&ops};

    ops.pwritev = full_pwritev;
    atomic_store(&disk_full, false);
    rig_disk = &disk;
    struct host_rig *r = rig_open_with(NULL, "d");
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "kept", 1), *more = rec_new(r, "more", 1);
    struct done done[4] = {{0}};

    rec->conf.durable = more->conf.durable = true;
    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    rig_publish_on(r, 0, m, "t", "1", 1, &done[0]);
    rig_await(&done[0].count, 1);
    rig_calm(r);

    atomic_store(&disk_full, true);
    rig_publish_on(r, 0, m, "t", "2", 1, &done[1]); /* taken, but not safe */
    await_refusing(r, true);
    rig_publish_on(r, 0, m, "t", "3", 1, &done[2]);
    rig_await(&done[2].count, 1);
    assert_int_equal(done[2].reason, SKEP_RC_QUOTA);
    assert_int_equal(rec_subscribe(rec, "u", 1, 0), SKEP_E_REFUSED);
    more->c = skep_consumer_open(m, &more->conf);
    rig_await(&more->refused, 1);
    assert_int_equal(done[1].count, 0);
    atomic_store(&disk_full, false);
    rig_await(&done[1].count, 1);
    assert_int_equal(done[1].reason, SKEP_RC_SUCCESS);
    await_refusing(r, false);

    /* the broker ends with it */
    atomic_store(&disk_full, true);
    rig_publish_on(r, 0, m, "t", "4", 1, &done[3]);
    await_refusing(r, true);
    assert_int_equal(done[3].count, 0);
    rec_close(more, false);
    rec_close(rec, false);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        rig_on(r, i, rig_end_place, r);
    rig_await(&done[3].count, 1);
    assert_int_equal(done[3].reason, SKEP_RC_UNAVAILABLE);
    atomic_store(&disk_full, false);
    await_refusing(r, false);
    free(rec);
    free(more);
    rig_close(&r);
    rig_module_free(&m);
    rig_disk = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_loop_publishes_is_delivered),
        cmocka_unit_test(each_thread_keeps_its_order),
        cmocka_unit_test(mixed_qos_from_threads_all_arrive),
        cmocka_unit_test(within_core_it_waits_for_the_turns_end),
        cmocka_unit_test(on_message_may_publish_without_end),
        cmocka_unit_test(reasons),
        cmocka_unit_test(what_mqtt_does_not_allow_is_refused_at_once),
        cmocka_unit_test(too_much_under_way_is_said),
        cmocka_unit_test(properties_come_through),
        cmocka_unit_test(retained_messages_can_be_looked_at),
        cmocka_unit_test_setup_teardown(done_waits_for_the_log, in_scratch, out_of_scratch),
        cmocka_unit_test_setup_teardown(a_disk_that_is_full, in_scratch, out_of_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
