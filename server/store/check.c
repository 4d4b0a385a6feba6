#include "store/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/fold.h"
#include "store/load.h"
#include "store/replay.h"

enum { PATH_MOST = 4096, COPY = 256 * 1024 };

struct looked {
    const char *dir;
    struct disk *disk;
    int lock_fd;
    struct tables *tables;
    struct segment *segments;
    struct replay replay;
    char *why;
    size_t why_size;
};

static void look_end(struct looked *l)
{
    replay_fini(&l->replay);
    segment_list_free(&l->segments);
    tables_close(&l->tables);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
}

static int look_lock(struct looked *l)
{
    char path[PATH_MOST];

    snprintf(path, sizeof path, "%s/lock", l->dir);
    l->lock_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (l->lock_fd < 0) {
        snprintf(l->why, l->why_size, "%s is no store: %s", l->dir, strerror(errno));
        return ERR_NOT_FOUND;
    }
    if (flock(l->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        snprintf(l->why, l->why_size, "%s is in use by another process", l->dir);
        return ERR_EXISTS;
    }
    return 0;
}

static int look_begin(struct looked *l, uint64_t *applied)
{
    char path[PATH_MOST];
    struct tables_txn *txn;
    uint64_t backup = 0;
    int err;

    snprintf(path, sizeof path, "%s/state.mdb", l->dir);
    if ((err = look_lock(l)) < 0 ||
        (err = tables_open(&l->tables, path, 0, l->why, l->why_size)) < 0 ||
        (err = tables_begin(l->tables, false, &txn)) < 0)
        return err;
    err = tables_meta_get(txn, "applied", applied);
    if (!err)
        err = tables_meta_get(txn, TABLES_META_BACKUP, &backup);
    tables_abort(&txn);
    if (err) {
        snprintf(l->why, l->why_size, "%s: %s", path, tables_why());
        return err;
    }
    if ((err = segment_list(&l->segments, l->disk, l->dir, l->why, l->why_size)) < 0)
        return err;
    if (*applied > 0 && !backup && (!l->segments || !l->segments->sequence)) {
        snprintf(l->why, l->why_size, "%s holds a checkpoint but no log: its log files are missing",
                 l->dir);
        return ERR_DAMAGED;
    }
    err = replay_init(&l->replay, l->segments, *applied, UINT64_MAX);
    if (err)
        snprintf(l->why, l->why_size, "%s", l->replay.why);
    return err;
}

/* -- Check -- */

static int count_record(void *arg, const struct record *r, const struct record_body *body)
{
    struct check_report *report = arg;
    report->records[r->type]++;
    return 0;
}

static int count_value(void *arg, struct str key, struct str value, bool *remove)
{
    ++*(uint64_t *)arg;
    return 0;
}

static int check_tables(struct looked *l, struct check_report *out)
{
    struct tables_txn *txn;
    int err = tables_begin(l->tables, false, &txn);

    if (err)
        return err;
    for (int t = 0; !err && t < TABLES; t++)
        err = tables_each(txn, (enum table)t, STR_NONE, count_value, &out->values[t]);
    tables_abort(&txn);
    if (err)
        snprintf(l->why, l->why_size, "%s/state.mdb: %s", l->dir, tables_why());
    else
        err = load_tables(l->tables, &(struct loader){.arg = NULL}, l->why, l->why_size);
    out->tables_damaged = err == ERR_DAMAGED;
    return err;
}

static int check_log(struct looked *l, struct check_report *out)
{
    int more;

    while ((more = replay_segment(&l->replay, count_record, out)) > 0)
        replay_forget(&l->replay);
    out->end = l->replay.lsn;
    out->torn_bytes = l->replay.torn_bytes;
    if (more == ERR_DAMAGED) {
        out->log_damaged = true;
        out->slot = l->replay.damaged_slot;
        out->place = l->replay.damaged_place;
    }
    if (more < 0)
        snprintf(l->why, l->why_size, "%s: %s", l->dir, l->replay.why);
    return more;
}

int check_store(const char *dir, struct disk *disk, struct check_report *out, char *why,
                size_t why_size)
{
    struct looked l = {.dir = dir,
                       .disk = disk ? disk : &disk_system,
                       .lock_fd = -1,
                       .why = why,
                       .why_size = why_size};
    int err;

    *out = (struct check_report){0};
    if ((err = look_begin(&l, &out->applied)) == 0 && (err = check_log(&l, out)) == 0)
        err = check_tables(&l, out);
    look_end(&l);
    return err;
}

/* -- Repair -- */

static int copy_aside(struct looked *l, const struct segment *s, uint64_t lsn)
{
    char path[PATH_MOST];
    uint8_t *buf = xmalloc(COPY);
    int fd, err = 0;

    snprintf(path, sizeof path, "%s/damaged-%llu-%05u", l->dir, (unsigned long long)lsn, s->slot);
    l->disk->ops->unlink(l->disk, path);
    if ((fd = l->disk->ops->open(l->disk, path, true)) < 0)
        err = fd;
    for (uint64_t at = 0; !err && at < s->size; at += COPY) {
        ssize_t n = disk_read(l->disk, s->fd, buf, COPY, at);
        struct iovec vec = {buf, n > 0 ? (size_t)n : 0};
        err = n < 0 ? (int)n : n == 0 ? 0 : disk_write(l->disk, fd, &vec, 1, at);
    }
    if (!err)
        err = l->disk->ops->fdatasync(l->disk, fd);
    if (err)
        snprintf(l->why, l->why_size, "cannot copy to %s: %s", path, strerror(errno));
    if (fd >= 0)
        l->disk->ops->close(l->disk, fd);
    free(buf);
    return err;
}

/* A fresh, empty segment for what will come behind `lsn`, newer than all there are: with it
 * there the damaged ones are not read any more. */
static int end_log_at(struct looked *l, uint64_t lsn)
{
    struct segment *fresh;
    uint64_t sequence = 0;
    unsigned slot = 0;
    int err;

    for (const struct segment *s = l->segments; s; s = s->next) {
        sequence = s->sequence > sequence ? s->sequence : sequence;
        slot = s->slot >= slot ? s->slot + 1 : slot;
    }
    err = segment_create(&fresh, l->disk, l->dir, slot, l->segments->size, l->why, l->why_size);
    if (err)
        return err;
    if ((err = segment_use(fresh, sequence + 1, lsn)) < 0 ||
        (err = l->disk->ops->fdatasync(l->disk, fresh->fd)) < 0)
        snprintf(l->why, l->why_size, "cannot write the new log file: %s", strerror(errno));
    segment_free(&fresh);
    return err;
}

static int cut_at(struct looked *l, struct fold *f, uint64_t lsn)
{
    struct segment *first = l->replay.at;
    int err = l->disk->ops->sync_dir(l->disk, l->dir);

    for (struct segment *s = first; !err && s && s->sequence; s = s->next)
        err = copy_aside(l, s, lsn);
    if (!err)
        err = l->disk->ops->sync_dir(l->disk, l->dir);
    if (!err && (err = fold_apply(f, l->tables, lsn, NULL)) < 0)
        snprintf(l->why, l->why_size, "cannot write %s/state.mdb: %s", l->dir, tables_why());
    if (!err)
        err = end_log_at(l, lsn);
    /* Last of all: with these gone, nothing but the copies tells of the damage. */
    for (struct segment *s; !err && (s = first->next) != NULL && s->sequence;) {
        first->next = s->next;
        segment_remove(&s, l->dir);
    }
    return err;
}

int check_repair(const char *dir, struct disk *disk, bool *cut, char *why, size_t why_size)
{
    struct looked l = {.dir = dir,
                       .disk = disk ? disk : &disk_system,
                       .lock_fd = -1,
                       .why = why,
                       .why_size = why_size};
    struct fold *f = fold_new();
    uint64_t applied;
    int more = 1, err = look_begin(&l, &applied);

    *cut = false;
    while (!err && more > 0)
        more = replay_segment(&l.replay, fold_record, f);
    if (!err && more == ERR_DAMAGED) {
        *cut = true;
        err = cut_at(&l, f, l.replay.lsn);
    } else if (!err && more < 0) {
        snprintf(why, why_size, "%s", l.replay.why);
        err = more;
    }
    fold_free(&f);
    look_end(&l);
    return err;
}
