#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t ns(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void mark_set(struct file_mark *mark, const struct stat *st)
{
    *mark = (struct file_mark){
        .there = true,
        .device = st->st_dev,
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .modified_ns = ns(st->st_mtim),
        .changed_ns = ns(st->st_ctim),
        .mode = st->st_mode & 07777,
    };
}

void file_look(const char *path, struct file_mark *mark)
{
    struct stat st;

    if (stat(path, &st) == 0)
        mark_set(mark, &st);
    else
        *mark = (struct file_mark){0};
}

bool file_mark_eq(const struct file_mark *a, const struct file_mark *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns && a->mode == b->mode;
}

/* As much as there is, at most cap bytes. */
static ssize_t read_all(int fd, char *buf, size_t cap)
{
    size_t done = 0;

    while (done < cap) {
        ssize_t n = read(fd, buf + done, cap - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int read_open(int fd, size_t max, struct skep_str *text, struct file_mark *mark)
{
    struct stat st;
    size_t room;
    char *buf;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
    if ((uint64_t)st.st_size > max)
        return EFBIG;
    mark_set(mark, &st);
    /* It may have grown since: whatever comes beyond what was seen is read on the next change. */
    room = (size_t)st.st_size;
    buf = malloc(room + 1);
    if (!buf)
        return ENOMEM;
    n = read_all(fd, buf, room);
    if (n < 0) {
        free(buf);
        return errno;
    }
    buf[n] = '\0';
    *text = skep_bytes(buf, (size_t)n);
    return 0;
}

int file_read(const char *path, size_t max, struct skep_str *text, struct file_mark *mark,
              char *why, size_t why_cap)
{
    /* O_NONBLOCK: a pipe of that name must not hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err = fd < 0 ? errno : read_open(fd, max, text, mark);

    if (fd >= 0)
        close(fd);
    if (err == 0)
        return 0;
    if (err == EFBIG)
        snprintf(why, why_cap, "it is larger than %zu bytes", max);
    else if (err == ENOTSUP)
        snprintf(why, why_cap, "it is not a regular file");
    else
        snprintf(why, why_cap, "%s", strerror(err));
    return -1;
}

void file_forget(struct skep_str *text)
{
    if (text->ptr) {
        explicit_bzero((char *)text->ptr, text->len);
        free((char *)text->ptr);
    }
    *text = skep_bytes(NULL, 0);
}
