/* The intercepted writes and syncs. */
#include "shim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENT_HEAD = 4096, RECORD_HEAD = 20, RECORD_TYPE_AT = 16 };

/* -- Writes -- */

/* Bits of the record types in a write to a log file behind its header. */
static uint32_t types_in(const struct iovec *vec, int count, uint64_t at)
{
    uint32_t types = 0;

    for (int i = 0; i < count && at >= SEGMENT_HEAD; i++) {
        const uint8_t *p = vec[i].iov_base;
        for (size_t left = vec[i].iov_len; left >= RECORD_HEAD;) {
            uint32_t len;
            memcpy(&len, p + 4, sizeof len);
            size_t size = ((size_t)len + RECORD_HEAD + 3) & ~(size_t)3;
            uint8_t type = p[RECORD_TYPE_AT];
            if (size > left || type == 0 || type > 31) /* zeros, or the rest of a short write */
                break;
            types |= 1u << type;
            p += size;
            left -= size;
        }
    }
    return types;
}

/* The first `most` bytes of the list. */
static int clip(struct iovec *out, const struct iovec *vec, int count, size_t most)
{
    int used = 0;

    for (; used < count && most > 0; used++) {
        out[used] = vec[used];
        if (out[used].iov_len > most)
            out[used].iov_len = most;
        most -= out[used].iov_len;
    }
    return used;
}

static size_t total(const struct iovec *vec, int count)
{
    size_t sum = 0;

    for (int i = 0; i < count; i++)
        sum += vec[i].iov_len;
    return sum;
}

enum { SECTOR = 512 };

typedef ssize_t write_fn(int fd, const struct iovec *vec, int count, off_t at);

static ssize_t write_watched(int fd, struct watched w, const struct iovec *vec, int count, off_t at,
                             write_fn *next)
{
    struct iovec part[IOV_MAX];
    size_t size = total(vec, count), most = w.class == CLASS_LOG ? point_short() : 0;
    enum point_verdict verdict = point_enter(
        OP_WRITE, w.class, w.class == CLASS_LOG ? types_in(vec, count, (uint64_t)at) : 0);

    if (verdict == POINT_FAIL)
        return -1;
    if (verdict == POINT_TEAR && (uint64_t)at + size <= SECTOR)
        point_kill(); /* a file's first sector, its header, is written whole or not at all */
    if (verdict == POINT_TEAR)
        most = size / 2;
    if (most > 0 && most < size) {
        count = clip(part, vec, count, most);
        vec = part;
    }
    trace_put(TRACE_WRITE, w.file, (uint64_t)at, vec, count);
    uint64_t began = trace_on() ? trace_now() : 0;
    ssize_t n = next(fd, vec, count, at);
    if (verdict != POINT_PASS)
        point_kill();
    if (n >= 0 && w.dsync)
        trace_put(TRACE_SYNCED, w.file, began, NULL, 0);
    return n;
}

static ssize_t next_pwritev(int fd, const struct iovec *vec, int count, off_t at)
{
    NEXT(pwritev);
    return next(fd, vec, count, at);
}

/* At the descriptor's own place, which moves on. */
static ssize_t next_writev(int fd, const struct iovec *vec, int count, off_t at)
{
    NEXT(writev);
    (void)at;
    return next(fd, vec, count);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *vec, int count, off_t at)
{
    struct watched w = watched(fd);
    return w.class == CLASS_NONE ? next_pwritev(fd, vec, count, at)
                                 : write_watched(fd, w, vec, count, at, next_pwritev);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *vec, int count, off_t at)
{
    return pwritev(fd, vec, count, at);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
    return pwritev(fd, &(struct iovec){(void *)buf, len}, 1, at);
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t len, off_t at)
{
    return pwrite(fd, buf, len, at);
}

EXPORT ssize_t writev(int fd, const struct iovec *vec, int count)
{
    struct watched w = watched(fd);
    return w.class == CLASS_NONE
               ? next_writev(fd, vec, count, 0)
               : write_watched(fd, w, vec, count, lseek(fd, 0, SEEK_CUR), next_writev);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
    NEXT(write);
    struct iovec vec = {(void *)buf, len};
    return watched(fd).class == CLASS_NONE ? next(fd, buf, len) : writev(fd, &vec, 1);
}

/* Taking space: a write as far as faults go. */
static int resized(struct watched w, enum point_verdict verdict, off_t size, int outcome)
{
    if (verdict != POINT_PASS)
        point_kill();
    if (outcome == 0)
        trace_put(TRACE_SIZE, w.file, (uint64_t)size, NULL, 0);
    return outcome;
}

EXPORT int ftruncate(int fd, off_t size)
{
    NEXT(ftruncate);
    struct watched w = watched(fd);
    if (w.class == CLASS_NONE)
        return next(fd, size);
    enum point_verdict verdict = point_enter(OP_WRITE, w.class, 0);
    return verdict == POINT_FAIL ? -1 : resized(w, verdict, size, next(fd, size));
}

EXPORT int fallocate(int fd, int mode, off_t at, off_t len)
{
    NEXT(fallocate);
    struct watched w = watched(fd);
    if (w.class == CLASS_NONE)
        return next(fd, mode, at, len);
    enum point_verdict verdict = point_enter(OP_WRITE, w.class, 0);
    return verdict == POINT_FAIL ? -1 : resized(w, verdict, at + len, next(fd, mode, at, len));
}

EXPORT int fallocate64(int fd, int mode, off_t at, off_t len)
{
    return fallocate(fd, mode, at, len);
}

/* -- Syncs -- */

static void delay(void)
{
    struct timespec t = {point_delay_ms() / 1000, (long)(point_delay_ms() % 1000) * 1000000};

    if (t.tv_sec || t.tv_nsec)
        nanosleep(&t, NULL);
}

static int sync_watched(int fd, struct watched w, int (*next)(int))
{
    enum point_verdict verdict = w.folder ? POINT_PASS : point_enter(OP_SYNC, w.class, 0);

    if (verdict == POINT_FAIL)
        return -1;
    uint64_t began = trace_on() ? trace_now() : 0;
    delay();
    int result = next(fd);
    if (verdict != POINT_PASS)
        point_kill();
    if (result == 0)
        trace_put(w.folder ? TRACE_DIR_SYNCED : TRACE_SYNCED, w.file, began, NULL, 0);
    return result;
}

EXPORT int fdatasync(int fd)
{
    NEXT(fdatasync);
    struct watched w = watched(fd);
    return w.class == CLASS_NONE && !w.folder ? next(fd) : sync_watched(fd, w, next);
}

EXPORT int fsync(int fd)
{
    NEXT(fsync);
    struct watched w = watched(fd);
    return w.class == CLASS_NONE && !w.folder ? next(fd) : sync_watched(fd, w, next);
}
