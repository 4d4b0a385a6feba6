#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/fold.h"
#include "store/replay.h"

enum { PATH_MOST = 4096, RETRY_S = 5, NICE = 10, PROGRESS_MS = 2000 };

struct store {
    struct store_conf conf;
    char *dir;
    int lock_fd;
    struct tables *tables;
    struct wal *wal;
    _Atomic uint64_t last_number;
    uint64_t replayed, torn_bytes;
    int64_t clock_offset_ms;

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    /* Guarded by mutex. */
    bool stop;
    uint64_t finished;     /* bytes of segments finished and not yet folded */
    uint64_t wanted, made; /* checkpoints asked for, and made since */
    int result;
    _Atomic uint64_t applied, checkpoints, failures;
};

/* -- One stretch of the log into the tables -- */

static int read_stretch(struct replay *r, struct fold *f, unsigned most)
{
    int more = 1;

    for (unsigned i = 0; more > 0 && i < most; i++)
        more = replay_segment(r, fold_record, f);
    return more;
}

static unsigned stretch(const struct store *s)
{
    uint64_t n = s->conf.checkpoint_bytes / s->conf.segment_bytes;
    return n ? (unsigned)n : 1;
}

static int fold_fault(struct store *s, int err, char *why, size_t why_size)
{
    snprintf(why, why_size, "cannot write %s/state.mdb: %s", s->dir,
             *tables_why(s->tables) ? tables_why(s->tables) : err_text(err));
    return err;
}

/* -- Start -- */

static int lock_dir(struct store *s, char *why, size_t why_size)
{
    char path[PATH_MOST];

    if (mkdir(s->dir, 0700) < 0 && errno != EEXIST) {
        snprintf(why, why_size, "cannot make %s: %s", s->dir, strerror(errno));
        return ERR_SYSTEM;
    }
    snprintf(path, sizeof path, "%s/lock", s->dir);
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        snprintf(why, why_size, "cannot write in %s: %s", s->dir, strerror(errno));
        return ERR_SYSTEM;
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(why, why_size, "%s is in use by another process", s->dir);
        return ERR_EXISTS;
    }
    return 0;
}

struct meta {
    uint64_t applied;
    struct moment moment;
};

static int read_meta(struct store *s, struct meta *m, char *why, size_t why_size)
{
    struct tables_txn *txn;
    uint64_t last = 0;
    int err = tables_begin(s->tables, false, &txn);

    if (!err) {
        err = tables_meta_get(txn, "applied", &m->applied);
        if (!err)
            err = tables_meta_get(txn, "last_number", &last);
        if (!err)
            err = tables_moment_get(txn, &m->moment);
        tables_abort(&txn);
    }
    if (err)
        snprintf(why, why_size, "cannot read %s/state.mdb: %s", s->dir, tables_why(s->tables));
    atomic_store(&s->last_number, last);
    return err;
}

static void say_progress(const struct replay *r, uint64_t begun_ms, uint64_t *said_ms)
{
    uint64_t now = clock_mono_ms();

    if (now - begun_ms < PROGRESS_MS || now - *said_ms < PROGRESS_MS)
        return;
    *said_ms = now;
    log_info("store", "replaying the log: %llu records so far", (unsigned long long)r->records);
}

/* Folds all that the tables do not have yet. */
static int recover(struct store *s, struct segment *segments, uint64_t *lsn, char *why,
                   size_t why_size)
{
    struct replay r;
    uint64_t begun = clock_mono_ms(), said = 0;
    int more = 1, err;

    if (*lsn > 0 && (!segments || !segments->sequence)) {
        snprintf(why, why_size, "%s holds a checkpoint but no log: its log files are missing",
                 s->dir);
        return ERR_DAMAGED;
    }
    err = replay_init(&r, segments, *lsn, UINT64_MAX);
    while (!err && more > 0) {
        struct fold *f = fold_new();
        more = read_stretch(&r, f, stretch(s));
        if (more < 0)
            err = more;
        else if (r.lsn > *lsn && (err = fold_apply(f, s->tables, r.lsn, 0)) < 0)
            fold_fault(s, err, r.why, sizeof r.why);
        fold_free(&f);
        replay_forget(&r);
        say_progress(&r, begun, &said);
    }
    if (err)
        snprintf(why, why_size, "%s: %s", s->dir, r.why);
    else if (r.torn_bytes)
        log_warn("store",
                 "the log ended in a write that was cut off: %llu bytes from byte %llu of "
                 "log-%05u on are dropped; nothing of it had been acknowledged",
                 (unsigned long long)r.torn_bytes, (unsigned long long)r.torn_place, r.torn_slot);
    *lsn = r.lsn;
    s->replayed = r.records;
    s->torn_bytes = r.torn_bytes;
    replay_fini(&r);
    return err;
}

static void on_sealed(void *arg);

static void on_settled(void *arg, unsigned worker)
{
    struct store *s = arg;
    if (s->conf.settled)
        s->conf.settled(s->conf.arg, worker);
}

static void on_refusing(void *arg, const char *why)
{
    struct store *s = arg;
    if (s->conf.refusing)
        s->conf.refusing(s->conf.arg, why);
}

static int open_wal(struct store *s, struct segment **segments, uint64_t lsn, char *why,
                    size_t why_size)
{
    struct wal_conf conf = {
        .disk = s->conf.disk,
        .dir = s->dir,
        .segment_bytes = s->conf.segment_bytes,
        .sync = s->conf.sync,
        .interval_ms = s->conf.interval_ms,
        .retry_ms = s->conf.retry_ms,
        .clock = s->conf.clock,
        .clock_offset_ms = s->clock_offset_ms,
        .settled = on_settled,
        .refusing = on_refusing,
        .sealed = on_sealed,
        .arg = s,
    };
    int err = wal_open(&s->wal, &conf, segments, lsn, why, why_size);

    if (!err)
        wal_trim(s->wal, lsn); /* all of it is in the tables */
    return err;
}

static void *checkpoint_run(void *store);

static void start_thread(struct store *s)
{
    ASSERT(pthread_create(&s->thread, NULL, checkpoint_run, s) == 0);
    s->running = true;
}

static struct store *store_new(const struct store_conf *conf)
{
    struct store *s = xcalloc(1, sizeof *s);

    s->conf = *conf;
    s->lock_fd = -1;
    s->dir = str_dup(str_of(conf->dir));
    if (!s->conf.disk)
        s->conf.disk = &disk_system;
    if (!s->conf.clock)
        s->conf.clock = &store_clock_system;
    if (!s->conf.segment_bytes)
        s->conf.segment_bytes = WAL_SEGMENT_BYTES;
    if (!s->conf.checkpoint_bytes)
        s->conf.checkpoint_bytes = STORE_CHECKPOINT_BYTES;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake, NULL);
    pthread_cond_init(&s->done, NULL);
    return s;
}

/* Everything into the tables; what they know then is in *meta. */
static int catch_up(struct store *s, struct segment **segments, struct meta *meta, char *why,
                    size_t why_size)
{
    uint64_t lsn;
    int err;

    if ((err = read_meta(s, meta, why, why_size)) < 0 ||
        (err = segment_list(segments, s->conf.disk, s->dir, why, why_size)) < 0)
        return err;
    lsn = meta->applied;
    if ((err = recover(s, *segments, &lsn, why, why_size)) < 0)
        return err;
    if ((err = fold_sweep(s->tables)) < 0)
        return fold_fault(s, err, why, why_size);
    err = read_meta(s, meta, why, why_size);
    meta->applied = lsn;
    return err;
}

int store_open(struct store **out, const struct store_conf *conf, char *why, size_t why_size)
{
    struct store *s = store_new(conf);
    struct segment *segments = NULL;
    char path[PATH_MOST];
    struct meta meta;
    int err;

    snprintf(path, sizeof path, "%s/state.mdb", s->dir);
    if ((err = lock_dir(s, why, why_size)) < 0 ||
        (err = tables_open(&s->tables, path, conf->map_bytes, why, why_size)) < 0 ||
        (err = catch_up(s, &segments, &meta, why, why_size)) < 0)
        goto fail;
    s->clock_offset_ms = moment_offset_ms(s->conf.clock, meta.moment);
    if ((err = open_wal(s, &segments, meta.applied, why, why_size)) < 0)
        goto fail;
    atomic_store(&s->applied, meta.applied);
    start_thread(s);
    *out = s;
    return 0;
fail:
    segment_list_free(&segments);
    store_close(&s);
    return err;
}

int store_load(struct store *s, const struct loader *loader, char *why, size_t why_size)
{
    return load_tables(s->tables, loader, why, why_size);
}

int store_close(struct store **store)
{
    struct store *s = *store;
    int err = 0;

    if (!s)
        return 0;
    if (s->running) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_cond_broadcast(&s->wake);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    err = wal_close(&s->wal);
    tables_close(&s->tables);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->done);
    free(s->dir);
    free(s);
    *store = NULL;
    return err;
}

/* -- Checkpoints -- */

static void on_sealed(void *arg)
{
    struct store *s = arg;

    pthread_mutex_lock(&s->mutex);
    s->finished += s->conf.segment_bytes;
    if (s->finished >= s->conf.checkpoint_bytes)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

/* Folds finished segments, as many as one checkpoint takes.  1: there may be more. */
static int checkpoint(struct store *s, char *why, size_t why_size)
{
    uint64_t from = atomic_load(&s->applied), to;
    struct segment *segments;
    struct replay r;
    int err = wal_finished(s->wal, from, stretch(s), &segments, &to, why, why_size);

    if (err || !segments)
        return err;
    struct fold *f = fold_new();
    err = replay_init(&r, segments, from, to);
    if (!err)
        err = read_stretch(&r, f, UINT32_MAX);
    if (err < 0)
        snprintf(why, why_size, "%s", r.why);
    else if ((err = fold_apply(f, s->tables, to, STORE_PAUSE_US)) < 0)
        fold_fault(s, err, why, why_size);
    replay_fini(&r);
    segment_list_free(&segments);
    fold_free(&f);
    if (err)
        return err;
    atomic_store(&s->applied, to);
    atomic_fetch_add(&s->checkpoints, 1);
    if (s->conf.checkpointed)
        s->conf.checkpointed(s->conf.arg, to);
    wal_trim(s->wal, to);
    return 1;
}

/* Mutex held. */
static bool due(const struct store *s)
{
    return s->finished >= s->conf.checkpoint_bytes || s->wanted > s->made;
}

static void rest(struct store *s)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RETRY_S;
    pthread_cond_timedwait(&s->wake, &s->mutex, &until);
}

static void *checkpoint_run(void *store)
{
    struct store *s = store;
    char why[512];

    setpriority(PRIO_PROCESS, 0, NICE); /* this thread alone, on Linux */
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        if (!due(s)) {
            pthread_cond_wait(&s->wake, &s->mutex);
            continue;
        }
        uint64_t wanted = s->wanted, taken = s->finished;
        pthread_mutex_unlock(&s->mutex);
        int more = checkpoint(s, why, sizeof why);
        if (more < 0) {
            atomic_fetch_add(&s->failures, 1);
            log_limited(LOG_LEVEL_ERROR, "store", "no checkpoint: %s; the log grows", why);
        }
        pthread_mutex_lock(&s->mutex);
        if (more > 0)
            s->finished -= taken < s->conf.checkpoint_bytes ? taken : s->conf.checkpoint_bytes;
        if (more > 0 && wanted > s->made)
            continue;
        s->made = wanted;
        s->result = more < 0 ? more : 0;
        pthread_cond_broadcast(&s->done);
        if (more == 0)
            s->finished -= taken;
        if (more < 0 && !s->stop)
            rest(s);
    }
    s->made = UINT64_MAX;
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

int store_checkpoint(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t mine = ++s->wanted;
    pthread_cond_signal(&s->wake);
    while (s->made < mine)
        pthread_cond_wait(&s->done, &s->mutex);
    int err = s->result;
    pthread_mutex_unlock(&s->mutex);
    return err;
}

/* -- Passing on -- */

int64_t store_clock_offset_ms(const struct store *s)
{
    return s->clock_offset_ms;
}

uint64_t store_number(struct store *s)
{
    return atomic_fetch_add(&s->last_number, 1) + 1;
}

uint64_t store_submit(struct store *s, unsigned worker, struct batch *b)
{
    return wal_submit(s->wal, worker, b);
}

uint64_t store_settled(const struct store *s)
{
    return wal_settled(s->wal);
}

bool store_refusing(const struct store *s)
{
    return wal_refusing(s->wal);
}

void store_wait(struct store *s, uint64_t lsn)
{
    wal_wait(s->wal, lsn);
}

struct store_stats store_stats(struct store *s)
{
    return (struct store_stats){
        .log = wal_stats(s->wal),
        .applied = atomic_load(&s->applied),
        .checkpoints = atomic_load(&s->checkpoints),
        .checkpoint_failures = atomic_load(&s->failures),
        .replayed = s->replayed,
        .torn_bytes = s->torn_bytes,
    };
}

struct tables *store_tables(struct store *s)
{
    return s->tables;
}
