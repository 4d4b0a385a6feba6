/* The start: the lock, and what no checkpoint has of the log into the tables; and at the end
 * the same, so that the next start has less to do. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store_impl.h"

enum { PROGRESS_MS = 2000, CLOSE_MS = 2000 };

int store_lock(struct store *s, char *why, size_t why_size)
{
    char path[STORE_PATH];

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
    snprintf(path, sizeof path, "%s/" STORE_PART, s->dir);
    if (access(path, F_OK) == 0) {
        snprintf(why, why_size, "%s holds a backup that was never completed", s->dir);
        return ERR_DAMAGED;
    }
    return 0;
}

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
        if (!err)
            err = tables_meta_get(txn, TABLES_META_BACKUP, &m->backup);
        tables_abort(&txn);
    }
    if (err)
        snprintf(why, why_size, "cannot read %s/state.mdb: %s", s->dir, tables_why());
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

/* Folds from where r begins to the end of the log, or until the time is up: stretch by stretch,
 * each into the tables at once.  Words in r->why. */
static int fold_log(struct store *s, struct replay *r, uint64_t until_ms)
{
    uint64_t begun = clock_mono_ms(), said = 0;
    int more = 1, err = 0;

    while (!err && more > 0 && clock_mono_ms() < until_ms) {
        struct fold *f = fold_new();
        uint64_t from = r->lsn;
        more = store_read_stretch(r, f, store_stretch(s));
        if (more < 0)
            err = more;
        else if (r->lsn > from && (err = fold_apply(f, s->tables, r->lsn, NULL)) < 0)
            store_fold_fault(s, err, r->why, sizeof r->why);
        fold_free(&f);
        replay_forget(r);
        say_progress(r, begun, &said);
    }
    return err;
}

/* Folds all that the tables do not have yet. */
static int recover(struct store *s, struct segment *segments, const struct meta *meta,
                   uint64_t *lsn, char *why, size_t why_size)
{
    struct replay r;
    int err;

    if (meta->applied > 0 && !meta->backup && (!segments || !segments->sequence)) {
        snprintf(why, why_size, "%s holds a checkpoint but no log: its log files are missing",
                 s->dir);
        return ERR_DAMAGED;
    }
    if ((err = replay_init(&r, segments, meta->applied, UINT64_MAX)) == 0)
        err = fold_log(s, &r, UINT64_MAX);
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

void store_fold_rest(struct store *s)
{
    struct segment *segments = NULL;
    struct replay r = {.why = ""};
    uint64_t until = clock_mono_ms() + CLOSE_MS;
    int err = segment_list(&segments, s->conf.disk, s->dir, r.why, sizeof r.why);

    if (!err && (err = replay_init(&r, segments, atomic_load(&s->applied), UINT64_MAX)) == 0)
        err = fold_log(s, &r, until);
    if (err)
        log_warn("store", "the log is left for the next start: %s", r.why);
    replay_fini(&r);
    segment_list_free(&segments);
}

int store_catch_up(struct store *s, struct segment **segments, struct meta *meta, char *why,
                   size_t why_size)
{
    uint64_t lsn;
    int err;

    if ((err = read_meta(s, meta, why, why_size)) < 0 ||
        (err = segment_list(segments, s->conf.disk, s->dir, why, why_size)) < 0)
        return err;
    if ((err = recover(s, *segments, meta, &lsn, why, why_size)) < 0)
        return err;
    if ((err = fold_sweep(s->tables)) < 0)
        return store_fold_fault(s, err, why, why_size);
    err = read_meta(s, meta, why, why_size);
    meta->applied = lsn;
    return err;
}
