/* Which descriptor is which file, and the intercepted calls that open, close and name files.
 *
 * A file keeps its number in the trace through renames: it goes by device and inode, and a file
 * that is created gets a new one. */
#include "shim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FDS = 4096, FILES = 8192 };

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
    bool tables = strcmp(name, "state.mdb") == 0 || strcmp(name, "state.mdb.new") == 0;
    return tables ? CLASS_STATE : CLASS_NONE;
}

struct watched watched(int fd)
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
