/* Folding on demand: when store_fold() returns, the tables have it. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "model.h"
#include "scratch.h"
#include "sim_disk.h"

static void check_tables(const struct life *l, uint64_t lsn)
{
    struct m_text wanted = {0}, found = {0};
    struct loader loader = m_loader(&found);
    char why[512];

    m_print(&found, " ");
    life_expect(l, lsn, SIZE_MAX, &wanted);
    assert_int_equal(load_tables(store_tables(l->store), &loader, why, sizeof why), 0);
    assert_string_equal(found.bytes, wanted.bytes);
    free(wanted.bytes);
    free(found.bytes);
}

/* In every mode, at any moment of a life, also of what was handed over long ago. */
static void test_tables_have_it(void **state)
{
    for (unsigned round = 0; round < 6; round++) {
        struct store_conf conf = conf_of(NULL);
        struct life l;
        uint64_t earlier = 0;

        conf.sync = (enum wal_sync)(round % 3);
        conf.interval_ms = 1000000;
        scratch_clear();
        life_init(&l, round + 1);
        must_open(&l.store, &conf);
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t end = life_step(&l);
            if (!end || life_dice(&l, 8))
                continue;
            must_fold(l.store, end);
            assert_true(store_stats(l.store).applied >= end);
            check_tables(&l, end);
            must_fold(l.store, earlier); /* no harm, and no work */
            assert_int_equal(store_stats(l.store).applied, end);
            earlier = end;
        }
        assert_true(earlier > 0);
        for (unsigned i = 0; i < M_WORKERS; i++)
            life_submit(&l, i);
        store_close(&l.store);
        must_open(&l.store, &conf);
        check_tables(&l, UINT64_MAX);
        store_close(&l.store);
        life_fini(&l);
    }
}

static void end_one(struct store *s, uint64_t *end)
{
    struct batch b = {0};

    batch_end(&b, 1);
    *end = store_submit(s, 0, &b);
    batch_fini(&b);
}

/* While the log refuses there is no waiting, but what is in the tables stays at hand. */
static void test_a_log_that_refuses(void **state)
{
    struct sim *sim = sim_new();
    struct store_conf conf = conf_of(&sim->disk);
    struct store *s;
    uint64_t safe, end;
    char why[512] = "";

    scratch_clear();
    must_open(&s, &conf);
    end_one(s, &safe);
    must_fold(s, safe);
    SIM_SET(sim, fail_writes, -1);
    end_one(s, &end);
    assert_int_equal(store_fold(s, end, why, sizeof why), ERR_SYSTEM);
    assert_true(store_refusing(s));
    assert_non_null(strstr(why, "Input/output error"));
    must_fold(s, safe);
    SIM_SET(sim, fail_writes, 0);
    store_wait(s, end);
    must_fold(s, end);
    assert_int_equal(store_close(&s), 0);
    sim_free(&sim);
}

static _Atomic unsigned syncs_failed;

static int log_does_not_sync(struct sim *sim, enum sim_kind kind, int fd)
{
    pthread_mutex_lock(&sim->mutex);
    bool log = strstr(sim->files[fd].name, "/log-") != NULL;
    pthread_mutex_unlock(&sim->mutex);
    if (kind != SIM_SYNC || !log)
        return 0;
    atomic_fetch_add(&syncs_failed, 1);
    return EIO;
}

/* The log has given up two segments for a third, and has made itself new ones. */
static bool has_given_up(struct store *s)
{
    return atomic_load(&syncs_failed) >= 3 && store_stats(s).log.free >= 2;
}

/* [M5] All of the log is in the tables, the segment behind it never reached the disk, and the
 * power goes: that is not a log that was lost. */
static void test_a_power_cut_behind_a_fold(void **state)
{
    struct sim *sim = sim_new();
    struct store_conf conf = conf_of(&sim->disk);
    uint64_t end, deadline = clock_mono_ms() + 60000;
    struct store *s;
    char why[512];

    conf.retry_ms = 3600 * 1000;
    conf.keep_log = true;
    scratch_clear();
    must_open(&s, &conf);
    end_one(s, &end);
    must_fold(s, end);
    SIM_SET(sim, before, log_does_not_sync);
    end_one(s, &end);
    assert_int_equal(store_fold(s, end, why, sizeof why), ERR_SYSTEM);
    while (!has_given_up(s) && clock_mono_ms() < deadline)
        sched_yield();
    pthread_mutex_lock(&sim->mutex);
    struct sim *cut = sim_cut_now(sim, SIM_LOSE_ALL, 1);
    pthread_mutex_unlock(&sim->mutex);
    store_close(&s);
    conf.disk = &cut->disk;
    must_open(&s, &conf);
    assert_int_equal(store_close(&s), 0);
    sim_free(&cut);
    sim_free(&sim);
}

/* -- Many at once -- */

enum { THREADS = 3, ROUNDS = 60 };

struct hand {
    struct store *store;
    unsigned worker;
};

/* One session a worker: each message must be in the tables when its fold is done. */
static int on_entry(void *arg, const struct load_entry *e)
{
    uint64_t *seen = arg;
    seen[e->target.session] = e->target.counter + 1;
    return 0;
}

static void *hand_run(void *arg)
{
    struct hand *h = arg;
    struct batch b = {0};
    uint64_t number = h->worker + 1;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct record_message m = {.topic = STR("t"), .payload = STR("x"), .qos = 1};
        batch_pub_begin(&b, &m, 0, 0, 0);
        batch_pub_target(&b, &(struct record_target){.session = number, .counter = i, .qos = 1});
        batch_pub_end(&b);
        uint64_t end = store_submit(h->store, h->worker, &b), seen[THREADS + 1] = {0};
        if (i % 4)
            continue;
        struct loader loader = {.entry = on_entry, .arg = seen};
        char why[512];
        must_fold(h->store, end);
        assert_int_equal(load_tables(store_tables(h->store), &loader, why, sizeof why), 0);
        assert_int_equal(seen[number], i + 1);
    }
    batch_fini(&b);
    return NULL;
}

static void test_many_threads(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct hand hands[THREADS];
    pthread_t threads[THREADS];
    struct store *s;
    struct batch b = {0};

    scratch_clear();
    must_open(&s, &conf);
    for (unsigned i = 0; i < THREADS; i++)
        batch_session(&b, &(struct record_session){.number = store_number(s), .expiry = 1});
    store_submit(s, 0, &b);
    for (unsigned i = 0; i < THREADS; i++) {
        hands[i] = (struct hand){s, i};
        assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &hands[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(store_close(&s), 0);
    batch_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_have_it),
        cmocka_unit_test(test_a_log_that_refuses),
        cmocka_unit_test(test_a_power_cut_behind_a_fold),
        cmocka_unit_test(test_many_threads),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
