/* A backup while the broker runs: the log up to now into the tables, and a copy of those.
 *
 * It is built as state.mdb.part and gets its name when it is complete and on the disk.  A mark
 * in it says that there need be no log beside it, until it is first opened as a store. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/store_impl.h"

struct backup {
    const char *dir;
    bool made; /* the folder is ours */
    char part[STORE_PATH], part_lock[STORE_PATH], state[STORE_PATH], lock[STORE_PATH];
    char *why;
    size_t why_size;
};

static int say(struct backup *b, const char *what, const char *path)
{
    snprintf(b->why, b->why_size, "cannot %s %s: %s", what, path, strerror(errno));
    return ERR_SYSTEM;
}

static int check_empty(struct backup *b)
{
    DIR *dir = opendir(b->dir);
    const struct dirent *entry;
    bool empty = true;

    if (!dir)
        return say(b, "read", b->dir);
    while ((entry = readdir(dir)) != NULL)
        empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    if (empty)
        return 0;
    snprintf(b->why, b->why_size, "%s is not empty", b->dir);
    return ERR_EXISTS;
}

static int make_dir(struct backup *b)
{
    b->made = mkdir(b->dir, 0700) == 0;
    if (b->made)
        return 0;
    return errno == EEXIST ? check_empty(b) : say(b, "make", b->dir);
}

static int sync_dir(struct backup *b, const char *dir)
{
    return disk_system.ops->sync_dir(&disk_system, dir) < 0 ? say(b, "sync", dir) : 0;
}

/* So that a power cut does not take the folder's own name. */
static int sync_parent(struct backup *b)
{
    char *copy = str_dup(str_of(b->dir));
    int err = sync_dir(b, dirname(copy));

    free(copy);
    return err;
}

static int mark(struct backup *b)
{
    struct tables *t;
    int err = tables_open(&t, b->part, 0, b->why, b->why_size);

    if (err)
        return err;
    if ((err = tables_meta_set(t, TABLES_META_BACKUP, 1)) < 0)
        snprintf(b->why, b->why_size, "cannot write %s: %s", b->part, tables_why());
    tables_close(&t);
    unlink(b->part_lock);
    return err;
}

static int make_lock(struct backup *b)
{
    int fd = open(b->lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return say(b, "make", b->lock);
    close(fd);
    return 0;
}

static int fill(struct backup *b, struct store *s)
{
    int err = tables_copy(s->tables, b->part);

    if (err) {
        snprintf(b->why, b->why_size, "cannot copy to %s: %s", b->part, tables_why());
        return err;
    }
    if ((err = mark(b)) < 0 || (err = make_lock(b)) < 0)
        return err;
    if (rename(b->part, b->state) < 0)
        return say(b, "make", b->state);
    if ((err = sync_dir(b, b->dir)) < 0)
        return err;
    return sync_parent(b);
}

static void undo(struct backup *b)
{
    unlink(b->part);
    unlink(b->part_lock);
    unlink(b->state);
    unlink(b->lock);
    if (b->made)
        rmdir(b->dir);
}

int store_backup(struct store *s, const char *dir, char *why, size_t why_size)
{
    struct backup *b = xcalloc(1, sizeof *b);
    int err;

    b->dir = dir;
    b->why = why;
    b->why_size = why_size;
    snprintf(b->part, sizeof b->part, "%s/" STORE_PART, dir);
    snprintf(b->part_lock, sizeof b->part_lock, "%s/" STORE_PART "-lock", dir);
    snprintf(b->state, sizeof b->state, "%s/state.mdb", dir);
    snprintf(b->lock, sizeof b->lock, "%s/lock", dir);
    if ((err = make_dir(b)) == 0 &&
        ((err = store_fold(s, wal_stats(s->wal).end, why, why_size)) < 0 || (err = fill(b, s)) < 0))
        undo(b);
    free(b);
    return err;
}
