#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"

/* The descriptor, and what is behind it.  `slot` starts as stderr itself and becomes a
 * number of our own at the first open; from then on only dup3 changes what it means. */
static _Atomic int slot = STDERR_FILENO;
static _Atomic int layout = LOG_AS_TEXT;
static _Atomic bool is_socket;
static char *reopen_path; /* of the file or the daemon's socket; NULL: stderr.  Main thread */

enum log_layout log_sink_layout(void)
{
    return (enum log_layout)atomic_load_explicit(&layout, memory_order_relaxed);
}

/* systemd names the device and inode of the stream it gave us; if stderr still is that
 * stream, "<N>" in front of a line carries its priority. */
static bool stderr_is_journal(void)
{
    const char *named = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return named && sscanf(named, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == dev && st.st_ino == ino;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
}

static int open_datagram(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    memcpy(addr.sun_path, path, strlen(path) + 1);
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int install(int fd, enum log_layout new_layout, bool socket_now)
{
    int to = atomic_load(&slot);

    if (to == STDERR_FILENO) {
        to = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (to < 0)
            return ERR_SYSTEM;
        atomic_store(&slot, to);
    } else if (dup3(fd, to, O_CLOEXEC) < 0) {
        return ERR_SYSTEM;
    }
    atomic_store(&layout, (int)new_layout);
    atomic_store(&is_socket, socket_now);
    return 0;
}

static bool fd_is_socket(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

int log_sink_open(const struct log_conf *conf, char *why, size_t why_size)
{
    enum log_layout as = conf->format == LOG_FORMAT_JSON ? LOG_AS_JSON : LOG_AS_TEXT;
    const char *what = "stderr";
    int fd = STDERR_FILENO, err;

    if (conf->target == LOG_TO_FILE) {
        what = conf->path;
        fd = open_file(conf->path);
    } else if (conf->target == LOG_TO_SYSLOG) {
        what = "/dev/log";
        fd = open_datagram(what);
        as = LOG_AS_SYSLOG;
    } else if (conf->target == LOG_TO_JOURNAL) {
        what = "/run/systemd/journal/socket";
        fd = open_datagram(what);
        as = LOG_AS_JOURNAL;
    } else if (as == LOG_AS_TEXT && stderr_is_journal()) {
        as = LOG_AS_PREFIXED;
    }
    if (fd < 0 || (err = install(fd, as, fd_is_socket(fd))) < 0) {
        snprintf(why, why_size, "cannot log to %s: %s", what, strerror(errno));
        if (fd > STDERR_FILENO)
            close(fd);
        return ERR_SYSTEM;
    }
    if (fd != STDERR_FILENO)
        close(fd);
    free(reopen_path);
    reopen_path = conf->target != LOG_TO_STDERR ? str_dup(str_of(what)) : NULL;
    return 0;
}

/* A daemon that was restarted listens on a new socket of the same name. */
int log_sink_reopen(char *why, size_t why_size)
{
    bool datagram = atomic_load(&is_socket);
    int fd, err;

    if (!reopen_path)
        return 0;
    fd = datagram ? open_datagram(reopen_path) : open_file(reopen_path);
    if (fd < 0) {
        snprintf(why, why_size, "cannot reopen %s: %s", reopen_path, strerror(errno));
        return ERR_SYSTEM;
    }
    err = install(fd, log_sink_layout(), datagram);
    close(fd);
    return err;
}

/* A pipe or terminal that nobody reads would block the loop: ask first.  POLLOUT on a
 * pipe promises PIPE_BUF bytes, which is what a line is bounded by. */
static bool is_writable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT);
}

bool log_sink_write(const char *bytes, size_t len)
{
    int fd = atomic_load_explicit(&slot, memory_order_relaxed);
    ssize_t n;

    if (atomic_load_explicit(&is_socket, memory_order_relaxed)) {
        n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        return n == (ssize_t)len;
    }
    if (!is_writable(fd))
        return false;
    do
        n = write(fd, bytes, len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

void log_emergency(const char *bytes, size_t len)
{
    bool file = reopen_path && !atomic_load(&is_socket);
    ssize_t n = write(STDERR_FILENO, bytes, len);

    if (file)
        n = write(atomic_load(&slot), bytes, len);
    (void)n; /* there is nobody left to tell */
}
