#include "ctl/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/err.h"

enum { PATH_MOST = 4096 };

/* The copy is on the disk before it takes the place of the tables, and both are complete: the
 * open store has put all of the log into them and is handed nothing more. */
static int replace_tables(struct store *s, const struct store_conf *conf, char *why,
                          size_t why_size)
{
    char path[PATH_MOST], fresh[PATH_MOST];
    const struct disk_ops *ops = conf->disk->ops;
    int err;

    snprintf(path, sizeof path, "%s/state.mdb", conf->dir);
    snprintf(fresh, sizeof fresh, "%s/state.mdb.new", conf->dir);
    ops->unlink(conf->disk, fresh); /* of a run that was cut off */
    if ((err = tables_copy(store_tables(s), fresh)) < 0) {
        snprintf(why, why_size, "cannot write %s: %s", fresh, tables_why());
        return err;
    }
    if ((err = ops->rename(conf->disk, fresh, path)) < 0 ||
        (err = ops->sync_dir(conf->disk, conf->dir)) < 0)
        snprintf(why, why_size, "cannot replace %s: %s", path, strerror(errno));
    return err;
}

static int take_lock(const char *dir, char *why, size_t why_size)
{
    char path[PATH_MOST];
    int fd;

    snprintf(path, sizeof path, "%s/lock", dir);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    snprintf(why, why_size, "cannot lock %s: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ERR_EXISTS;
}

/* The file holds nothing that the tables do not have: it was never used, or the next one begins
 * where they end or before. */
static bool is_spare(const struct segment *s, uint64_t applied)
{
    return !s->sequence || (s->next && s->next->sequence && s->next->base <= applied);
}

static int remove_spare_segments(const struct store_conf *conf, uint64_t applied, char *why,
                                 size_t why_size)
{
    struct segment *list, **link = &list;
    int err = segment_list(&list, conf->disk, conf->dir, why, why_size);

    while (!err && *link) {
        struct segment *s = *link;
        if (!is_spare(s, applied)) {
            link = &s->next;
            continue;
        }
        *link = s->next;
        segment_remove(&s, conf->dir);
    }
    if (err)
        return err;
    segment_list_free(&list);
    if ((err = conf->disk->ops->sync_dir(conf->disk, conf->dir)) < 0)
        snprintf(why, why_size, "cannot sync %s: %s", conf->dir, strerror(errno));
    return err;
}

int compact_store(const struct store_conf *given, char *why, size_t why_size)
{
    struct store_conf conf = *given;
    struct store *s;
    int err, lock_fd;

    conf.keep_log = true; /* closing must not write to tables that have been replaced */
    if (!conf.disk)
        conf.disk = &disk_system;
    if ((err = store_open(&s, &conf, why, why_size)) < 0)
        return err;
    uint64_t applied = store_stats(s).applied;
    err = replace_tables(s, &conf, why, why_size);
    int closed = store_close(&s);
    if (!err && (err = closed) < 0)
        snprintf(why, why_size, "cannot write the log in %s", conf.dir);
    if (err)
        return err;
    if ((lock_fd = take_lock(conf.dir, why, why_size)) < 0)
        return lock_fd;
    err = remove_spare_segments(&conf, applied, why, why_size);
    close(lock_fd);
    return err;
}
