/* Records that count only together: wherever the log ends, all of a chain is there or none. */
#include "store/wal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "sim_disk.h"
#include "store/replay.h"
#include "store/wal_impl.h"

struct rig {
    struct sim *sim;
    struct wal *wal;
    struct batch batch;
    uint64_t chains; /* so many were handed over */
    uint64_t ends[200];
    bool marks;
};

static void on_settled(void *arg, unsigned worker)
{
    struct rig *rig = arg;
    if (rig->marks)
        sim_mark(rig->sim, wal_settled(rig->wal));
}

static void rig_open(struct rig *rig, bool marks)
{
    char why[512] = "";
    struct segment *none = NULL;

    *rig = (struct rig){.sim = sim_new()};
    struct wal_conf conf = {.disk = &rig->sim->disk,
                            .dir = "d",
                            .segment_bytes = WAL_SEGMENT_LEAST,
                            .retry_ms = 1,
                            .settled = on_settled,
                            .arg = rig};
    assert_int_equal(wal_open(&rig->wal, &conf, &none, 0, why, sizeof why), 0);
    rig->marks = marks;
}

static void rig_close(struct rig *rig)
{
    wal_close(&rig->wal);
    batch_fini(&rig->batch);
    sim_free(&rig->sim);
}

/* Chain n: PUBs that say n, and how many of the chain come behind them. */
static void add(struct rig *rig, unsigned length, size_t payload_len)
{
    static char payload[100000];
    uint64_t n = ++rig->chains;

    for (unsigned left = length; left-- > 0;) {
        struct record_message m = {.topic = STR("t"), .publisher = n, .expires_ms = left, .qos = 1};
        m.payload = (struct str){payload, payload_len};
        batch_pub_begin(&rig->batch, &m, RECORD_KEEP, 0, 0);
        batch_pub_end(&rig->batch);
        if (left > 0)
            batch_join(&rig->batch);
    }
}

struct found {
    uint64_t chains; /* whole ones, numbered from 1 without a gap */
    uint64_t left;   /* of the chain that is being handed out */
};

static int on_record(void *arg, const struct record *r, const struct record_body *body)
{
    struct found *f = arg;

    if (r->type == RECORD_COMMIT) {
        assert_int_equal(f->left, 0);
        return 0;
    }
    assert_int_equal(body->pub.message.publisher, f->chains + 1);
    if (f->left > 0)
        assert_int_equal(body->pub.message.expires_ms, f->left - 1);
    f->left = body->pub.message.expires_ms;
    assert_true(!!(r->flags & RECORD_MORE) == (f->left > 0));
    f->chains += f->left == 0;
    return 0;
}

/* Reads it all; no segment may end within a chain. */
static int read_all(struct sim *sim, struct found *f, struct replay *r)
{
    struct segment *list;
    char why[512] = "";
    int more;

    assert_int_equal(segment_list(&list, &sim->disk, "d", why, sizeof why), 0);
    *f = (struct found){0};
    assert_int_equal(replay_init(r, list, 0, UINT64_MAX), 0);
    do {
        more = replay_segment(r, on_record, f);
        assert_int_equal(f->left, 0);
    } while (more > 0);
    replay_fini(r);
    segment_list_free(&list);
    return more;
}

/* The log ends after each of its bytes, and garbage follows. */
static void test_every_prefix(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;
    static const unsigned lengths[] = {1, 3, 1, 5, 2};

    rig_open(&rig, false);
    for (unsigned i = 0; i < 5; i++) {
        add(&rig, lengths[i], 30 + i);
        rig.ends[i + 1] = COMMIT_SIZE + rig.batch.len;
    }
    wal_wait(rig.wal, wal_submit(rig.wal, 0, &rig.batch));
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, &f, &r), 0);
    assert_int_equal(f.chains, 5);
    struct sim_file *file = &rig.sim->files[0];
    for (uint64_t cut = r.lsn; cut-- > 0;) { /* longer and longer garbage */
        unsigned whole = 0;
        file->now[SEGMENT_HEAD + cut] = 0xff;
        while (whole < 5 && rig.ends[whole + 1] <= cut)
            whole++;
        assert_int_equal(read_all(rig.sim, &f, &r), 0);
        assert_int_equal(f.chains, whole);
        if (cut >= rig.ends[1] && cut < rig.ends[5])
            assert_int_equal(r.lsn, rig.ends[whole]);
    }
    rig_close(&rig);
}

static void test_chains_stay_in_one_segment(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, false);
    for (unsigned i = 0; i < 300; i++) {
        add(&rig, 1 + i % 7, i * 997 % 5000);
        if (i == 100)
            add(&rig, 5, 50000); /* more than a segment holds */
        if (i % 3 == 0)
            wal_submit(rig.wal, 0, &rig.batch);
    }
    wal_wait(rig.wal, wal_submit(rig.wal, 0, &rig.batch));
    assert_true(wal_stats(rig.wal).used > 20);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, &f, &r), 0);
    assert_int_equal(f.chains, 301);
    rig_close(&rig);
}

/* [M1] Power fails after each operation of a run with a failed sync in it. */
static void test_power_cuts(void **state)
{
    struct rig rig;

    rig_open(&rig, true);
    for (unsigned i = 0; i < 40; i++) {
        if (i == 20)
            SIM_SET(rig.sim, fail_syncs, 2);
        add(&rig, 1 + i % 5, i * 997 % 3000);
        rig.ends[rig.chains] = wal_submit(rig.wal, 0, &rig.batch);
        if (i % 3)
            wal_wait(rig.wal, rig.ends[rig.chains]);
    }
    assert_int_equal(wal_close(&rig.wal), 0);
    for (size_t upto = 0; upto <= rig.sim->event_count; upto++) {
        for (unsigned dice = 0; dice < 6; dice++) {
            struct found f;
            struct replay r = {0};
            uint64_t marked, safe = 0;
            enum sim_loss loss = dice < 2 ? dice : SIM_LOSE_SECTORS;
            struct sim *cut = sim_cut(rig.sim, upto, loss, upto * 31 + dice, &marked);
            while (safe < rig.chains && rig.ends[safe + 1] <= marked)
                safe++;
            if (read_all(cut, &f, &r) < 0 || f.chains < safe)
                fail_msg("after event %zu, dice %u: %s; %llu found, %llu acknowledged", upto, dice,
                         r.why, (unsigned long long)f.chains, (unsigned long long)safe);
            sim_free(&cut);
        }
    }
    rig_close(&rig);
}

/* Damage within an acknowledged chain is reported, and none of the chain is handed out. */
static void test_damage_within_a_chain(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, false);
    add(&rig, 1, 100);
    add(&rig, 4, 100);
    uint64_t end = wal_submit(rig.wal, 0, &rig.batch);
    wal_wait(rig.wal, end);
    assert_int_equal(wal_close(&rig.wal), 0);
    rig.sim->files[0].now[SEGMENT_HEAD + end - 50] ^= 1;
    assert_int_equal(read_all(rig.sim, &f, &r), ERR_DAMAGED);
    assert_int_equal(f.chains, 1);
    rig_close(&rig);
}

/* A batch whose last record waits for another is a bug of the caller, and said to be one. */
static void test_open_chains_are_not_taken(void **state)
{
    struct rig rig;
    int status;

    rig_open(&rig, false);
    add(&rig, 2, 10);
    batch_join(&rig.batch);
    pid_t child = fork();
    if (child == 0) {
        freopen("/dev/null", "w", stderr);
        wal_submit(rig.wal, 0, &rig.batch);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_chains_stay_in_one_segment),
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_damage_within_a_chain),
        cmocka_unit_test(test_open_chains_are_not_taken),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
