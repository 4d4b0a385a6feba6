/* Backups: stores of their own, made while the broker works. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "model.h"
#include "scratch.h"
#include "sim_disk.h"
#include "store/check.h"

static struct store_conf conf_in(const char *dir)
{
    struct store_conf conf = conf_of(NULL);

    conf.dir = dir;
    return conf;
}

static void clear(void)
{
    scratch_clear();
    assert_int_equal(system("rm -rf b b0 b1 b2 b3"), 0);
}

static void must_backup(struct store *s, const char *dir)
{
    char why[512] = "";

    if (store_backup(s, dir, why, sizeof why) < 0)
        fail_msg("%s", why);
}

static void check_state(const struct life *l, struct store *s, uint64_t lsn)
{
    struct m_text wanted = {0}, found = {0};
    struct loader loader = m_loader(&found);
    char why[512];

    m_print(&found, " ");
    life_expect(l, lsn, SIZE_MAX, &wanted);
    assert_int_equal(store_load(s, &loader, why, sizeof why), 0);
    assert_string_equal(found.bytes, wanted.bytes);
    free(wanted.bytes);
    free(found.bytes);
}

static void hand_over_all(struct life *l)
{
    for (unsigned i = 0; i < M_WORKERS; i++)
        life_submit(l, i);
}

/* -- Under traffic -- */

struct traffic {
    struct life life;
    _Atomic uint64_t handed_over;
    _Atomic bool stop;
};

static void *traffic_run(void *arg)
{
    struct traffic *t = arg;

    while (!atomic_load(&t->stop)) {
        uint64_t end = life_step(&t->life);
        if (end) {
            store_wait(t->life.store, end);
            atomic_store(&t->handed_over, end);
        }
    }
    hand_over_all(&t->life);
    return NULL;
}

static void test_under_traffic(void **state)
{
    static const char *const dirs[] = {"b0", "b1", "b2", "b3"};
    struct store_conf conf = conf_in("d");
    struct traffic t = {.stop = false};
    uint64_t before[4];
    pthread_t thread;

    clear();
    life_init(&t.life, 21);
    must_open(&t.life.store, &conf);
    assert_int_equal(pthread_create(&thread, NULL, traffic_run, &t), 0);
    for (unsigned i = 0; i < 4; i++) {
        do
            before[i] = atomic_load(&t.handed_over);
        while (before[i] < (i + 1) * 100000u);
        must_backup(t.life.store, dirs[i]);
    }
    atomic_store(&t.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(store_close(&t.life.store), 0);
    for (unsigned i = 0; i < 4; i++) {
        struct store_conf of_backup = conf_in(dirs[i]);
        struct store *s;
        must_open(&s, &of_backup);
        uint64_t end = store_stats(s).log.end;
        assert_true(end >= before[i]);
        check_state(&t.life, s, end);
        store_close(&s);
    }
    must_open(&t.life.store, &conf); /* and the store itself is none the worse */
    check_state(&t.life, t.life.store, UINT64_MAX);
    store_close(&t.life.store);
    life_fini(&t.life);
}

/* -- What it is -- */

/* A life of some steps, and a backup "b" of it. */
static void small_backup(struct life *l)
{
    struct store_conf conf = conf_in("d");

    clear();
    life_init(l, 5);
    must_open(&l->store, &conf);
    for (unsigned i = 0; i < 300; i++)
        life_step(l);
    hand_over_all(l);
    must_backup(l->store, "b");
    assert_int_equal(store_close(&l->store), 0);
}

/* It needs no log until it has been a store; from then on it does. */
static void test_a_backup_becomes_a_store(void **state)
{
    struct store_conf conf = conf_in("b");
    struct check_report report;
    struct life l;
    struct stat st;
    char why[512] = "";
    int status;

    small_backup(&l);
    assert_int_equal(stat("b", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat("b/state.mdb", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(system("test \"$(ls b | tr '\\n' ' ')\" = 'lock state.mdb '"), 0);
    assert_int_equal(check_store("b", NULL, &report, why, sizeof why), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *s;
        if (store_open(&s, &conf, why, sizeof why) == 0)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    must_open(&l.store, &conf);
    check_state(&l, l.store, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++) /* life goes on */
        life_step(&l);
    hand_over_all(&l);
    store_close(&l.store);
    must_open(&l.store, &conf);
    store_close(&l.store);
    assert_int_equal(system("rm b/log-*"), 0);
    assert_int_equal(store_open(&l.store, &conf, why, sizeof why), ERR_DAMAGED);
    assert_non_null(strstr(why, "log files are missing"));
    assert_int_equal(check_store("b", NULL, &report, why, sizeof why), ERR_DAMAGED);
    life_fini(&l);
}

static void test_a_folder_in_use_is_refused(void **state)
{
    struct store_conf conf = conf_in("d");
    struct store *s;
    char why[512] = "";

    clear();
    must_open(&s, &conf);
    assert_int_equal(system("mkdir b && echo precious >b/file"), 0);
    assert_int_equal(store_backup(s, "b", why, sizeof why), ERR_EXISTS);
    assert_string_equal(why, "b is not empty");
    assert_int_equal(system("grep -q precious b/file && test $(ls b | wc -l) = 1"), 0);
    assert_int_equal(store_backup(s, "d", why, sizeof why), ERR_EXISTS);
    assert_int_equal(system("rm b/file"), 0);
    must_backup(s, "b");
    assert_int_equal(store_backup(s, "no/such/folder", why, sizeof why), ERR_SYSTEM);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(store_close(&s), 0);
}

/* An incomplete one is none, neither one that failed nor one that a crash cut off. */
static void test_incomplete_ones_are_no_stores(void **state)
{
    struct sim *sim = sim_new();
    struct store_conf conf = conf_of(&sim->disk), of_backup = conf_in("b");
    struct store *s;
    struct batch b = {0};
    char why[512] = "";

    clear();
    must_open(&s, &conf);
    SIM_SET(sim, fail_writes, -1);
    batch_end(&b, 1);
    uint64_t end = store_submit(s, 0, &b);
    assert_int_equal(store_backup(s, "b", why, sizeof why), ERR_SYSTEM);
    assert_int_equal(access("b", F_OK), -1);
    SIM_SET(sim, fail_writes, 0);
    store_wait(s, end);
    must_backup(s, "b");
    assert_int_equal(store_close(&s), 0);
    assert_int_equal(rename("b/state.mdb", "b/state.mdb.part"), 0);
    assert_int_equal(store_open(&s, &of_backup, why, sizeof why), ERR_DAMAGED);
    assert_non_null(strstr(why, "never completed"));
    batch_fini(&b);
    sim_free(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_under_traffic),
        cmocka_unit_test(test_a_backup_becomes_a_store),
        cmocka_unit_test(test_a_folder_in_use_is_refused),
        cmocka_unit_test(test_incomplete_ones_are_no_stores),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
