#include "store/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

static int result(int outcome)
{
    return outcome < 0 ? ERR_SYSTEM : 0;
}

static int system_open(struct disk *d, const char *path, bool create)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
    int fd = open(path, flags, 0600);
    return fd < 0 ? ERR_SYSTEM : fd;
}

static void system_close(struct disk *d, int fd)
{
    close(fd);
}

static ssize_t system_pwritev(struct disk *d, int fd, const struct iovec *vec, int count,
                              uint64_t at)
{
    ssize_t n;

    do
        n = pwritev(fd, vec, count, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? ERR_SYSTEM : n;
}

static ssize_t system_pread(struct disk *d, int fd, void *buf, size_t len, uint64_t at)
{
    ssize_t n;

    do
        n = pread(fd, buf, len, (off_t)at);
    while (n < 0 && errno == EINTR);
    return n < 0 ? ERR_SYSTEM : n;
}

/* Not retried: after a failure nobody knows what is on the disk, and a second call may
 * report success for pages the kernel has already given up. */
static int system_fdatasync(struct disk *d, int fd)
{
    return result(fdatasync(fd));
}

static int system_allocate(struct disk *d, int fd, uint64_t size)
{
    int err;

    do
        err = fallocate(fd, 0, 0, (off_t)size);
    while (err < 0 && errno == EINTR);
    if (err < 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return result(ftruncate(fd, (off_t)size)); /* the zeros written next take the space */
    return result(err);
}

static int system_size(struct disk *d, int fd, uint64_t *size)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return ERR_SYSTEM;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int system_rename(struct disk *d, const char *from, const char *to)
{
    return result(rename(from, to));
}

static int system_unlink(struct disk *d, const char *path)
{
    return result(unlink(path));
}

static int system_sync_dir(struct disk *d, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return ERR_SYSTEM;
    int err = result(fsync(fd));
    close(fd);
    return err;
}

static int system_list(struct disk *d, const char *path, void (*each)(void *arg, const char *name),
                       void *arg)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        return ERR_SYSTEM;
    while ((entry = readdir(dir)) != NULL)
        each(arg, entry->d_name);
    closedir(dir);
    return 0;
}

static const struct disk_ops system_ops = {
    .open = system_open,
    .close = system_close,
    .pwritev = system_pwritev,
    .pread = system_pread,
    .fdatasync = system_fdatasync,
    .allocate = system_allocate,
    .size = system_size,
    .rename = system_rename,
    .unlink = system_unlink,
    .sync_dir = system_sync_dir,
    .list = system_list,
};

struct disk disk_system = {&system_ops};

int disk_write(struct disk *d, int fd, struct iovec *vec, int count, uint64_t at)
{
    while (count > 0) {
        ssize_t n = d->ops->pwritev(d, fd, vec, count < IOV_MAX ? count : IOV_MAX, at);
        if (n < 0)
            return ERR_SYSTEM;
        if (n == 0) { /* a disk that takes nothing and gives no reason */
            errno = EIO;
            return ERR_SYSTEM;
        }
        at += (uint64_t)n;
        while (count > 0 && (size_t)n >= vec->iov_len) {
            n -= (ssize_t)vec->iov_len;
            vec++;
            count--;
        }
        if (count > 0) {
            vec->iov_base = (char *)vec->iov_base + n;
            vec->iov_len -= (size_t)n;
        }
    }
    return 0;
}

ssize_t disk_read(struct disk *d, int fd, void *buf, size_t len, uint64_t at)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = d->ops->pread(d, fd, (char *)buf + got, len - got, at + got);
        if (n < 0)
            return ERR_SYSTEM;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}
