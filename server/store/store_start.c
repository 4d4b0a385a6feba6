/* The start: the lock, and what no checkpoint has of the log into the tables. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store_impl.h"

enum { PROGRESS_MS = 2000 };

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
        more = store_read_stretch(&r, f, store_stretch(s));
        if (more < 0)
            err = more;
        else if (r.lsn > *lsn && (err = fold_apply(f, s->tables, r.lsn, NULL)) < 0)
            store_fold_fault(s, err, r.why, sizeof r.why);
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

int store_catch_up(struct store *s, struct segment **segments, struct meta *meta, char *why,
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
        return store_fold_fault(s, err, why, why_size);
    err = read_meta(s, meta, why, why_size);
    meta->applied = lsn;
    return err;
}
