/* A disk in memory that can fail, and that can lose its power.
 *
 * Every operation is noted.  sim_cut() builds the disk that would be found after a power cut
 * at one moment: what was synced is there; of what was written since, each sector is, by the
 * dice, as it was before or after any of the writes to it; names that were not synced may be
 * missing.  A sector (512 bytes) is the smallest thing a disk writes whole. */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/disk.h"

enum { SIM_FILES = 512, SIM_SECTOR = 512 };

enum sim_kind { SIM_OPEN, SIM_WRITE, SIM_SYNC, SIM_RENAME, SIM_UNLINK, SIM_SYNC_DIR, SIM_MARK };

struct sim_event {
    enum sim_kind kind;
    int fd;
    uint64_t at;
    size_t len;
    char *a, *b; /* names, or the bytes written */
    uint64_t mark;
};

struct sim_file {
    char name[64], stable_name[64]; /* "": none */
    uint8_t *now, *stable;
    size_t size, stable_size;
};

struct sim {
    struct disk disk;
    pthread_mutex_t mutex;
    struct sim_file files[SIM_FILES];
    int file_count;
    struct sim_event *events;
    size_t event_count, event_cap;
    bool quiet; /* nothing is noted */
    /* Faults. */
    unsigned short_writes; /* writes take at most so many bytes; 0: all */
    int fail_syncs;        /* so many fail with EIO; -1: all */
    int fail_writes;       /* with write_errno */
    int write_errno;
    uint64_t space, used; /* ENOSPC beyond; 0: no limit */
    /* Called before each SIM_WRITE and SIM_SYNC, without the mutex: a place to wait at.  An
     * errno makes it fail. */
    int (*before)(struct sim *sim, enum sim_kind kind, int fd);
    void *before_arg;
    uint64_t writes, syncs;
};

static inline struct sim *sim_of(struct disk *d)
{
    return CONTAINER_OF(d, struct sim, disk);
}

static inline struct sim_event *sim_note(struct sim *sim, enum sim_kind kind)
{
    static struct sim_event ignored;

    if (sim->quiet)
        return &ignored;
    if (sim->event_count == sim->event_cap) {
        sim->event_cap = sim->event_cap ? sim->event_cap * 2 : 256;
        sim->events = xrealloc(sim->events, sim->event_cap * sizeof *sim->events);
    }
    struct sim_event *e = &sim->events[sim->event_count++];
    *e = (struct sim_event){.kind = kind};
    return e;
}

/* What a test knows at this moment: for example, what was acknowledged. */
static inline void sim_mark(struct sim *sim, uint64_t value)
{
    pthread_mutex_lock(&sim->mutex);
    sim_note(sim, SIM_MARK)->mark = value;
    pthread_mutex_unlock(&sim->mutex);
}

/* Sets a fault while the disk is in use. */
#define SIM_SET(sim, field, value)                                                                 \
    do {                                                                                           \
        pthread_mutex_lock(&(sim)->mutex);                                                         \
        (sim)->field = (value);                                                                    \
        pthread_mutex_unlock(&(sim)->mutex);                                                       \
    } while (0)

static inline struct sim_file *sim_find(struct sim *sim, const char *name)
{
    for (int i = 0; i < sim->file_count; i++) {
        if (name[0] && strcmp(sim->files[i].name, name) == 0)
            return &sim->files[i];
    }
    return NULL;
}

static inline void sim_resize(uint8_t **bytes, size_t *size, size_t wanted)
{
    if (wanted > *size) {
        *bytes = xrealloc(*bytes, wanted);
        memset(*bytes + *size, 0, wanted - *size);
        *size = wanted;
    }
}

static inline int sim_fail(int error)
{
    errno = error;
    return ERR_SYSTEM;
}

static inline int sim_open(struct disk *d, const char *path, bool create)
{
    struct sim *sim = sim_of(d);
    int fd;

    pthread_mutex_lock(&sim->mutex);
    struct sim_file *f = sim_find(sim, path);
    if (create && f) {
        fd = sim_fail(EEXIST);
    } else if (!create && !f) {
        fd = sim_fail(ENOENT);
    } else {
        if (!f) {
            ASSERT(sim->file_count < SIM_FILES);
            f = &sim->files[sim->file_count++];
            snprintf(f->name, sizeof f->name, "%s", path);
            if (!sim->quiet)
                sim_note(sim, SIM_OPEN)->a = strdup(path);
        }
        fd = (int)(f - sim->files);
    }
    pthread_mutex_unlock(&sim->mutex);
    return fd;
}

static inline void sim_close(struct disk *d, int fd)
{
}

static inline void sim_apply(struct sim_file *f, const void *bytes, size_t len, uint64_t at)
{
    sim_resize(&f->now, &f->size, at + len);
    memcpy(f->now + at, bytes, len);
}

/* Tests set it while the store's threads are at work. */
static inline int sim_before(struct sim *sim, enum sim_kind kind, int fd)
{
    pthread_mutex_lock(&sim->mutex);
    int (*before)(struct sim *, enum sim_kind, int) = sim->before;
    pthread_mutex_unlock(&sim->mutex);
    return before ? before(sim, kind, fd) : 0;
}

static inline ssize_t sim_pwritev(struct disk *d, int fd, const struct iovec *vec, int count,
                                  uint64_t at)
{
    struct sim *sim = sim_of(d);
    int error = sim_before(sim, SIM_WRITE, fd);
    size_t done = 0;

    if (error)
        return sim_fail(error);
    pthread_mutex_lock(&sim->mutex);
    size_t most = sim->short_writes ? sim->short_writes : SIZE_MAX;
    struct sim_file *f = &sim->files[fd];
    sim->writes++;
    if (sim->fail_writes) {
        sim->fail_writes -= sim->fail_writes > 0;
        pthread_mutex_unlock(&sim->mutex);
        return sim_fail(sim->write_errno);
    }
    for (int i = 0; i < count && done < most; i++) {
        size_t len = vec[i].iov_len < most - done ? vec[i].iov_len : most - done;
        sim_apply(f, vec[i].iov_base, len, at + done);
        struct sim_event *e = sim_note(sim, SIM_WRITE);
        if (!sim->quiet) {
            e->fd = fd;
            e->at = at + done;
            e->len = len;
            e->a = malloc(len ? len : 1);
            memcpy(e->a, vec[i].iov_base, len);
        }
        done += len;
    }
    pthread_mutex_unlock(&sim->mutex);
    return (ssize_t)done;
}

static inline ssize_t sim_pread(struct disk *d, int fd, void *buf, size_t len, uint64_t at)
{
    struct sim *sim = sim_of(d);

    pthread_mutex_lock(&sim->mutex);
    struct sim_file *f = &sim->files[fd];
    size_t n = at < f->size ? f->size - at : 0;
    n = n < len ? n : len;
    if (n)
        memcpy(buf, f->now + at, n);
    pthread_mutex_unlock(&sim->mutex);
    return (ssize_t)n;
}

static inline void sim_settle_file(struct sim_file *f)
{
    sim_resize(&f->stable, &f->stable_size, f->size);
    if (f->size)
        memcpy(f->stable, f->now, f->size);
}

static inline int sim_fdatasync(struct disk *d, int fd)
{
    struct sim *sim = sim_of(d);
    int error = sim_before(sim, SIM_SYNC, fd);
    int err = 0;

    if (error)
        return sim_fail(error);
    pthread_mutex_lock(&sim->mutex);
    sim->syncs++;
    if (sim->fail_syncs) {
        sim->fail_syncs -= sim->fail_syncs > 0;
        err = sim_fail(EIO);
    } else {
        sim_settle_file(&sim->files[fd]);
        sim_note(sim, SIM_SYNC)->fd = fd;
    }
    pthread_mutex_unlock(&sim->mutex);
    return err;
}

static inline int sim_allocate(struct disk *d, int fd, uint64_t size)
{
    struct sim *sim = sim_of(d);
    int err = 0;

    pthread_mutex_lock(&sim->mutex);
    if (sim->space && sim->used + size > sim->space)
        err = sim_fail(ENOSPC);
    else
        sim->used += size;
    pthread_mutex_unlock(&sim->mutex);
    return err;
}

static inline int sim_size(struct disk *d, int fd, uint64_t *size)
{
    struct sim *sim = sim_of(d);

    pthread_mutex_lock(&sim->mutex);
    *size = sim->files[fd].size;
    pthread_mutex_unlock(&sim->mutex);
    return 0;
}

static inline int sim_rename(struct disk *d, const char *from, const char *to)
{
    struct sim *sim = sim_of(d);

    pthread_mutex_lock(&sim->mutex);
    struct sim_file *f = sim_find(sim, from), *old = sim_find(sim, to);
    if (old)
        old->name[0] = 0;
    if (f)
        snprintf(f->name, sizeof f->name, "%s", to);
    struct sim_event *e = sim_note(sim, SIM_RENAME);
    if (!sim->quiet) {
        e->a = strdup(from);
        e->b = strdup(to);
    }
    pthread_mutex_unlock(&sim->mutex);
    return f ? 0 : sim_fail(ENOENT);
}

static inline int sim_unlink(struct disk *d, const char *path)
{
    struct sim *sim = sim_of(d);

    pthread_mutex_lock(&sim->mutex);
    struct sim_file *f = sim_find(sim, path);
    if (f) {
        f->name[0] = 0;
        sim->used -= f->size < sim->used ? f->size : sim->used;
        struct sim_event *e = sim_note(sim, SIM_UNLINK);
        if (!sim->quiet)
            e->a = strdup(path);
    }
    pthread_mutex_unlock(&sim->mutex);
    return f ? 0 : sim_fail(ENOENT);
}

static inline void sim_settle_names(struct sim *sim)
{
    for (int i = 0; i < sim->file_count; i++)
        memcpy(sim->files[i].stable_name, sim->files[i].name, sizeof sim->files[i].name);
}

static inline int sim_sync_dir(struct disk *d, const char *path)
{
    struct sim *sim = sim_of(d);

    pthread_mutex_lock(&sim->mutex);
    sim_settle_names(sim);
    sim_note(sim, SIM_SYNC_DIR);
    pthread_mutex_unlock(&sim->mutex);
    return 0;
}

static inline int sim_list(struct disk *d, const char *path,
                           void (*each)(void *arg, const char *name), void *arg)
{
    struct sim *sim = sim_of(d);

    for (int i = 0; i < sim->file_count; i++) {
        char name[64];
        pthread_mutex_lock(&sim->mutex);
        memcpy(name, sim->files[i].name, sizeof name);
        pthread_mutex_unlock(&sim->mutex);
        const char *slash = strrchr(name, '/');
        if (name[0])
            each(arg, slash ? slash + 1 : name);
    }
    return 0;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pwritev = sim_pwritev,
    .pread = sim_pread,
    .fdatasync = sim_fdatasync,
    .allocate = sim_allocate,
    .size = sim_size,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
};

static inline struct sim *sim_new(void)
{
    struct sim *sim = xcalloc(1, sizeof *sim);

    sim->disk.ops = &sim_ops;
    sim->write_errno = EIO;
    pthread_mutex_init(&sim->mutex, NULL);
    return sim;
}

static inline void sim_free(struct sim **s)
{
    struct sim *sim = *s;

    for (int i = 0; i < sim->file_count; i++) {
        free(sim->files[i].now);
        free(sim->files[i].stable);
    }
    for (size_t i = 0; i < sim->event_count; i++) {
        free(sim->events[i].a);
        free(sim->events[i].b);
    }
    free(sim->events);
    pthread_mutex_destroy(&sim->mutex);
    free(sim);
    *s = NULL;
}

/* -- The power cut -- */

static inline uint32_t sim_dice(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*seed >> 33);
}

/* One event, as the running disk would have done it. */
static inline void sim_redo(struct sim *to, const struct sim_event *e)
{
    struct iovec vec = {e->a, e->len};

    switch (e->kind) {
    case SIM_OPEN:
        sim_open(&to->disk, e->a, true);
        break;
    case SIM_WRITE:
        sim_pwritev(&to->disk, e->fd, &vec, 1, e->at);
        break;
    case SIM_SYNC:
        sim_fdatasync(&to->disk, e->fd);
        break;
    case SIM_RENAME:
        sim_rename(&to->disk, e->a, e->b);
        break;
    case SIM_UNLINK:
        sim_unlink(&to->disk, e->a);
        break;
    case SIM_SYNC_DIR:
        sim_sync_dir(&to->disk, "");
        break;
    case SIM_MARK:
        break;
    }
}

enum sim_loss { SIM_LOSE_ALL, SIM_LOSE_NONE, SIM_LOSE_SECTORS };

/* The sectors written since the file's last sync, each in one of the states it went through. */
static inline void sim_tear(struct sim *to, const struct sim *from, size_t upto, int fd,
                            uint64_t *seed)
{
    struct sim_file *f = &to->files[fd];
    size_t begin = upto;

    while (begin > 0 &&
           !(from->events[begin - 1].kind == SIM_SYNC && from->events[begin - 1].fd == fd))
        begin--;
    sim_resize(&f->stable, &f->stable_size, f->size);
    for (size_t i = begin; i < upto; i++) {
        const struct sim_event *e = &from->events[i];
        if (e->kind != SIM_WRITE || e->fd != fd)
            continue;
        for (uint64_t at = e->at; at < e->at + e->len;) {
            uint64_t next = (at / SIM_SECTOR + 1) * SIM_SECTOR;
            uint64_t end = next < e->at + e->len ? next : e->at + e->len;
            /* a later write to the sector that is kept brings this one along */
            if (sim_dice(seed) % 2)
                memcpy(f->stable + (at / SIM_SECTOR) * SIM_SECTOR,
                       f->now + (at / SIM_SECTOR) * SIM_SECTOR,
                       (size_t)(end - (at / SIM_SECTOR) * SIM_SECTOR));
            at = end;
        }
    }
}

/* Each file has dice of its own, by what it begins with and not by its number: which thread made
 * or freed a file first does not change what becomes of it.  The first 24 bytes of a segment but
 * for its random salt (4 bytes at 12) say which one it is. */
static inline uint64_t sim_file_seed(const struct sim_file *f, uint64_t seed)
{
    for (size_t i = 0; i < 24 && i < f->size; i++)
        seed = (seed ^ (i >= 12 && i < 16 ? 0 : f->now[i])) * 0x100000001b3ull;
    return seed;
}

/* `to` is as the disk was while it ran; now its power goes. */
static inline void sim_lose(struct sim *to, const struct sim *from, size_t upto, enum sim_loss loss,
                            uint64_t seed)
{
    bool names = loss == SIM_LOSE_NONE || (loss == SIM_LOSE_SECTORS && sim_dice(&seed) % 2);
    if (names)
        sim_settle_names(to);
    for (int fd = 0; fd < to->file_count; fd++) {
        struct sim_file *f = &to->files[fd];
        if (loss == SIM_LOSE_NONE)
            sim_settle_file(f);
        else if (loss == SIM_LOSE_SECTORS) {
            uint64_t own = sim_file_seed(f, seed);
            sim_tear(to, from, upto, fd, &own);
        }
        memcpy(f->name, f->stable_name, sizeof f->name);
        free(f->now);
        f->now = malloc(f->stable_size ? f->stable_size : 1);
        if (f->stable_size)
            memcpy(f->now, f->stable, f->stable_size);
        f->size = f->stable_size;
    }
}

static inline void sim_copy_bytes(uint8_t **to, size_t *to_size, const uint8_t *from, size_t size)
{
    sim_resize(to, to_size, size);
    if (size)
        memcpy(*to, from, size);
}

/* The disk after a power cut now, ready to be used and cut again.  Nobody writes meanwhile. */
static inline struct sim *sim_cut_now(const struct sim *from, enum sim_loss loss, uint64_t seed)
{
    struct sim *to = sim_new();

    to->file_count = from->file_count;
    for (int i = 0; i < from->file_count; i++) {
        const struct sim_file *f = &from->files[i];
        struct sim_file *copy = &to->files[i];
        memcpy(copy->name, f->name, sizeof f->name);
        memcpy(copy->stable_name, f->stable_name, sizeof f->stable_name);
        sim_copy_bytes(&copy->now, &copy->size, f->now, f->size);
        sim_copy_bytes(&copy->stable, &copy->stable_size, f->stable, f->stable_size);
    }
    sim_lose(to, from, from->event_count, loss, seed);
    return to;
}

/* The disk after the first `upto` events and a power cut.  *marked: the last mark before. */
static inline struct sim *sim_cut(const struct sim *from, size_t upto, enum sim_loss loss,
                                  uint64_t seed, uint64_t *marked)
{
    struct sim *to = sim_new();

    to->quiet = true;
    *marked = 0;
    for (size_t i = 0; i < upto; i++) {
        sim_redo(to, &from->events[i]);
        if (from->events[i].kind == SIM_MARK)
            *marked = from->events[i].mark;
    }
    sim_lose(to, from, upto, loss, seed);
    return to;
}

#endif
