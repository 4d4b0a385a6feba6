/* The stream of events: what is told equals what the ledger counts, and looking costs nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/event.h"
#include "traffic_rig.h"

/* -- A listener that counts -- */

struct counter {
    struct host_listener listener;
    _Atomic uint64_t events[SKEP_EVENT_COUNT];  /* as they come */
    _Atomic uint64_t numbers[SKEP_EVENT_COUNT]; /* their `number` */
    _Atomic uint64_t qos[3];                    /* DELIVERED */
    unsigned gone;                              /* under rig_lock() */
    char last_text[64], last_topic[64];         /* under rig_lock(), of `watched` */
    enum skep_event_kind watched;
    struct skep_event last;
};

static void count_event(struct host_listener *l, const struct skep_event *e)
{
    struct counter *c = CONTAINER_OF(l, struct counter, listener);

    atomic_fetch_add(&c->events[e->kind], 1);
    atomic_fetch_add(&c->numbers[e->kind], e->number);
    if (e->kind == SKEP_EVENT_DELIVERED)
        atomic_fetch_add(&c->qos[e->qos], 1);
    if (e->kind != c->watched)
        return;
    rig_lock();
    rig_text(c->last_text, e->text);
    rig_text(c->last_topic, e->topic);
    c->last = *e;
    rig_unlock();
}

static void count_gone(struct host_listener *l)
{
    struct counter *c = CONTAINER_OF(l, struct counter, listener);

    rig_lock();
    c->gone++;
    rig_unlock();
}

static struct counter *listen(struct host_rig *r, uint64_t kinds)
{
    struct counter *c = xcalloc(1, sizeof *c);

    c->listener = (struct host_listener){.kinds = kinds, .event = count_event, .gone = count_gone};
    c->watched = SKEP_EVENT_COUNT;
    host_listen(r->host, &c->listener);
    rig_calm(r); /* every worker has begun a turn since, and knows */
    return c;
}

static void unlisten_here(struct loop *l, void *arg)
{
    struct counter *c = arg;
    host_unlisten(host_here->host, &c->listener);
}

static void unlisten(struct host_rig *r, struct counter *c)
{
    rig_on(r, 0, unlisten_here, c);
    rig_calm(r); /* each loop has passed the end of a turn since, and loop 0 looked again */
    rig_calm(r);
    rig_await(&c->gone, 1);
}

/* -- Against the ledger -- */

static void close_for_good(struct recorder **rec)
{
    if ((*rec)->c)
        rec_close(*rec, true);
    free(*rec);
    *rec = NULL;
}

static void publish_some(struct host_rig *r, struct skep_module *m, unsigned seed)
{
    static const char *const topics[] = {"a", "b", "b/c", "nobody", "shared", "kept", "kept/2"};
    char payload[16];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(payload, sizeof payload, "%u", i);
        unsigned t = (i * 5 + seed) % ARRAY_LEN(topics);
        struct pub_call call = {.m = m, .message = text_message(topics[t], payload, i % 3)};
        call.message.retain = t >= 5;
        if (t == 5 && i % 4 == 0)
            call.message.payload = SKEP_STR("");
        if (i % 50 == 0)
            call.message.expiry_s = 1;
        rig_on(r, i % RIG_LOOPS, pub_do, &call);
        assert_int_equal(call.err, SKEP_OK);
    }
}

static void events_and_ledger_agree(void **state)
{
    const uint64_t all = SKEP_EVENT_BIT(SKEP_EVENT_COUNT) - 1;
    struct limits limits;
    limits_default(&limits);
    limits.max_queue_messages = 20;
    limits.max_retained_messages = 1;
    limits.max_payload = 50;
    struct host_rig *r = rig_open_with(&limits, NULL);
    struct skep_module *m = rig_module(r, "mod");
    struct counter *c = listen(r, all);
    struct recorder *quick = rec_new(r, "quick", 0), *slow = rec_new(r, "slow", 1);
    struct recorder *away = rec_new(r, "away", 2), *one = rec_new(r, "one", 0);
    struct recorder *two = rec_new(r, "two", 1);
    struct ledger_sum sum;

    slow->ack = two->ack = false;
    slow->conf.window = two->conf.window = 5;
    away->conf.durable = slow->conf.durable = true;
    rec_open(quick, m);
    rec_open(slow, m);
    rec_open(away, m);
    rec_open(one, m);
    rec_open(two, m);
    assert_int_equal(rec_subscribe(quick, "#", 2, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(slow, "b/#", 2, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(slow, "b", 1, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(away, "a", 2, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(one, "$share/g/shared", 1, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(two, "$share/g/shared", 2, 0), SKEP_OK);
    rec_close(away, false);
    publish_some(r, m, 0);
    rec_pause(one, true); /* now the group's queues fill up, too */
    publish_some(r, m, 1);
    rig_publish_on(r, 0, m, "a", "0123456789012345678901234567890123456789012345678901", 1, NULL);
    close_for_good(&slow);
    close_for_good(&two); /* its share goes to the other member */
    rec_pause(one, false);
    rig_calm(r);
    rec_open(away, m);
    close_for_good(&away);
    close_for_good(&one);
    rig_calm(r);
    close_for_good(&quick);
    rig_calm(r);

    broker_ledger(r->broker, &sum);
    assert_int_equal(ledger_waiting(&sum), 0);
#define EVENTS(kind)  atomic_load(&c->events[SKEP_EVENT_##kind])
#define NUMBERS(kind) atomic_load(&c->numbers[SKEP_EVENT_##kind])
    assert_int_equal(EVENTS(PUBLISHED), sum.accepted);
    assert_int_equal(EVENTS(PUBLISH_REFUSED), ledger_refused(&sum));
    assert_int_equal(EVENTS(DELIVERED), ledger_delivered(&sum));
    assert_int_equal(c->qos[0], sum.delivered_qos0);
    assert_int_equal(c->qos[1], sum.delivered_qos1);
    assert_int_equal(c->qos[2], sum.delivered_qos2);
    assert_int_equal(NUMBERS(DROPPED), ledger_dropped(&sum));
    assert_int_equal(EVENTS(RETAINED), sum.retained_set + sum.retained_cleared);
    assert_int_equal(EVENTS(SUBSCRIBED), sum.subscribes);
    assert_int_equal(EVENTS(SESSION_BEGAN), 5);
    assert_int_equal(EVENTS(SESSION_ENDED), 5);
    /* and each of them did occur */
    assert_true(sum.accepted > 0 && sum.refused_invalid > 0 && sum.refused_quota > 0);
    assert_true(sum.dropped_queue_full > 0 && sum.dropped_session_ended > 0);
    assert_true(sum.dropped_offline > 0);
    assert_true(sum.delivered_qos0 > 0 && sum.delivered_qos1 > 0 && sum.delivered_qos2 > 0);
    assert_true(sum.retained_set > 0 && sum.retained_cleared > 0);
    unlisten(r, c);
    free(c);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Who wants what -- */

static void only_what_is_wanted_is_told(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct counter *published = listen(r, SKEP_EVENT_BIT(SKEP_EVENT_PUBLISHED));
    struct counter *retained = listen(r, SKEP_EVENT_BIT(SKEP_EVENT_RETAINED));
    struct pub_call call = {.m = m, .message = text_message("kept", "x", 1)};

    assert_true(host_wants(r->host, SKEP_EVENT_PUBLISHED));
    assert_false(host_wants(r->host, SKEP_EVENT_DROPPED));
    published->watched = SKEP_EVENT_PUBLISHED;
    call.message.retain = true;
    rig_on(r, 0, pub_do, &call);
    assert_int_equal(published->events[SKEP_EVENT_PUBLISHED], 1);
    assert_int_equal(published->events[SKEP_EVENT_RETAINED], 0);
    assert_int_equal(retained->events[SKEP_EVENT_RETAINED], 1);
    assert_string_equal(published->last_topic, "kept");
    assert_int_equal(published->last.qos, 1);
    assert_true(published->last.retain);
    assert_true(published->last.now_ms > 0);

    unlisten(r, published);
    assert_false(host_wants(r->host, SKEP_EVENT_PUBLISHED));
    assert_true(host_wants(r->host, SKEP_EVENT_RETAINED));
    rig_on(r, 0, pub_do, &call);
    assert_int_equal(published->events[SKEP_EVENT_PUBLISHED], 1);
    assert_int_equal(retained->events[SKEP_EVENT_RETAINED], 2);
    unlisten(r, retained);
    assert_int_equal(atomic_load(&r->broker->events), 0);
    free(published);
    free(retained);
    rig_close(&r);
    rig_module_free(&m);
}

static void *come_and_go(void *arg)
{
    struct host_rig *r = arg;

    for (unsigned i = 0; i < 40; i++) {
        struct counter *c = xcalloc(1, sizeof *c);
        c->listener =
            (struct host_listener){.kinds = UINT64_MAX, .event = count_event, .gone = count_gone};
        c->watched = SKEP_EVENT_COUNT;
        host_listen(r->host, &c->listener);
        unlisten(r, c);
        free(c);
    }
    return NULL;
}

/* Listeners come and go on one thread while others are busy telling. */
static void listeners_come_and_go_under_traffic(void **state)
{
    struct host_rig *r = rig_open();
    struct skep_module *m = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1);
    pthread_t thread;

    rec_open(rec, m);
    assert_int_equal(rec_subscribe(rec, "#", 1, 0), SKEP_OK);
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, r), 0);
    for (unsigned i = 0; i < 3000; i++)
        rig_publish_on(r, i % RIG_LOOPS, m, "t", "x", i % 2, NULL);
    pthread_join(thread, NULL);
    rig_await(&rec->count, 3000);
    rec_close(rec, false);
    free(rec);
    rig_close(&r);
    rig_module_free(&m);
}

/* -- Modules -- */

static unsigned told;                /* under rig_lock() */
static struct skep_module *answerer; /* who publishes from on_event */
static int consumer_err;
static struct recorder *victim;

/* Inside core: what it publishes waits, and its consumers are out of reach. */
static void answer_delivery(const struct skep_event *e, void *self)
{
    struct skep_message message = text_message("answer", "x", 1);

    if (!skep_str_eq(e->topic, SKEP_STR("t")))
        return;
    assert_int_equal(skep_publish(answerer, &message, NULL, NULL, NULL), SKEP_OK);
    consumer_err = skep_consumer_subscribe(victim->c, SKEP_STR("x"), 0, 0);
    skep_consumer_ack(victim->c, victim->seen[0].id); /* from under its session's lock */
    rig_lock();
    told++;
    rig_unlock();
}

static void put_in_force(struct host_rig *r, struct skep_module *m)
{
    struct roll *roll = xcalloc(1, sizeof *roll + sizeof(struct skep_module *));

    if (m)
        roll->modules[roll->count++] = m;
    qsbr_online(&r->host->main_slot);
    qsbr_retire(&r->host->main_slot, atomic_exchange(&r->host->roll, roll), free);
    qsbr_quiescent(&r->host->main_slot);
    qsbr_offline(&r->host->main_slot);
    events_swap(r->host, m ? m->d->events : 0);
    rig_calm(r);
}

static void a_module_may_publish_from_an_event(void **state)
{
    static const struct skep_descriptor d = {
        .size = sizeof d,
        .name = "test",
        .events = SKEP_EVENT_BIT(SKEP_EVENT_DELIVERED) | SKEP_EVENT_BIT(SKEP_EVENT_PUBLISHED),
        .on_event = answer_delivery,
    };
    struct host_rig *r = rig_open();
    struct skep_module *m = answerer = rig_module(r, "mod");
    struct recorder *rec = rec_new(r, "c", 1), *answers = rec_new(r, "d", 1);

    victim = rec;
    told = 0;
    rec->ack = false;
    m->d = &d;
    rec_open(rec, m);
    rec_open(answers, m);
    assert_int_equal(rec_subscribe(rec, "t", 1, 0), SKEP_OK);
    assert_int_equal(rec_subscribe(answers, "answer", 1, 0), SKEP_OK);
    put_in_force(r, m);
    rig_publish_on(r, 1, m, "t", "x", 1, NULL); /* PUBLISHED: the first answer, and the first ack */
    rig_await(&rec->count, 1);
    rig_await(&answers->count, 1);
    rig_publish_on(r, 1, m, "t", "x", 1, NULL); /* acknowledges the first: DELIVERED */
    rig_await(&told, 3);
    rig_await(&answers->count, 3);
    assert_int_equal(consumer_err, SKEP_E_STATE);
    put_in_force(r, NULL);
    rec_close(rec, false);
    rec_close(answers, false);
    free(rec);
    free(answers);
    rig_close(&r);
    rig_module_free(&m);
}

static void every_kind_has_a_name(void **state)
{
    for (unsigned i = 0; i < SKEP_EVENT_COUNT; i++)
        assert_true(strlen(skep_event_text((enum skep_event_kind)i)) > 3);
    assert_string_equal(skep_event_text(SKEP_EVENT_PUBLISH_REFUSED), "publish_refused");
    assert_string_equal(skep_event_text(SKEP_EVENT_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_and_ledger_agree),
        cmocka_unit_test(only_what_is_wanted_is_told),
        cmocka_unit_test(listeners_come_and_go_under_traffic),
        cmocka_unit_test(a_module_may_publish_from_an_event),
        cmocka_unit_test(every_kind_has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
