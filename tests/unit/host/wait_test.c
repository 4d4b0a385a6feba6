/* Waiting for an answer, with real loops and real threads: whoever ends a wait first is the only
 * one. */
#include "host/wait.h"

#include "core/identity.h"
#include "host/decide.h"
#include "host/refuse.h"
#include "host_fixture.h"

enum { MANY = 10000, RACES = 2000, THREADS = 4 };

/* In the place of the broker's (host/refuse.c): the n-th thing from now is refused. */
static unsigned refuse_at;

bool host_refuses(void)
{
    return refuse_at > 0 && --refuse_at == 0;
}

/* One question, and what became of it.  Its loop's, but for what is atomic. */
struct asker {
    struct rig *rig;
    unsigned loop;
    struct host_client *hc;
    struct skep_request *r;
    _Atomic uint64_t token;
    _Atomic unsigned decided, dropped, thens;
    unsigned verdict;
    bool allow; /* answered at once */
};

static void on_drop(void *data)
{
    struct asker *a = data;
    atomic_fetch_add(&a->dropped, 1);
}

static enum skep_verdict then(struct skep_request *r, void *self)
{
    struct asker *a = *skep_request_data(r);

    atomic_fetch_add(&a->thens, 1);
    return skep_allow(r);
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    struct asker *a = r->client->owner;
    uint64_t token;

    if (a->allow)
        return skep_allow(r);
    *skep_request_data(r) = a;
    enum skep_verdict v = skep_wait_token(r, &token, on_drop, then);
    atomic_store(&a->token, token);
    return v;
}

static const struct skep_descriptor waits = {
    .size = sizeof waits, .name = "waits", .on_publish = on_publish};

static void decided(void *owner, struct skep_request *r)
{
    struct asker *a = owner;

    a->verdict = r->verdict;
    a->r = NULL;
    request_end(&r);
    atomic_fetch_add(&a->decided, 1);
}

static struct skep_client *identity(void *owner)
{
    return identity_new(&(struct identity_facts){.id = STR("asker"), .address = STR("unix")}, NULL);
}

static const struct host_client_ops ops = {.decided = decided, .identity = identity};

static struct rig rig;

static int set_up(void **state)
{
    rig_open(&rig, NULL);
    rig.module->d = &waits;
    rig.module->on_error = SKEP_DENY;
    rig.module->decision_timeout_ms = 60000;
    qsbr_online(&rig.host->main_slot);
    chain_swap(rig.host, chain_slot(rig.host, "test"), chain_new(&rig.module, 1, true));
    qsbr_quiescent(&rig.host->main_slot);
    qsbr_offline(&rig.host->main_slot);
    rig_start(&rig);
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(waits_now(), 0);
    assert_int_equal(atomic_load(&rig.module->pending), 0);
    rig_close(&rig);
    return 0;
}

static void ask_here(struct loop *l, void *asker)
{
    static const struct asked_message message = {.topic = {"a/b", 3}, .expiry = UINT32_MAX};
    struct asker *a = asker;

    if (!a->hc)
        a->hc = host_client_new(rig.host, chain_slot(rig.host, "test"), &ops, a);
    struct skep_request *r = ask_publish(a->hc, &message);
    if (r->verdict == SKEP_PENDING) {
        a->r = r;
        return;
    }
    decided(a, r);
}

static void leave_here(struct loop *l, void *asker)
{
    struct asker *a = asker;
    host_client_left(&a->hc);
}

static void on_loop(struct asker *a, void (*fn)(struct loop *l, void *arg))
{
    loop_call(rig_loop(&rig, a->loop), fn, a);
}

static void an_answer_comes_from_another_thread(void **state)
{
    struct asker a = {.loop = 1};
    on_loop(&a, ask_here);
    assert_int_equal(atomic_load(&rig.module->pending), 1);
    assert_true(skep_complete(a.token, &a));
    WAIT_UNTIL(atomic_load(&a.decided) == 1);
    assert_int_equal(a.verdict, SKEP_ALLOW);
    assert_int_equal(atomic_load(&a.dropped), 0);
    on_loop(&a, leave_here);
}

static void a_second_answer_finds_nobody(void **state) /* S2 */
{
    struct asker a = {0};
    on_loop(&a, ask_here);
    assert_true(skep_complete(a.token, &a));
    assert_false(skep_complete(a.token, &a));
    WAIT_UNTIL(atomic_load(&a.decided) == 1);
    assert_false(skep_complete(a.token, &a));

    /* Nor does it find the next one, who stands in the same place of the table. */
    uint64_t before = a.token;
    on_loop(&a, ask_here);
    assert_int_equal((uint32_t)a.token, (uint32_t)before);
    assert_false(skep_complete(before, &a));
    assert_true(skep_complete(a.token, &a));
    WAIT_UNTIL(atomic_load(&a.decided) == 2);
    on_loop(&a, leave_here);
}

static void a_foreign_token_is_nothing(void **state) /* S2 */
{
    static const uint64_t tokens[] = {0, 1, UINT64_C(1) << 32, UINT64_MAX, UINT32_MAX};

    for (unsigned i = 0; i < ARRAY_LEN(tokens); i++)
        assert_false(skep_complete(tokens[i], NULL));
}

static void the_client_may_have_left(void **state) /* S2 */
{
    struct asker a = {0};
    on_loop(&a, ask_here);
    on_loop(&a, leave_here);
    assert_int_equal(atomic_load(&a.dropped), 1);
    assert_false(skep_complete(a.token, &a));
    assert_int_equal(atomic_load(&a.decided), 0);
    assert_int_equal(atomic_load(&rig.module->stats[0].hooks[SKEP_STAGE_PUBLISH].cancelled), 1);
}

/* It answers while the client is leaving: one of the two is first, and the word that belongs to the
 * wait is dropped, or handed over, once. */
struct race {
    pthread_barrier_t start;
    struct asker *a;
    _Atomic unsigned completed;
    _Atomic bool over;
};

static void *completes(void *arg)
{
    struct race *race = arg;

    for (;;) {
        pthread_barrier_wait(&race->start);
        if (atomic_load(&race->over))
            return NULL;
        if (skep_complete(atomic_load(&race->a->token), race->a))
            atomic_fetch_add(&race->completed, 1);
        pthread_barrier_wait(&race->start);
    }
}

static void many_may_answer_while_one_leaves(void **state)
{
    struct race race = {0};
    pthread_t threads[THREADS];
    struct asker a = {.loop = 1};
    unsigned completed = 0;

    race.a = &a;
    pthread_barrier_init(&race.start, NULL, THREADS + 1);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, completes, &race);
    for (unsigned i = 0; i < RACES; i++) {
        on_loop(&a, ask_here);
        pthread_barrier_wait(&race.start);
        on_loop(&a, leave_here);
        pthread_barrier_wait(&race.start);
        unsigned now = atomic_load(&race.completed);
        assert_in_range(now - completed, 0, 1);
        completed = now;
        WAIT_UNTIL(atomic_load(&a.dropped) + atomic_load(&a.thens) == i + 1);
    }
    assert_int_equal(atomic_load(&a.thens), atomic_load(&a.decided));
    assert_true(atomic_load(&a.thens) <= completed);
    atomic_store(&race.over, true);
    pthread_barrier_wait(&race.start);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&race.start);
}

static void *completes_all(void *askers)
{
    struct asker *all = askers;

    for (unsigned i = 0; i < MANY; i++)
        if (!skep_complete(atomic_load(&all[i].token), &all[i]))
            return NULL;
    return askers;
}

static void thousands_may_wait_while_others_go_on(void **state)
{
    struct asker *all = xcalloc(MANY, sizeof *all), quick = {.allow = true};
    pthread_t thread;
    void *result;

    for (unsigned i = 0; i < MANY; i++) {
        all[i].loop = i % RIG_LOOPS;
        on_loop(&all[i], ask_here);
    }
    assert_int_equal(waits_now(), MANY);
    assert_int_equal(atomic_load(&rig.module->pending), MANY);
    for (unsigned i = 0; i < 100; i++)
        on_loop(&quick, ask_here); /* beside them, and through all of them */
    assert_int_equal(atomic_load(&quick.decided), 100);
    pthread_create(&thread, NULL, completes_all, all);
    pthread_join(thread, &result);
    assert_ptr_equal(result, all);
    for (unsigned i = 0; i < MANY; i++) {
        WAIT_UNTIL(atomic_load(&all[i].decided) == 1);
        on_loop(&all[i], leave_here);
        assert_int_equal(atomic_load(&all[i].dropped), 0);
    }
    on_loop(&quick, leave_here);
    assert_int_equal(waits_now(), 0);
    free(all);
}

/* The instance is out of the chain: what waits for it is still answered by it. */
static void a_reload_leaves_what_waits_alone(void **state)
{
    struct asker a = {0}, b = {0};
    on_loop(&a, ask_here);
    qsbr_online(&rig.host->main_slot);
    chain_swap(rig.host, chain_slot(rig.host, "test"), chain_new(NULL, 0, true));
    qsbr_quiescent(&rig.host->main_slot);
    qsbr_offline(&rig.host->main_slot);
    assert_int_equal(atomic_load(&rig.module->holds), 1);
    on_loop(&b, ask_here); /* nobody is asked any more */
    assert_int_equal(atomic_load(&b.decided), 1);
    assert_true(skep_complete(a.token, &a));
    WAIT_UNTIL(atomic_load(&a.decided) == 1);
    WAIT_UNTIL(atomic_load(&rig.module->holds) == 0);
    on_loop(&a, leave_here);
    on_loop(&b, leave_here);
}

static void time_may_run_out(void **state)
{
    struct asker a = {0};
    rig.module->decision_timeout_ms = 1;
    on_loop(&a, ask_here);
    WAIT_UNTIL(atomic_load(&a.decided) == 1);
    assert_int_equal(a.verdict, SKEP_DENY);
    assert_int_equal(atomic_load(&a.dropped), 1);
    assert_false(skep_complete(a.token, &a));
    struct hook_stats *st = &rig.module->stats[0].hooks[SKEP_STAGE_PUBLISH];
    assert_int_equal(atomic_load(&st->timeouts), 1);
    assert_int_equal(atomic_load(&st->errors), 1);
    assert_int_equal(atomic_load(&st->pending_ended), 1);
    on_loop(&a, leave_here);
}

static void without_room_to_wait_it_is_an_error(void **state)
{
    struct asker a = {0};
    refuse_at = 1;
    on_loop(&a, ask_here);
    assert_int_equal(atomic_load(&a.decided), 1);
    assert_int_equal(a.verdict, SKEP_DENY);
    assert_int_equal(atomic_load(&a.dropped), 1); /* as if the client had left at once */
    assert_int_equal(a.token, 0);
    assert_int_equal(atomic_load(&rig.module->pending), 0);
    rig.module->on_error = SKEP_ALLOW;
    refuse_at = 1;
    on_loop(&a, ask_here);
    assert_int_equal(a.verdict, SKEP_ALLOW);
    on_loop(&a, leave_here);
}

static enum skep_verdict remembers(struct skep_request *r, void *self)
{
    refuse_at = 2;
    char *first = skep_request_memory(r, 100), *second = skep_request_memory(r, 100);

    if (!first || second || skep_request_memory(r, 64 * 1024 + 1))
        return SKEP_DENY;
    memset(first, 'x', 100);
    for (unsigned i = 0; i < 1000; i++) { /* a megabyte for one request is all */
        if (!skep_request_memory(r, 60000))
            return i > 10 && i < 20 ? SKEP_ALLOW : SKEP_DENY;
    }
    return SKEP_DENY;
}

static void memory_has_an_end(void **state)
{
    static const struct skep_descriptor d = {
        .size = sizeof d, .name = "waits", .on_publish = remembers};
    struct asker a = {0};
    rig.module->d = &d;
    on_loop(&a, ask_here);
    assert_int_equal(a.verdict, SKEP_ALLOW);
    rig.module->d = &waits;
    on_loop(&a, leave_here);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_answer_comes_from_another_thread), TEST(a_second_answer_finds_nobody),
        TEST(a_foreign_token_is_nothing),          TEST(the_client_may_have_left),
        TEST(many_may_answer_while_one_leaves),    TEST(thousands_may_wait_while_others_go_on),
        TEST(a_reload_leaves_what_waits_alone),    TEST(time_may_run_out),
        TEST(without_room_to_wait_it_is_an_error), TEST(memory_has_an_end),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
