/* The store from end to end: what comes back after any end is what the plain model says. */
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "model.h"
#include "scratch.h"
#include "sim_disk.h"
#include "store/check.h"
#include "store/crc32c.h"
#include "store/octets.h"

struct tally {
    uint64_t messages, counts, refs;
};

static int tally_each(void *arg, struct str key, struct str value, bool *remove)
{
    struct tally *t = arg;
    uint64_t refs;

    assert_int_equal(key.len, 9);
    if (key.ptr[8] == 0) {
        t->messages++;
        return 0;
    }
    memcpy(&refs, value.ptr, sizeof refs);
    assert_true(refs > 0);
    t->counts++;
    t->refs += refs;
    return 0;
}

/* Each shared message is there as long as an entry needs it, and no longer. */
static void check_shared(struct store *s, uint64_t entries)
{
    struct tables_txn *txn;
    struct tally t = {0};

    assert_int_equal(tables_begin(store_tables(s), false, &txn), 0);
    assert_int_equal(tables_each(txn, TABLE_MESSAGES, STR_NONE, tally_each, &t), 0);
    tables_abort(&txn);
    assert_int_equal(t.messages, t.counts);
    assert_int_equal(t.refs, entries);
}

static int count_each(void *arg, struct str key, struct str value, bool *remove)
{
    ++*(uint64_t *)arg;
    return 0;
}

/* Nothing is in the tables that no session has. */
static void check_orphans(struct store *s, const struct m_text *found)
{
    static const enum table tables[] = {TABLE_SUBS, TABLE_RECEIVED, TABLE_QUEUE};
    struct tables_txn *txn;
    uint64_t rows = 0;

    assert_int_equal(tables_begin(store_tables(s), false, &txn), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tables_each(txn, tables[i], STR_NONE, count_each, &rows), 0);
    tables_abort(&txn);
    assert_int_equal(rows, found->rows);
}

static void check_same(const struct life *l, struct store *s, uint64_t lsn, const char *when)
{
    struct m_text wanted = {0}, found = {0};
    struct loader loader = m_loader(&found);
    char why[512] = "";

    m_print(&found, " ");
    life_expect(l, lsn, SIZE_MAX, &wanted);
    if (store_load(s, &loader, why, sizeof why) < 0)
        fail_msg("%s: %s", when, why);
    if (strcmp(wanted.bytes, found.bytes) != 0) {
        size_t i = 0;
        while (wanted.bytes[i] == found.bytes[i])
            i++;
        while (i > 0 && wanted.bytes[i - 1] != '\n')
            i--;
        fail_msg("%s: expected %.80s\nfound %.80s", when, wanted.bytes + i, found.bytes + i);
    }
    check_shared(s, found.shared);
    check_orphans(s, &found);
    free(wanted.bytes);
    free(found.bytes);
}

static void hand_over_all(struct life *l)
{
    for (unsigned i = 0; i < M_WORKERS; i++)
        life_submit(l, i);
}

/* -- Tests -- */

/* Many ends and starts, with checkpoints in between, small and large. */
static void test_state_comes_back(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct life l;
        struct store_conf conf = conf_of(NULL);
        uint64_t checkpoints = 0;

        life_init(&l, seed);
        scratch_clear();
        for (unsigned run = 0; run < 8; run++) {
            conf.keep_log = run % 3 > 0;
            must_open(&l.store, &conf);
            check_same(&l, l.store, UINT64_MAX, "after a start");
            for (unsigned i = 0; i < 150 + run * 60; i++) {
                life_step(&l);
                if (life_dice(&l, 150) == 0)
                    assert_int_equal(store_checkpoint(l.store), 0);
                if (life_dice(&l, 200) == 0)
                    must_fold(l.store, life_submit(&l, 0));
            }
            hand_over_all(&l);
            if (run % 3 == 0)
                must_fold(l.store, life_submit(&l, 0));
            checkpoints += store_stats(l.store).checkpoints;
            assert_int_equal(store_close(&l.store), 0);
        }
        must_open(&l.store, &conf);
        check_same(&l, l.store, UINT64_MAX, "at the end");
        store_close(&l.store);
        assert_true(checkpoints > 0);
        life_fini(&l);
    }
}

/* After a clean end there is nothing to replay, but where the end was told to leave it. */
static void test_clean_end(void **state)
{
    for (unsigned keep = 0; keep < 2; keep++) {
        struct store_conf conf = conf_of(NULL);
        struct life l;

        conf.checkpoint_bytes = 64 << 20;
        conf.keep_log = keep;
        scratch_clear();
        life_init(&l, 12);
        must_open(&l.store, &conf);
        for (unsigned i = 0; i < 1500; i++)
            life_step(&l);
        hand_over_all(&l);
        assert_int_equal(store_stats(l.store).checkpoints, 0);
        assert_int_equal(store_close(&l.store), 0);
        must_open(&l.store, &conf);
        assert_true(keep ? store_stats(l.store).replayed > 500
                         : store_stats(l.store).replayed == 0);
        check_same(&l, l.store, UINT64_MAX, "after a clean end");
        assert_int_equal(store_close(&l.store), 0);
        life_fini(&l);
    }
}

/* What was queued and acknowledged between two checkpoints leaves nothing in the tables. */
static void test_acknowledged_messages_never_reach_the_tables(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct store *s;
    struct batch b = {0};
    struct m_text text = {0};
    struct loader loader = m_loader(&text);
    struct stat st;
    char why[512];

    scratch_clear();
    conf.checkpoint_bytes = 64 << 20;
    conf.keep_log = true;
    must_open(&s, &conf);
    batch_session(&b, &(struct record_session){.number = store_number(s),
                                               .client_id = STR("client-1"),
                                               .username = STR("user"),
                                               .has_username = true});
    for (unsigned c = 0; c < 3000; c++) {
        struct record_message m = m_message(c, 0);
        batch_pub_begin(&b, &m, 0, 0, 0);
        batch_pub_target(&b, &(struct record_target){.session = 1, .counter = c, .qos = 1});
        batch_pub_end(&b);
        batch_ack(&b, 1, c, 0);
    }
    store_wait(s, store_submit(s, 0, &b));
    store_close(&s);
    must_open(&s, &conf);
    assert_int_equal(store_load(s, &loader, why, sizeof why), 0);
    assert_string_equal(text.bytes, "session 1 expiry 0 away 0 will 0 tail 3000 queued 0\n");
    assert_int_equal(stat("d/state.mdb", &st), 0);
    assert_true(st.st_size < 256 << 10); /* of some 3 MB written */
    assert_int_equal(store_number(s), 2);
    store_close(&s);
    free(text.bytes);
    batch_fini(&b);
}

/* The log does not grow for ever. */
static void test_checkpoints_free_the_log(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct life l;

    scratch_clear();
    life_init(&l, 99);
    must_open(&l.store, &conf);
    for (unsigned i = 0; i < 3000; i++)
        life_step(&l);
    hand_over_all(&l);
    store_wait(l.store, store_stats(l.store).log.end);
    assert_int_equal(store_checkpoint(l.store), 0);
    struct store_stats stats = store_stats(l.store);
    assert_true(stats.log.end > 8 * WAL_SEGMENT_LEAST);
    assert_true(stats.checkpoints >= 3 && stats.checkpoint_failures == 0);
    assert_true(stats.log.kept_bytes <= WAL_SEGMENT_LEAST);
    assert_int_equal(stats.log.used, 1);
    store_close(&l.store);
    life_fini(&l);
}

static void test_second_process_is_refused(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct store *s, *other = NULL;
    char why[512] = "";

    scratch_clear();
    must_open(&s, &conf);
    assert_int_equal(store_open(&other, &conf, why, sizeof why), ERR_EXISTS);
    assert_non_null(strstr(why, "in use"));
    assert_null(other);
    store_close(&s);
    must_open(&s, &conf);
    store_close(&s);
}

/* Writes another version over that of a log file, with a checksum that is right. */
static void set_segment_version(const char *path, uint32_t version)
{
    uint8_t head[64];
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head);
    put_u32(head + 8, version);
    put_u32(head + 60, crc32c(0, head, 60));
    assert_true(pwrite(fd, head, sizeof head, 0) == sizeof head);
    close(fd);
}

static void set_tables_version(uint64_t version)
{
    struct tables *t;
    char why[512];

    assert_int_equal(tables_open(&t, "d/state.mdb", 0, why, sizeof why), 0);
    assert_int_equal(tables_meta_set(t, "version", version), 0);
    tables_close(&t);
}

static void must_refuse(const struct store_conf *conf, const char *version)
{
    struct store *s = NULL;
    char why[512] = "";

    assert_int_equal(store_open(&s, conf, why, sizeof why), ERR_DENIED);
    assert_non_null(strstr(why, version));
    assert_non_null(strstr(why, "start the Skep that wrote it"));
    assert_null(s);
}

/* Neither an older nor a newer format is guessed at. */
static void test_other_formats_are_refused(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct store *s;

    scratch_clear();
    must_open(&s, &conf);
    store_close(&s);
    set_segment_version("d/log-00000", SEGMENT_VERSION - 1);
    must_refuse(&conf, "format version 1");
    set_segment_version("d/log-00000", SEGMENT_VERSION + 1);
    must_refuse(&conf, "format version 3");
    set_segment_version("d/log-00000", SEGMENT_VERSION);
    must_open(&s, &conf);
    store_close(&s);
    for (unsigned i = 0; i < 2; i++) {
        scratch_clear();
        must_open(&s, &conf);
        store_close(&s);
        set_tables_version(i ? TABLES_VERSION + 1 : TABLES_VERSION - 1);
        must_refuse(&conf, i ? "format version 3" : "format version 1");
    }
}

/* A process that lives, waits for each batch but the last, and is killed.  Tells through the
 * pipe how many operations had settled. */
static void child_life(uint64_t seed, unsigned steps, const struct store_conf *conf, int out)
{
    struct life l;
    char why[512];

    life_init(&l, seed);
    if (store_open(&l.store, conf, why, sizeof why) < 0)
        _exit(1);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t end = life_step(&l);
        if (!end)
            continue;
        store_wait(l.store, end);
        if (write(out, &l.op_count, sizeof l.op_count) != sizeof l.op_count)
            _exit(1);
    }
    hand_over_all(&l); /* it may or may not get there */
    kill(getpid(), SIGKILL);
}

/* The same life on a store that does not end that way: what was handed over, in which order. */
static void same_life(struct life *l, uint64_t seed, unsigned steps, const struct store_conf *conf)
{
    life_init(l, seed);
    must_open(&l->store, conf);
    for (unsigned i = 0; i < steps; i++)
        life_step(l);
    hand_over_all(l);
    store_close(&l->store);
    scratch_clear();
}

/* The state is that after some number of operations, at least `least`. */
static bool matches_some(const struct life *l, struct store *s, size_t least)
{
    struct m_text found = {0};
    struct loader loader = m_loader(&found);
    char why[512];
    bool same = false;

    m_print(&found, " ");
    assert_int_equal(store_load(s, &loader, why, sizeof why), 0);
    for (size_t n = least; n <= l->op_count && !same; n++) {
        struct m_text wanted = {0};
        life_expect(l, UINT64_MAX, n, &wanted);
        same = strcmp(wanted.bytes, found.bytes) == 0;
        free(wanted.bytes);
    }
    free(found.bytes);
    return same;
}

/* [M1] kill -9, in every mode: all that had settled is there. */
static void test_kill(void **state)
{
    for (unsigned round = 0; round < 12; round++) {
        struct store_conf conf = conf_of(NULL);
        struct life l;
        size_t settled = 0;
        unsigned steps = 200 + round * 43;
        int pipes[2], status;

        conf.sync = (enum wal_sync)(round % 3);
        conf.interval_ms = 5;
        scratch_clear();
        same_life(&l, 1000 + round, steps, &conf);
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0)
            child_life(1000 + round, steps, &conf, pipes[1]);
        close(pipes[1]);
        while (read(pipes[0], &settled, sizeof settled) == sizeof settled)
            continue;
        close(pipes[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && settled > 0);
        must_open(&l.store, &conf);
        assert_true(matches_some(&l, l.store, settled));
        store_close(&l.store);
        life_fini(&l);
    }
}

/* -- Power cuts -- */

enum { SNAPSHOT = 1u << 31 }; /* in a mark's upper half: a copy of the tables, not an lsn */

struct cut_rig {
    struct sim *sim;
    struct store *store;
    _Atomic bool open;
    unsigned snapshots;
};

static void on_settled(void *arg, unsigned worker)
{
    struct cut_rig *rig = arg;
    if (atomic_load(&rig->open))
        sim_mark(rig->sim, store_settled(rig->store));
}

static void on_checkpointed(void *arg, uint64_t applied)
{
    struct cut_rig *rig = arg;
    char path[64];

    snprintf(path, sizeof path, "snapshot-%u", ++rig->snapshots);
    unlink(path);
    assert_int_equal(tables_copy(store_tables(rig->store), path), 0);
    sim_mark(rig->sim, (uint64_t)SNAPSHOT << 32 | rig->snapshots);
}

static void last_marks(const struct sim *sim, size_t upto, uint64_t *settled, unsigned *snapshot)
{
    *settled = 0;
    *snapshot = 0;
    for (size_t i = 0; i < upto; i++) {
        uint64_t mark = sim->events[i].mark;
        if (sim->events[i].kind == SIM_MARK && mark >> 32 == SNAPSHOT)
            *snapshot = (unsigned)mark;
        else if (sim->events[i].kind == SIM_MARK)
            *settled = mark;
    }
}

static void check_cut(const struct cut_rig *rig, const struct life *l, size_t upto,
                      enum sim_loss loss, uint64_t seed)
{
    uint64_t settled, ignored;
    unsigned snapshot;
    char command[128], when[128], why[512] = "";
    struct store *s;

    last_marks(rig->sim, upto, &settled, &snapshot);
    struct sim *cut = sim_cut(rig->sim, upto, loss, seed, &ignored);
    struct store_conf conf = conf_of(&cut->disk);
    scratch_clear();
    if (snapshot) {
        snprintf(command, sizeof command, "mkdir d && cp snapshot-%u d/state.mdb", snapshot);
        assert_int_equal(system(command), 0);
    }
    snprintf(when, sizeof when, "event %zu, loss %d, seed %llu", upto, loss,
             (unsigned long long)seed);
    if (store_open(&s, &conf, why, sizeof why) < 0)
        fail_msg("%s: %s", when, why);
    uint64_t end = store_stats(s).log.end;
    if (end < settled)
        fail_msg("%s: %llu found, %llu acknowledged", when, (unsigned long long)end,
                 (unsigned long long)settled);
    check_same(l, s, end, when);
    store_close(&s);
    sim_free(&cut);
}

/* [M1] [M2] [M5] Power fails at any moment of a run with checkpoints, a failed sync and a full
 * disk in it: all that was acknowledged is there, and nothing that never was. */
static void test_power_cut(void **state)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct cut_rig rig = {.sim = sim_new()};
        struct store_conf conf = conf_of(&rig.sim->disk);
        struct life l;

        conf.settled = on_settled;
        conf.checkpointed = on_checkpointed;
        conf.arg = &rig;
        scratch_clear();
        life_init(&l, seed);
        must_open(&rig.store, &conf);
        atomic_store(&rig.open, true);
        l.store = rig.store;
        for (unsigned i = 0; i < 700; i++) {
            uint64_t end = life_step(&l);
            if (end && life_dice(&l, 3))
                store_wait(rig.store, end);
            if (i == 350)
                SIM_SET(rig.sim, fail_syncs, 3);
            if (i % 200 == 199)
                assert_int_equal(store_checkpoint(rig.store), 0);
        }
        hand_over_all(&l);
        store_close(&rig.store);
        assert_true(rig.snapshots > 1);
        for (size_t upto = seed; upto <= rig.sim->event_count; upto += 3) {
            uint64_t dice = upto * 2654435761u + seed;
            check_cut(&rig, &l, upto, (enum sim_loss)(upto % 4 < 2 ? SIM_LOSE_SECTORS : upto % 2),
                      dice);
        }
        life_fini(&l);
        sim_free(&rig.sim);
    }
}

/* A start that is cut off is no different from the one before it. */
static void test_start_after_a_start_that_was_cut_off(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct life l;
    int status;

    conf.keep_log = true;
    scratch_clear();
    life_init(&l, 5);
    must_open(&l.store, &conf);
    for (unsigned i = 0; i < 600; i++)
        life_step(&l);
    hand_over_all(&l);
    store_close(&l.store);
    for (unsigned round = 0; round < 5; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct store *s;
            char why[512];
            if (store_open(&s, &conf, why, sizeof why) < 0)
                _exit(1);
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    must_open(&l.store, &conf);
    check_same(&l, l.store, UINT64_MAX, "after five starts that were killed");
    store_close(&l.store);
    life_fini(&l);
}

/* -- Damage -- */

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");

    assert_non_null(f);
    fseek(f, at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

/* The number of the log's n-th file, which depends on who made files first. */
static unsigned slot_of(unsigned n)
{
    struct segment *list, *s;
    char why[512];

    assert_int_equal(segment_list(&list, &disk_system, "d", why, sizeof why), 0);
    for (s = list; n > 0; n--)
        s = s->next;
    assert_true(s->sequence && s->next && s->next->sequence);
    unsigned slot = s->slot;
    segment_list_free(&list);
    return slot;
}

static void test_damage_is_reported(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct life l;
    struct store *s = NULL;
    char why[512] = "";

    scratch_clear();
    conf.checkpoint_bytes = 64 << 20;
    conf.keep_log = true;
    life_init(&l, 3);
    must_open(&l.store, &conf);
    for (unsigned i = 0; i < 600; i++)
        life_step(&l);
    hand_over_all(&l);
    store_close(&l.store);
    flip("d/log-00000", SEGMENT_HEAD + 9999);
    assert_int_equal(store_open(&s, &conf, why, sizeof why), ERR_DAMAGED);
    assert_non_null(strstr(why, "log-00000 is damaged at byte"));
    assert_non_null(strstr(why, "skepctl store repair"));
    flip("d/log-00000", SEGMENT_HEAD + 9999);
    must_open(&s, &conf);
    check_same(&l, s, UINT64_MAX, "after the damage was undone");
    store_close(&s);
    /* a log that is gone is not an empty one */
    assert_int_equal(system("rm d/log-*"), 0);
    assert_int_equal(store_open(&s, &conf, why, sizeof why), ERR_DAMAGED);
    assert_non_null(strstr(why, "missing"));
    life_fini(&l);
}

/* [M5] Repair keeps all that stands before the damage and puts the rest aside. */
static void test_repair(void **state)
{
    struct store_conf conf = conf_of(NULL);
    struct check_report report;
    struct life l;
    char path[64], why[512] = "";
    bool cut;

    scratch_clear();
    conf.checkpoint_bytes = 64 << 20;
    conf.keep_log = true;
    life_init(&l, 4);
    must_open(&l.store, &conf);
    for (unsigned i = 0; i < 900; i++)
        life_step(&l);
    hand_over_all(&l);
    assert_int_equal(check_store("d", NULL, &report, why, sizeof why), ERR_EXISTS);
    store_close(&l.store);
    assert_int_equal(check_store("d", NULL, &report, why, sizeof why), 0);
    assert_true(report.records[RECORD_PUB] > 100 && report.applied == 0);
    assert_int_equal(check_repair("d", NULL, &cut, why, sizeof why), 0);
    assert_false(cut);
    uint64_t whole = report.end;

    unsigned slot = slot_of(1); /* with more log files behind it */
    segment_path(path, sizeof path, "d", slot);
    flip(path, SEGMENT_HEAD + 20000);
    assert_int_equal(check_store("d", NULL, &report, why, sizeof why), ERR_DAMAGED);
    assert_true(report.log_damaged && report.slot == slot && report.place <= SEGMENT_HEAD + 20000);
    assert_int_equal(check_repair("d", NULL, &cut, why, sizeof why), 0);
    assert_true(cut);
    snprintf(path, sizeof path, "ls d/damaged-*-%05u >/dev/null", slot);
    assert_int_equal(system(path), 0);
    assert_int_equal(check_store("d", NULL, &report, why, sizeof why), 0);
    for (unsigned run = 0; run < 2; run++) { /* and it stays so */
        must_open(&l.store, &conf);
        uint64_t end = store_stats(l.store).log.end;
        assert_true(end > WAL_SEGMENT_LEAST / 2 && end < whole);
        check_same(&l, l.store, report.end, "after the repair");
        store_close(&l.store);
    }
    life_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_comes_back),
        cmocka_unit_test(test_clean_end),
        cmocka_unit_test(test_acknowledged_messages_never_reach_the_tables),
        cmocka_unit_test(test_checkpoints_free_the_log),
        cmocka_unit_test(test_second_process_is_refused),
        cmocka_unit_test(test_other_formats_are_refused),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_start_after_a_start_that_was_cut_off),
        cmocka_unit_test(test_damage_is_reported),
        cmocka_unit_test(test_repair),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, in_scratch, out_of_scratch);
}
