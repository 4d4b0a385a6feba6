#include "store/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rand.h"
#include "store/crc32c.h"
#include "store/octets.h"

enum { HEADER = 64, ZEROS = 256 * 1024, LIST_MAX = 16384 };

static const char magic[8] = "skeplog";

void segment_path(char *path, size_t size, const char *dir, unsigned slot)
{
    snprintf(path, size, "%s/log-%05u", dir, slot);
}

static void header_put(const struct segment *s, uint8_t *p)
{
    memset(p, 0, HEADER);
    memcpy(p, magic, sizeof magic);
    put_u32(p + 8, SEGMENT_VERSION);
    put_u32(p + 12, s->salt);
    put_u64(p + 16, s->sequence);
    put_u64(p + 24, s->base);
    put_u64(p + 32, s->size);
    put_u32(p + HEADER - 4, crc32c(0, p, HEADER - 4));
}

static int header_get(struct segment *s, const uint8_t *p, uint64_t file_size, const char *path,
                      char *why, size_t why_size)
{
    uint32_t version = get_u32(p + 8);

    if (memcmp(p, magic, sizeof magic) != 0 ||
        get_u32(p + HEADER - 4) != crc32c(0, p, HEADER - 4)) {
        snprintf(why, why_size, "%s: the header of this log file is damaged", path);
        return ERR_DAMAGED;
    }
    if (version != SEGMENT_VERSION) {
        snprintf(why, why_size,
                 "%s has format version %u, this Skep reads version %u: start the Skep that wrote "
                 "it, export, and import here",
                 path, version, SEGMENT_VERSION);
        return ERR_DENIED;
    }
    s->salt = get_u32(p + 12);
    s->sequence = get_u64(p + 16);
    s->base = s->end = get_u64(p + 24);
    s->size = get_u64(p + 32);
    if (s->size != file_size || s->size <= SEGMENT_HEAD) {
        snprintf(why, why_size, "%s is %llu bytes long and should be %llu", path,
                 (unsigned long long)file_size, (unsigned long long)s->size);
        return ERR_DAMAGED;
    }
    return 0;
}

static int header_write(struct segment *s)
{
    uint8_t bytes[HEADER];
    struct iovec vec = {bytes, sizeof bytes};

    header_put(s, bytes);
    return disk_write(s->disk, s->fd, &vec, 1, 0);
}

int segment_use(struct segment *s, uint64_t sequence, uint64_t base)
{
    s->sequence = sequence;
    s->base = s->end = base;
    s->salt = (uint32_t)rand_u64();
    s->suspect = false;
    return header_write(s);
}

static int fill_with_zeros(struct segment *s)
{
    static const uint8_t zeros[ZEROS];
    int err = s->disk->ops->allocate(s->disk, s->fd, s->size);

    for (uint64_t at = 0; !err && at < s->size; at += ZEROS) {
        uint64_t left = s->size - at;
        struct iovec vec = {(void *)zeros, left < ZEROS ? left : ZEROS};
        err = disk_write(s->disk, s->fd, &vec, 1, at);
    }
    return err;
}

static struct segment *segment_new(struct disk *disk, unsigned slot)
{
    struct segment *s = xcalloc(1, sizeof *s);

    s->disk = disk;
    s->slot = slot;
    s->fd = -1;
    return s;
}

/* Under a name of its own until it is complete, so that a file with the right name is one. */
int segment_create(struct segment **out, struct disk *disk, const char *dir, unsigned slot,
                   uint64_t size, char *why, size_t why_size)
{
    char path[SEGMENT_PATH_MAX], fresh[SEGMENT_PATH_MAX];
    struct segment *s = segment_new(disk, slot);
    int err;

    s->size = size;
    segment_path(path, sizeof path, dir, slot);
    snprintf(fresh, sizeof fresh, "%s/new-%05u", dir, slot);
    disk->ops->unlink(disk, fresh);
    if ((err = s->fd = disk->ops->open(disk, fresh, true)) < 0 || (err = fill_with_zeros(s)) < 0 ||
        (err = header_write(s)) < 0 || (err = disk->ops->fdatasync(disk, s->fd)) < 0 ||
        (err = disk->ops->rename(disk, fresh, path)) < 0 ||
        (err = disk->ops->sync_dir(disk, dir)) < 0)
        goto fail;
    *out = s;
    return 0;
fail:
    snprintf(why, why_size, "cannot make %s of %llu bytes: %s", path, (unsigned long long)size,
             strerror(errno));
    disk->ops->unlink(disk, fresh);
    segment_free(&s);
    return err;
}

int segment_open(struct segment **out, struct disk *disk, const char *dir, unsigned slot, char *why,
                 size_t why_size)
{
    char path[SEGMENT_PATH_MAX];
    uint8_t bytes[HEADER];
    uint64_t file_size = 0;
    struct segment *s = segment_new(disk, slot);
    int err;

    segment_path(path, sizeof path, dir, slot);
    if ((err = s->fd = disk->ops->open(disk, path, false)) < 0 ||
        (err = disk->ops->size(disk, s->fd, &file_size)) < 0 ||
        (err = (int)disk_read(disk, s->fd, bytes, HEADER, 0)) < 0) {
        snprintf(why, why_size, "cannot read %s: %s", path, strerror(errno));
        goto fail;
    }
    if (err < HEADER) {
        snprintf(why, why_size, "%s ends within its header", path);
        err = ERR_DAMAGED;
        goto fail;
    }
    if ((err = header_get(s, bytes, file_size, path, why, why_size)) < 0)
        goto fail;
    *out = s;
    return 0;
fail:
    segment_free(&s);
    return err;
}

void segment_free(struct segment **s)
{
    if (!*s)
        return;
    if ((*s)->fd >= 0)
        (*s)->disk->ops->close((*s)->disk, (*s)->fd);
    free(*s);
    *s = NULL;
}

void segment_remove(struct segment **s, const char *dir)
{
    char path[SEGMENT_PATH_MAX];

    segment_path(path, sizeof path, dir, (*s)->slot);
    (*s)->disk->ops->unlink((*s)->disk, path);
    segment_free(s);
}

/* -- A folder of them -- */

static void insert_in_order(struct segment **list, struct segment *s)
{
    while (*list &&
           (s->sequence == 0 ? true : (*list)->sequence && (*list)->sequence < s->sequence))
        list = &(*list)->next;
    s->next = *list;
    *list = s;
}

struct listing {
    struct disk *disk;
    const char *dir;
    unsigned slots[LIST_MAX], count;
};

static void list_name(void *arg, const char *name)
{
    struct listing *l = arg;
    char path[SEGMENT_PATH_MAX];
    unsigned slot;
    int end = 0;

    if (sscanf(name, "new-%5u%n", &slot, &end) == 1 && !name[end]) {
        snprintf(path, sizeof path, "%s/%s", l->dir, name);
        l->disk->ops->unlink(l->disk, path);
    } else if (sscanf(name, "log-%5u%n", &slot, &end) == 1 && !name[end] && l->count < LIST_MAX) {
        l->slots[l->count++] = slot;
    }
}

int segment_list(struct segment **out, struct disk *disk, const char *dir, char *why,
                 size_t why_size)
{
    struct listing *l = xcalloc(1, sizeof *l);
    int err;

    *out = NULL;
    l->disk = disk;
    l->dir = dir;
    if ((err = disk->ops->list(disk, dir, list_name, l)) < 0)
        snprintf(why, why_size, "cannot read %s: %s", dir, strerror(errno));
    for (unsigned i = 0; !err && i < l->count; i++) {
        struct segment *s;
        err = segment_open(&s, disk, dir, l->slots[i], why, why_size);
        if (!err)
            insert_in_order(out, s);
    }
    if (!err && l->count == LIST_MAX) {
        snprintf(why, why_size, "there are more than %d log files in %s", LIST_MAX, dir);
        err = ERR_LIMIT;
    }
    free(l);
    if (err)
        segment_list_free(out);
    return err;
}

void segment_list_free(struct segment **list)
{
    while (*list) {
        struct segment *s = *list;
        *list = s->next;
        segment_free(&s);
    }
}
