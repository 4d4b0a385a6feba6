/* The log: batches settle in order, segments come and go, a disk that fails costs nothing that
 * was acknowledged, and after a power cut at any moment all that had settled is there. */
#include "store/wal.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sim_disk.h"
#include "store/replay.h"
#include "store/wal_impl.h"

enum { DEADLINE_MS = 20000 };

struct rig {
    struct sim *sim;
    struct wal *wal;
    struct batch batch;
    uint64_t number; /* of the next record */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned told[WAL_WORKERS_MAX];
    int refusals, recoveries;
    bool marks;
};

static void on_settled(void *arg, unsigned worker)
{
    struct rig *rig = arg;

    pthread_mutex_lock(&rig->mutex);
    rig->told[worker]++;
    if (rig->marks) /* only now may anybody be told */
        sim_mark(rig->sim, wal_settled(rig->wal));
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

static void on_refusing(void *arg, const char *why)
{
    struct rig *rig = arg;

    pthread_mutex_lock(&rig->mutex);
    if (why)
        rig->refusals++;
    else
        rig->recoveries++;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->mutex);
}

static struct wal_conf conf_of(struct rig *rig, enum wal_sync sync)
{
    return (struct wal_conf){.disk = &rig->sim->disk,
                             .dir = "d",
                             .segment_bytes = WAL_SEGMENT_LEAST,
                             .sync = sync,
                             .interval_ms = 1,
                             .retry_ms = 1,
                             .settled = on_settled,
                             .refusing = on_refusing,
                             .arg = rig};
}

static void rig_open(struct rig *rig, enum wal_sync sync)
{
    char why[512] = "";
    struct segment *none = NULL;

    memset(rig, 0, sizeof *rig);
    pthread_mutex_init(&rig->mutex, NULL);
    pthread_cond_init(&rig->changed, NULL);
    rig->sim = sim_new();
    rig->number = 1;
    struct wal_conf conf = conf_of(rig, sync);
    assert_int_equal(wal_open(&rig->wal, &conf, &none, 0, why, sizeof why), 0);
}

static void rig_close(struct rig *rig)
{
    if (rig->wal)
        wal_close(&rig->wal);
    batch_fini(&rig->batch);
    sim_free(&rig->sim);
    pthread_mutex_destroy(&rig->mutex);
    pthread_cond_destroy(&rig->changed);
}

/* Waits until a counter of the rig has reached a value; fails after the deadline. */
static void wait_for(struct rig *rig, const int *counter, int value)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_MS / 1000;
    pthread_mutex_lock(&rig->mutex);
    int err = 0;
    while (*counter < value && !err)
        err = pthread_cond_timedwait(&rig->changed, &rig->mutex, &until);
    pthread_mutex_unlock(&rig->mutex);
    assert_int_equal(err, 0);
}

/* A record that carries its number, and as many bytes as that number says. */
static void add(struct rig *rig, size_t most)
{
    static char payload[200000];
    struct record_message m = {.topic = STR("t"), .publisher = rig->number, .qos = 1};
    struct record_target t = {.session = 1, .counter = rig->number, .qos = 1};

    m.payload = (struct str){payload, (size_t)(rig->number * 7919 % (most + 1))};
    batch_pub_begin(&rig->batch, &m, 0, 0, 0);
    batch_pub_target(&rig->batch, &t);
    batch_pub_end(&rig->batch);
    rig->number++;
}

static uint64_t submit(struct rig *rig, unsigned worker, unsigned count, size_t most)
{
    for (unsigned i = 0; i < count; i++)
        add(rig, most);
    return wal_submit(rig->wal, worker, &rig->batch);
}

/* -- Reading back -- */

struct found {
    uint64_t count; /* PUBs, numbered from 1 without a gap */
    size_t most;
};

static int on_record(void *arg, const struct record *r, const struct record_body *body)
{
    struct found *f = arg;

    if (r->type == RECORD_COMMIT)
        return 0;
    assert_int_equal(r->type, RECORD_PUB);
    f->count++;
    assert_int_equal(body->pub.message.publisher, f->count);
    assert_int_equal(body->pub.message.payload.len, f->count * 7919 % (f->most + 1));
    assert_int_equal(record_target_at(&body->pub, 0).counter, f->count);
    return 0;
}

/* Everything in the log, which must be whole; returns the replay for its findings. */
static int read_all(struct sim *sim, size_t most, struct found *f, struct replay *r)
{
    struct segment *list;
    char why[512] = "";
    int err = segment_list(&list, &sim->disk, "d", why, sizeof why);

    *f = (struct found){.most = most};
    if (err) {
        snprintf(r->why, sizeof r->why, "%s", why);
        return err;
    }
    assert_int_equal(replay_init(r, list, 0, UINT64_MAX), 0);
    do
        err = replay_segment(r, on_record, f);
    while (err > 0);
    replay_fini(r);
    segment_list_free(&list);
    return err;
}

/* -- Tests -- */

static void test_batches_settle_and_come_back(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;
    uint64_t end = 0;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t before = end;
        end = submit(&rig, i % 5, 10, 3000); /* many segments */
        assert_true(end > before);
        assert_true(wal_settled(rig.wal) <= end);
    }
    wal_wait(rig.wal, end);
    assert_int_equal(wal_synced(rig.wal), end);
    struct wal_stats stats = wal_stats(rig.wal);
    assert_true(stats.used > 10 && stats.end == end && stats.kept_bytes == end);
    assert_int_equal(wal_close(&rig.wal), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_true(rig.told[i] > 0);
    assert_int_equal(rig.told[5], 0);
    assert_int_equal(read_all(rig.sim, 3000, &f, &r), 0);
    assert_int_equal(f.count, 3000);
    assert_int_equal(r.torn_bytes, 0);
    rig_close(&rig);
}

/* While one write is being synced, everything that arrives makes up the next. */
static void test_one_sync_for_all_that_waited(void **state)
{
    struct rig rig;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    uint64_t first = submit(&rig, 0, 1, 10), end = 0;
    wal_wait(rig.wal, first);
    uint64_t before = wal_stats(rig.wal).syncs;
    for (unsigned i = 0; i < 1000; i++)
        end = submit(&rig, i % 100, 1, 10);
    wal_wait(rig.wal, end);
    assert_in_range(wal_stats(rig.wal).syncs - before, 1, 1000);
    rig_close(&rig);
}

static void test_record_larger_than_a_segment(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    uint64_t end = submit(&rig, 0, 60, 199999);
    wal_wait(rig.wal, end);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 199999, &f, &r), 0);
    assert_int_equal(f.count, 60);
    rig_close(&rig);
}

/* Trimmed segments are used again, and what they held does not come back. */
static void test_segments_are_recycled(void **state)
{
    struct rig rig;
    struct found f = {.most = 3000};
    struct segment *list;
    char why[512];
    uint64_t to;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    for (unsigned round = 0; round < 50; round++) {
        wal_wait(rig.wal, submit(&rig, 0, 100, 3000));
        struct replay r;
        uint64_t from = f.count ? wal_stats(rig.wal).end - wal_stats(rig.wal).kept_bytes : 0;
        assert_int_equal(wal_finished(rig.wal, from, 64, &list, &to, why, sizeof why), 0);
        assert_int_equal(replay_init(&r, list, from, to), 0);
        while (replay_segment(&r, on_record, &f) > 0)
            continue;
        assert_string_equal(r.why, "");
        assert_int_equal(r.lsn, to);
        replay_fini(&r);
        segment_list_free(&list);
        wal_trim(rig.wal, to);
    }
    assert_true(f.count > 4900);
    assert_true(wal_stats(rig.wal).used <= 4);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_true(rig.sim->file_count < 30);
    rig_close(&rig);
}

/* After a clean end the log goes on where it stood. */
static void test_opens_again_and_goes_on(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;
    char why[512];

    rig_open(&rig, WAL_SYNC_ALWAYS);
    for (unsigned run = 0; run < 5; run++) {
        submit(&rig, 0, 77, 2000);
        assert_int_equal(wal_close(&rig.wal), 0);
        assert_int_equal(read_all(rig.sim, 2000, &f, &r), 0);
        assert_int_equal(f.count, 77 * (run + 1));
        struct segment *list;
        assert_int_equal(segment_list(&list, &rig.sim->disk, "d", why, sizeof why), 0);
        struct wal_conf conf = conf_of(&rig, WAL_SYNC_ALWAYS);
        assert_int_equal(wal_open(&rig.wal, &conf, &list, r.lsn, why, sizeof why), 0);
    }
    rig_close(&rig);
}

static void test_short_writes(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    SIM_SET(rig.sim, short_writes, 777);
    uint64_t end = submit(&rig, 0, 200, 2000);
    wal_wait(rig.wal, end);
    assert_int_equal(wal_close(&rig.wal), 0);
    SIM_SET(rig.sim, short_writes, 0);
    assert_int_equal(read_all(rig.sim, 2000, &f, &r), 0);
    assert_int_equal(f.count, 200);
    rig_close(&rig);
}

/* One failed sync: written again elsewhere, nobody notices. */
static void test_failed_sync_is_written_again(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    wal_wait(rig.wal, submit(&rig, 0, 5, 100));
    wal_wait(rig.wal, wal_stats(rig.wal).end);
    SIM_SET(rig.sim, fail_syncs, 1);
    wal_wait(rig.wal, submit(&rig, 0, 5, 100));
    wal_wait(rig.wal, submit(&rig, 0, 5, 100));
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(rig.sim->fail_syncs, 0);
    assert_int_equal(rig.refusals, rig.recoveries);
    assert_int_equal(read_all(rig.sim, 100, &f, &r), 0);
    assert_int_equal(f.count, 15);
    rig_close(&rig);
}

/* A disk that fails for long: nothing settles meanwhile, everything does afterwards. */
static void test_refuses_and_recovers(void **state)
{
    static const int errors[] = {EIO, ENOSPC};
    struct rig rig;
    struct found f;
    struct replay r;

    for (unsigned i = 0; i < 2; i++) {
        rig_open(&rig, WAL_SYNC_ALWAYS);
        uint64_t safe = submit(&rig, 0, 5, 1000);
        wal_wait(rig.wal, safe);
        SIM_SET(rig.sim, write_errno, errors[i]);
        SIM_SET(rig.sim, fail_writes, -1);
        uint64_t end = submit(&rig, 0, 5, 1000);
        wait_for(&rig, &rig.refusals, 1);
        assert_true(wal_refusing(rig.wal));
        end = submit(&rig, 1, 100, 1000);
        assert_int_equal(wal_settled(rig.wal), safe);
        SIM_SET(rig.sim, fail_writes, 0);
        wal_wait(rig.wal, end);
        assert_false(wal_refusing(rig.wal));
        assert_int_equal(rig.recoveries, 1);
        assert_int_equal(wal_close(&rig.wal), 0);
        assert_int_equal(read_all(rig.sim, 1000, &f, &r), 0);
        assert_int_equal(f.count, 110);
        rig_close(&rig);
    }
}

/* The folder is full: the log runs to the end of the files it has, then refuses. */
static void test_disk_full(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    SIM_SET(rig.sim, space, rig.sim->used + 3 * WAL_SEGMENT_LEAST);
    uint64_t end = submit(&rig, 0, 300, 4000); /* more than fits */
    wait_for(&rig, &rig.refusals, 1);
    assert_true(wal_settled(rig.wal) < end);
    SIM_SET(rig.sim, space, 0);
    wal_wait(rig.wal, end);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 4000, &f, &r), 0);
    assert_int_equal(f.count, 300);
    rig_close(&rig);
}

/* The current segment is ended on demand, with what was handed over by then in it. */
static void test_seal(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;
    char why[512] = "";

    for (unsigned mode = 0; mode < 3; mode++) {
        rig_open(&rig, (enum wal_sync)mode);
        assert_int_equal(wal_seal(rig.wal, 0, why, sizeof why), 0);
        assert_int_equal(wal_stats(rig.wal).used, 1); /* nothing to do */
        for (unsigned i = 1; i <= 5; i++) {
            uint64_t end = submit(&rig, 0, 5, 100);
            assert_int_equal(wal_seal(rig.wal, end, why, sizeof why), 0);
            assert_int_equal(wal_synced(rig.wal), end);
            assert_int_equal(wal_stats(rig.wal).used, i + 1);
            assert_int_equal(wal_seal(rig.wal, end, why, sizeof why), 0);
            assert_int_equal(wal_stats(rig.wal).used, i + 1);
        }
        assert_int_equal(wal_close(&rig.wal), 0);
        assert_int_equal(read_all(rig.sim, 100, &f, &r), 0);
        assert_int_equal(f.count, 25);
        rig_close(&rig);
    }
}

/* Without room for a next segment none is ended; the log goes on in the one it has. */
static void test_seal_on_a_full_disk(void **state)
{
    struct rig rig;
    char why[512] = "";
    int err = 0;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    SIM_SET(rig.sim, space, 1);
    for (unsigned i = 0; !err && i <= WAL_SPARE + 1; i++) /* some are in reserve */
        err = wal_seal(rig.wal, submit(&rig, 0, 1, 100), why, sizeof why);
    assert_int_equal(err, ERR_SYSTEM);
    assert_non_null(strstr(why, "No space left"));
    assert_false(wal_refusing(rig.wal));
    uint64_t end = submit(&rig, 0, 5, 100);
    wal_wait(rig.wal, end);
    assert_int_equal(rig.refusals, 0);
    SIM_SET(rig.sim, space, 0);
    assert_int_equal(wal_seal(rig.wal, end, why, sizeof why), 0);
    rig_close(&rig);
}

static void test_end_while_refusing(void **state)
{
    struct rig rig;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    SIM_SET(rig.sim, fail_syncs, -1);
    submit(&rig, 0, 5, 100);
    wait_for(&rig, &rig.refusals, 1);
    assert_int_equal(wal_close(&rig.wal), ERR_SYSTEM);
    rig_close(&rig);
}

/* The other modes acknowledge what was written; the interval still syncs in time. */
static void test_interval_and_none(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_INTERVAL);
    uint64_t end = submit(&rig, 0, 50, 1000), deadline = clock_mono_ms() + DEADLINE_MS;
    wal_wait(rig.wal, end);
    while (wal_synced(rig.wal) < end) {
        assert_true(clock_mono_ms() < deadline);
        sched_yield();
    }
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 1000, &f, &r), 0);
    assert_int_equal(f.count, 50);
    rig_close(&rig);

    rig_open(&rig, WAL_SYNC_NONE);
    end = submit(&rig, 0, 20, 100);
    wal_wait(rig.wal, end);
    assert_true(wal_synced(rig.wal) < end);
    assert_true(wal_stats(rig.wal).pending_bytes > 0);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 100, &f, &r), 0);
    assert_int_equal(f.count, 20);
    rig_close(&rig);
}

/* [M1] Power fails after every single operation of a run that fills segments, fails a sync on
 * the way and uses files again. */
static void power_cuts(enum wal_sync sync)
{
    struct rig rig;
    uint64_t *ends = NULL; /* lsn behind PUB n */

    rig_open(&rig, sync);
    rig.marks = sync == WAL_SYNC_ALWAYS; /* else nothing was promised, but it must start */
    ends = xcalloc(400, sizeof *ends);
    for (unsigned i = 0; i < 60; i++) {
        if (i == 30) {
            SIM_SET(rig.sim, fail_syncs, 2);
        }
        uint64_t end = submit(&rig, 0, 1 + i % 4, 3000);
        ends[rig.number - 1] = end;
        if (i % 3)
            wal_wait(rig.wal, end);
    }
    wal_close(&rig.wal);

    for (size_t upto = 0; upto <= rig.sim->event_count; upto++) {
        for (unsigned dice = 0; dice < 6; dice++) {
            struct found f;
            struct replay r = {0};
            uint64_t marked, safe = 0;
            enum sim_loss loss = dice < 2 ? dice : SIM_LOSE_SECTORS;
            struct sim *cut = sim_cut(rig.sim, upto, loss, upto * 31 + dice, &marked);
            int err = read_all(cut, 3000, &f, &r);
            for (uint64_t n = 1; n < rig.number; n++) {
                if (ends[n] && ends[n] <= marked)
                    safe = n;
            }
            if (err || f.count < safe)
                fail_msg("after event %zu, dice %u: %d (%s), %llu found, %llu acknowledged", upto,
                         dice, err, r.why, (unsigned long long)f.count, (unsigned long long)safe);
            sim_free(&cut);
        }
    }
    free(ends);
    rig_close(&rig);
}

static void test_power_cut_at_every_moment(void **state)
{
    power_cuts(WAL_SYNC_ALWAYS);
}

static void test_power_cut_in_the_other_modes(void **state)
{
    power_cuts(WAL_SYNC_INTERVAL);
    power_cuts(WAL_SYNC_NONE);
}

/* What an earlier use left in a file is not read, even where its places fit. */
static void test_leftovers_are_not_records(void **state)
{
    struct sim *sim = sim_new();
    struct segment *s;
    struct batch b = {0};
    struct replay r;
    struct found f = {0};
    char why[512];

    assert_int_equal(segment_create(&s, &sim->disk, "d", 0, WAL_SEGMENT_LEAST, why, sizeof why), 0);
    for (unsigned use = 1; use <= 2; use++) {
        assert_int_equal(segment_use(s, use, 0), 0);
        if (use == 1) {
            batch_end(&b, 1);
            record_seal(b.bytes, 0, s->salt);
            struct iovec vec = {b.bytes, b.len};
            assert_int_equal(disk_write(&sim->disk, s->fd, &vec, 1, SEGMENT_HEAD), 0);
        }
    }
    assert_int_equal(replay_init(&r, s, 0, UINT64_MAX), 0);
    assert_int_equal(replay_segment(&r, on_record, &f), 0);
    assert_int_equal(r.records, 0);
    replay_fini(&r);
    segment_free(&s);
    batch_fini(&b);
    sim_free(&sim);
}

/* A bit that flips in what was acknowledged is damage, not an end; behind the last COMMIT it
 * is an end. */
static void test_damage_is_told_from_a_torn_end(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    for (unsigned i = 0; i < 20; i++)
        wal_wait(rig.wal, submit(&rig, 0, 1, 3000));
    assert_int_equal(wal_close(&rig.wal), 0);
    struct sim_file *file = &rig.sim->files[0];
    for (unsigned at = SEGMENT_HEAD + 4; at < SEGMENT_HEAD + 20000; at += 997) {
        file->now[at] ^= 1;
        assert_int_equal(read_all(rig.sim, 3000, &f, &r), ERR_DAMAGED);
        assert_non_null(strstr(r.why, "log-00000"));
        assert_true(r.damaged_place <= at);
        file->now[at] ^= 1;
    }
    file->now[20] ^= 1; /* the header */
    assert_int_equal(read_all(rig.sim, 3000, &f, &r), ERR_DAMAGED);
    assert_non_null(strstr(r.why, "header"));
    file->now[20] ^= 1;
    assert_int_equal(read_all(rig.sim, 3000, &f, &r), 0);
    /* the last COMMIT itself: nothing stands behind it */
    uint64_t place = segment_place(&(struct segment){.base = 0}, r.lsn) - 44;
    file->now[place + 30] ^= 1;
    assert_int_equal(read_all(rig.sim, 3000, &f, &r), 0);
    assert_int_equal(f.count, 20);
    assert_true(r.torn_bytes > 0 && r.torn_place == place);
    rig_close(&rig);
}

/* The zeros of a segment that was never written to are no record, not even at the log's very
 * beginning, whose lsn they have. */
static void test_an_empty_log_is_not_torn(void **state)
{
    struct sim *sim = sim_new();
    struct segment *s;
    struct found f;
    struct replay r;
    char why[512];

    assert_int_equal(segment_create(&s, &sim->disk, "d", 0, WAL_SEGMENT_LEAST, why, sizeof why), 0);
    assert_int_equal(segment_use(s, 1, 0), 0);
    segment_free(&s);
    assert_int_equal(read_all(sim, 0, &f, &r), 0);
    assert_int_equal(r.torn_bytes, 0);
    sim_free(&sim);
}

static void test_other_versions_are_refused(void **state)
{
    struct rig rig;
    struct found f;
    struct replay r;

    rig_open(&rig, WAL_SYNC_ALWAYS);
    batch_raw(&rig.batch, 99, RECORD_SKIPPABLE, STR("later"));
    submit(&rig, 0, 1, 10);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 10, &f, &r), 0);
    assert_int_equal(f.count, 1);
    rig_close(&rig);

    rig_open(&rig, WAL_SYNC_ALWAYS);
    batch_raw(&rig.batch, 99, 0, STR("must be known"));
    submit(&rig, 0, 1, 10);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(read_all(rig.sim, 10, &f, &r), ERR_DENIED);
    assert_non_null(strstr(r.why, "type 99"));
    rig_close(&rig);
}

/* -- Many threads -- */

enum { THREADS = 4, ROUNDS = 200 };

struct submitter {
    struct rig *rig;
    unsigned index;
};

static void *submitter_run(void *arg)
{
    struct submitter *s = arg;
    struct batch b = {0};

    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned k = 0; k < 5; k++)
            batch_ack(&b, s->index + 1, (uint64_t)(i * 5 + k) * 2, 0);
        uint64_t end = wal_submit(s->rig->wal, s->index, &b);
        if (i % 8 == 0)
            wal_wait(s->rig->wal, end);
    }
    batch_fini(&b);
    return NULL;
}

static int on_threads_record(void *arg, const struct record *r, const struct record_body *body)
{
    uint64_t *next = arg;

    if (r->type == RECORD_ACK) {
        uint64_t session = body->run.session;
        assert_in_range(session, 1, THREADS);
        assert_int_equal(body->run.first, next[session] * 2);
        next[session]++;
    }
    return 0;
}

static void test_many_threads_keep_their_order(void **state)
{
    struct rig rig;
    pthread_t threads[THREADS];
    struct submitter s[THREADS];
    struct segment *list;
    struct replay r;
    uint64_t next[THREADS + 1] = {0};
    char why[512];

    rig_open(&rig, WAL_SYNC_ALWAYS);
    for (unsigned i = 0; i < THREADS; i++) {
        s[i] = (struct submitter){&rig, i};
        assert_int_equal(pthread_create(&threads[i], NULL, submitter_run, &s[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wal_close(&rig.wal), 0);
    assert_int_equal(segment_list(&list, &rig.sim->disk, "d", why, sizeof why), 0);
    assert_int_equal(replay_init(&r, list, 0, UINT64_MAX), 0);
    while (replay_segment(&r, on_threads_record, next) > 0)
        continue;
    assert_string_equal(r.why, "");
    replay_fini(&r);
    segment_list_free(&list);
    for (unsigned i = 1; i <= THREADS; i++)
        assert_int_equal(next[i], ROUNDS * 5);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_settle_and_come_back),
        cmocka_unit_test(test_one_sync_for_all_that_waited),
        cmocka_unit_test(test_record_larger_than_a_segment),
        cmocka_unit_test(test_segments_are_recycled),
        cmocka_unit_test(test_opens_again_and_goes_on),
        cmocka_unit_test(test_short_writes),
        cmocka_unit_test(test_failed_sync_is_written_again),
        cmocka_unit_test(test_refuses_and_recovers),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_seal_on_a_full_disk),
        cmocka_unit_test(test_end_while_refusing),
        cmocka_unit_test(test_interval_and_none),
        cmocka_unit_test(test_power_cut_at_every_moment),
        cmocka_unit_test(test_power_cut_in_the_other_modes),
        cmocka_unit_test(test_leftovers_are_not_records),
        cmocka_unit_test(test_damage_is_told_from_a_torn_end),
        cmocka_unit_test(test_an_empty_log_is_not_torn),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_many_threads_keep_their_order),
    };
    log_level_set(LOG_LEVEL_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
