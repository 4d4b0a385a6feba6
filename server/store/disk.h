/* The file system as the store sees it, behind a small table, so that tests inject errors,
 * short writes and power cuts.
 *
 * Files are plain descriptors of the implementation.  Every operation returns 0 (or what is
 * said here) or ERR_SYSTEM with errno set.  Any thread. */
#ifndef SKEP_STORE_DISK_H
#define SKEP_STORE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct disk;

struct disk_ops {
    /* A descriptor.  `create`: a new file is made; it must not exist. */
    int (*open)(struct disk *d, const char *path, bool create);
    void (*close)(struct disk *d, int fd);
    /* Bytes written, perhaps fewer than asked for. */
    ssize_t (*pwritev)(struct disk *d, int fd, const struct iovec *vec, int count, uint64_t at);
    /* Bytes read; 0 at the end. */
    ssize_t (*pread)(struct disk *d, int fd, void *buf, size_t len, uint64_t at);
    int (*fdatasync)(struct disk *d, int fd);
    int (*allocate)(struct disk *d, int fd, uint64_t size);
    int (*size)(struct disk *d, int fd, uint64_t *size);
    int (*rename)(struct disk *d, const char *from, const char *to);
    int (*unlink)(struct disk *d, const char *path);
    int (*sync_dir)(struct disk *d, const char *path);
    /* Calls each with the name of every file of the folder. */
    int (*list)(struct disk *d, const char *path, void (*each)(void *arg, const char *name),
                void *arg);
};

struct disk {
    const struct disk_ops *ops;
};

/* The operating system's. */
extern struct disk disk_system;

/* Writes all of it, however short the single writes are.  `vec` is changed. */
int disk_write(struct disk *d, int fd, struct iovec *vec, int count, uint64_t at);

/* Reads until `len` bytes or the end; returns how many, or ERR_SYSTEM. */
ssize_t disk_read(struct disk *d, int fd, void *buf, size_t len, uint64_t at);

#endif
