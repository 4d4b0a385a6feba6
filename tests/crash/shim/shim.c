/* The intercepted calls, and which descriptor is which file.
 *
 * A file keeps its number in the trace through renames: it goes by device and inode, and a file
 * that is created gets a new one. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 4096, FILES = 8192, SEGMENT_HEAD = 4096, RECORD_HEAD = 20, RECORD_TYPE_AT = 16 };

struct watched {
    enum shim_class class;
    uint32_t file;
    bool folder, dsync;
};

static struct {
    const char *dir;
    size_t dir_len;
    struct watched fds[FDS];
    struct {
        dev_t dev;
        ino_t ino;
    } files[FILES];
    uint32_t file_count;
    pthread_mutex_t mutex;
} shim = {.mutex = PTHREAD_MUTEX_INITIALIZER};

#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
        next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define EXPORT __attribute__((visibility("default")))

__attribute__((constructor)) static void begin(void)
{
    shim.dir = getenv("SHIM_DIR");
    shim.dir_len = shim.dir ? strlen(shim.dir) : 0;
    point_init();
    trace_init();
    unsetenv("LD_PRELOAD"); /* for this process alone */
}

/* The name within the folder ("" for the folder itself), or NULL. */
static const char *name_of(const char *path)
{
    if (!shim.dir || strncmp(path, shim.dir, shim.dir_len) != 0)
        return NULL;
    path += shim.dir_len;
    return *path == 0 ? path : *path == '/' ? path + 1 : NULL;
}

static enum shim_class class_of(const char *name)
{
    if (strncmp(name, "log-", 4) == 0 || strncmp(name, "new-", 4) == 0)
        return CLASS_LOG;
    return strcmp(name, "state.mdb") == 0 ? CLASS_STATE : CLASS_NONE;
}

static struct watched watched(int fd)
{
    return fd >= 0 && fd < FDS ? shim.fds[fd] : (struct watched){.class = CLASS_NONE};
}

/* -- Names -- */

static struct iovec text(const char *s)
{
    return (struct iovec){(void *)s, strlen(s)};
}

static uint32_t file_number(int fd, const char *name, bool created)
{
    struct stat st;
    struct iovec vec = text(name);
    uint32_t at = 0;

    if (fstat(fd, &st) < 0)
        abort();
    pthread_mutex_lock(&shim.mutex);
    for (at = shim.file_count; at-- > 0 && !created;) {
        if (shim.files[at].dev == st.st_dev && shim.files[at].ino == st.st_ino)
            break;
    }
    bool known = !created && at < shim.file_count;
    if (!known) {
        at = shim.file_count++;
        if (at >= FILES)
            abort();
        shim.files[at].dev = st.st_dev;
        shim.files[at].ino = st.st_ino;
        trace_put(created ? TRACE_CREATED : TRACE_FOUND, at, 0, &vec, 1);
    }
    pthread_mutex_unlock(&shim.mutex);
    return at;
}

static void opened(int fd, const char *name, int flags, bool created)
{
    if (fd < 0 || fd >= FDS)
        return;
    struct watched w = {.class = class_of(name), .folder = !*name};
    w.dsync = (flags & O_DSYNC) != 0;
    if (w.dsync && w.class == CLASS_STATE)
        w.class = CLASS_META;
    if (w.class != CLASS_NONE)
        w.file = file_number(fd, name, created);
    shim.fds[fd] = w;
}

static int open_watched(int (*next)(const char *, int, ...), const char *path, int flags,
                        mode_t mode)
{
    const char *name = name_of(path);

    if (!name)
        return next(path, flags, mode);
    bool created = flags & O_CREAT && access(path, F_OK) < 0;
    enum point_verdict verdict = POINT_PASS;
    if (created && class_of(name) != CLASS_NONE)
        verdict = point_enter(OP_CREATE, class_of(name), 0);
    if (verdict == POINT_FAIL)
        return -1;
    int fd = next(path, flags, mode);
    if (verdict != POINT_PASS)
        point_kill();
    opened(fd, name, flags, created);
    return fd;
}

EXPORT int open(const char *path, int flags, ...)
{
    NEXT(open);
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_watched(next, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    NEXT(open64);
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_watched(next, path, flags, mode);
}

EXPORT int close(int fd)
{
    NEXT(close);
    if (fd >= 0 && fd < FDS)
        shim.fds[fd] = (struct watched){.class = CLASS_NONE};
    return next(fd);
}

EXPORT int rename(const char *from, const char *to)
{
    NEXT(rename);
    const char *a = name_of(from), *b = name_of(to);
    if (!a || !b)
        return next(from, to);
    enum point_verdict verdict = point_enter(OP_RENAME, class_of(b), 0);
    if (verdict == POINT_FAIL)
        return -1;
    struct iovec vec[3] = {text(a), {(void *)"", 1}, text(b)};
    trace_put(TRACE_RENAME, 0, 0, vec, 3);
    int result = next(from, to);
    if (verdict != POINT_PASS)
        point_kill();
    return result;
}

EXPORT int unlink(const char *path)
{
    NEXT(unlink);
    const char *name = name_of(path);
    if (!name || class_of(name) == CLASS_NONE || access(path, F_OK) < 0)
        return next(path);
    enum point_verdict verdict = point_enter(OP_UNLINK, class_of(name), 0);
    if (verdict == POINT_FAIL)
        return -1;
    struct iovec vec = text(name);
    trace_put(TRACE_UNLINK, 0, 0, &vec, 1);
    int result = next(path);
    if (verdict != POINT_PASS)
        point_kill();
    return result;
}

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

typedef ssize_t write_fn(int fd, const struct iovec *vec, int count, off_t at);

static ssize_t write_watched(int fd, struct watched w, const struct iovec *vec, int count, off_t at,
                             write_fn *next)
{
    struct iovec part[IOV_MAX];
    size_t size = total(vec, count), most = w.class == CLASS_LOG ? point_short() : 0;
    enum point_verdict verdict =
        point_enter(OP_WRITE, w.class, w.class == CLASS_LOG ? types_in(vec, count, (uint64_t)at) : 0);

    if (verdict == POINT_FAIL)
        return -1;
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

/* -- What clients are told -- */

/* The port of the client at the other end; 0 when it is no TCP connection. */
static uint32_t peer_port(int fd)
{
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0 || peer.sin_family != AF_INET)
        return 0;
    return ntohs(peer.sin_port);
}

static ssize_t sent(int fd, uint64_t began, ssize_t n)
{
    int saved = errno;
    uint32_t port = n > 0 ? peer_port(fd) : 0;

    if (port)
        trace_sent(port, began, (uint64_t)n);
    errno = saved;
    return n;
}

EXPORT ssize_t send(int fd, const void *buf, size_t len, int flags)
{
    NEXT(send);
    if (!trace_on())
        return next(fd, buf, len, flags);
    uint64_t began = trace_now();
    return sent(fd, began, next(fd, buf, len, flags));
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    NEXT(sendmsg);
    if (!trace_on())
        return next(fd, msg, flags);
    uint64_t began = trace_now();
    return sent(fd, began, next(fd, msg, flags));
}

static int accepted(int fd)
{
    int saved = errno;
    uint32_t port = fd >= 0 && trace_on() ? peer_port(fd) : 0;

    if (port)
        trace_put(TRACE_ACCEPTED, port, 0, NULL, 0);
    errno = saved;
    return fd;
}

EXPORT int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    NEXT(accept4);
    return accepted(next(fd, sa, len, flags));
}

EXPORT int accept(int fd, struct sockaddr *sa, socklen_t *len)
{
    NEXT(accept);
    return accepted(next(fd, sa, len));
}
