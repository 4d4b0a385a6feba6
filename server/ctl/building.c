#include "ctl/building.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/check.h"
#include "store/segment.h"
#include "store/wal.h"

/* -- Removing -- */

static void remove_file(void *arg, const char *name)
{
    const struct building *b = arg;
    char path[PATH_MAX + 512];

    if (strcmp(name, "lock") != 0 && strncmp(name, "state.mdb", 9) != 0 &&
        strncmp(name, "log-", 4) != 0)
        return;
    snprintf(path, sizeof path, "%s/%s", b->path, name);
    b->disk->ops->unlink(b->disk, path);
}

/* Whatever of a store is in the folder, and the folder if nothing else was. */
static int remove_all(const struct building *b)
{
    b->disk->ops->list(b->disk, b->path, remove_file, (void *)(uintptr_t)b);
    return rmdir(b->path);
}

void building_abort(struct building *b)
{
    tables_close(&b->tables);
    if (b->lock_fd < 0)
        return;
    remove_all(b); /* with the lock held */
    close(b->lock_fd);
    b->lock_fd = -1;
}

/* -- Beginning -- */

static int take_lock(struct building *b, struct fault *fault)
{
    char path[PATH_MAX + 32];

    snprintf(path, sizeof path, "%s/lock", b->path);
    b->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->lock_fd < 0)
        return fault_set(fault, "cannot write in %s: %s", b->path, strerror(errno));
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    close(b->lock_fd);
    b->lock_fd = -1;
    return fault_set(fault, "%s is in use: another import is under way", b->path);
}

static int make_folder(struct building *b, struct fault *fault)
{
    if (mkdir(b->path, 0700) == 0)
        return take_lock(b, fault);
    if (errno != EEXIST)
        return fault_set(fault, "cannot make %s: %s", b->path, strerror(errno));
    if (take_lock(b, fault) < 0)
        return -1;
    int err = remove_all(b);
    close(b->lock_fd);
    b->lock_fd = -1;
    if (err < 0 || mkdir(b->path, 0700) < 0)
        return fault_set(fault, "%s is in the way: %s", b->path, strerror(errno));
    return take_lock(b, fault);
}

static void find_any(void *arg, const char *name)
{
    if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        *(bool *)arg = true;
}

static int check_place(const struct building *b, struct fault *fault)
{
    struct stat st;
    bool full = false;

    if (lstat(b->dir, &st) < 0)
        return errno == ENOENT ? 0 : fault_set(fault, "cannot use %s: %s", b->dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return fault_set(fault, "%s is there already, and no folder", b->dir);
    if (b->disk->ops->list(b->disk, b->dir, find_any, &full) < 0)
        return fault_set(fault, "cannot read %s: %s", b->dir, strerror(errno));
    if (!full)
        return 0;
    fault_set(fault, "%s is there already, and not empty", b->dir);
    return fault_hint(fault, "a store is imported whole, into a new place: move this one away");
}

int building_begin(struct building *b, const char *dir, struct disk *disk, size_t map_bytes,
                   struct fault *fault)
{
    char path[PATH_MAX + 32];
    size_t len = strlen(dir);

    *b = (struct building){.disk = disk ? disk : &disk_system, .lock_fd = -1};
    while (len > 1 && dir[len - 1] == '/')
        len--;
    snprintf(b->dir, sizeof b->dir, "%.*s", (int)len, dir);
    snprintf(b->path, sizeof b->path, "%s.importing", b->dir);
    if (check_place(b, fault) < 0 || make_folder(b, fault) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/state.mdb", b->path);
    if (tables_open(&b->tables, path, map_bytes, fault->text, sizeof fault->text) == 0)
        return 0;
    building_abort(b);
    return -1;
}

/* -- The end -- */

static int begin_log(struct building *b, uint64_t lsn, struct fault *fault)
{
    struct segment *s;

    if (segment_create(&s, b->disk, b->path, 0, WAL_SEGMENT_BYTES, fault->text,
                       sizeof fault->text) < 0)
        return -1;
    int err = 0;
    if (segment_use(s, 1, lsn) < 0 || b->disk->ops->fdatasync(b->disk, s->fd) < 0 ||
        b->disk->ops->sync_dir(b->disk, b->path) < 0)
        err = fault_set(fault, "cannot write the log: %s", strerror(errno));
    segment_free(&s);
    return err;
}

static int take_place(struct building *b, struct fault *fault)
{
    struct check_report report;
    char parent[PATH_MAX];

    close(b->lock_fd);
    b->lock_fd = -1;
    if (check_store(b->path, b->disk, &report, fault->text, sizeof fault->text) < 0) {
        remove_all(b);
        return -1;
    }
    snprintf(parent, sizeof parent, "%s", b->dir);
    if (b->disk->ops->rename(b->disk, b->path, b->dir) < 0) {
        fault_set(fault, "cannot move %s to its place: %s", b->path, strerror(errno));
        remove_all(b);
        return -1;
    }
    if (b->disk->ops->sync_dir(b->disk, dirname(parent)) < 0)
        return fault_set(fault, "cannot sync the folder of %s: %s", b->dir, strerror(errno));
    return 0;
}

int building_finish(struct building *b, uint64_t lsn, struct fault *fault)
{
    tables_close(&b->tables);
    if (begin_log(b, lsn, fault) < 0) {
        building_abort(b);
        return -1;
    }
    return take_place(b, fault);
}
