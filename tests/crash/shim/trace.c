/* One file that grows by whole events, each in one write: what was noted before a SIGKILL stays. */
#include "shim.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    int fd;
    uint64_t count;
    pthread_mutex_t mutex;
} trace = {.fd = -1, .mutex = PTHREAD_MUTEX_INITIALIZER};

/* Past our own interception. */
void trace_init(void)
{
    const char *path = getenv("SHIM_TRACE");

    if (!path)
        return;
    trace.fd = (int)syscall(SYS_openat, AT_FDCWD, path,
                            O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (trace.fd < 0) {
        fprintf(stderr, "crash shim: cannot write %s\n", path);
        _exit(70);
    }
}

bool trace_on(void)
{
    return trace.fd >= 0;
}

uint64_t trace_now(void)
{
    pthread_mutex_lock(&trace.mutex);
    uint64_t now = trace.count;
    pthread_mutex_unlock(&trace.mutex);
    return now;
}

/* A short write would make a trace that lies: better none. */
static void append(const struct iovec *vec, int count, size_t len)
{
    if (syscall(SYS_writev, trace.fd, vec, count) != (ssize_t)len) {
        fprintf(stderr, "crash shim: the trace cannot be written\n");
        _exit(70);
    }
}

void trace_put(enum trace_kind kind, uint32_t file, uint64_t at, const struct iovec *vec, int count)
{
    struct trace_event event = {.kind = kind, .file = file, .at = at};
    struct iovec all[IOV_MAX], padding = {(void *)"\0\0\0\0\0\0\0", 0};
    int used = 1;

    if (!trace_on())
        return;
    for (int i = 0; i < count; i++)
        event.len += vec[i].iov_len;
    padding.iov_len = -event.len % 8;
    pthread_mutex_lock(&trace.mutex);
    all[0] = (struct iovec){&event, sizeof event};
    size_t len = sizeof event;
    for (int i = 0; i <= count; i++) {
        if (used == IOV_MAX) {
            append(all, used, len);
            used = 0;
            len = 0;
        }
        all[used] = i < count ? vec[i] : padding;
        len += all[used++].iov_len;
    }
    append(all, used, len);
    trace.count++;
    pthread_mutex_unlock(&trace.mutex);
}

void trace_sent(uint32_t port, uint64_t began, uint64_t len)
{
    struct trace_event event = {.kind = TRACE_SENT, .file = port, .at = began, .len = len};
    struct iovec vec = {&event, sizeof event};

    pthread_mutex_lock(&trace.mutex);
    append(&vec, 1, sizeof event);
    trace.count++;
    pthread_mutex_unlock(&trace.mutex);
}
