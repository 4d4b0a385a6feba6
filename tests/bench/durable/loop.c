/* The bound of every durable broker: the bytes of a batch appended to a preallocated file, then one
 * fdatasync, again and again.
 *
 *     skep-sync-loop DIR BYTES BATCH SECONDS
 *
 * BYTES is what one message takes in the log, BATCH how many are synced together.  Prints one flat
 * JSON object.  The file is filled once and then used again from its start, as a log that recycles
 * its segments does: syncing a file that grows costs a multiple. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENT = 16 << 20 };

static void die(const char *what)
{
    fprintf(stderr, "skep-sync-loop: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void write_all(int fd, const char *p, size_t n, size_t at)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)at);
        if (done < 0 && errno != EINTR)
            die("write");
        if (done > 0) {
            p += done;
            n -= (size_t)done;
            at += (size_t)done;
        }
    }
}

/* An open file of `size` bytes that are on the disk, without a name. */
static int file_make(const char *dir, const char *bytes, size_t size)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/loop.XXXXXX", dir);
    int fd = mkstemp(path);
    if (fd < 0)
        die(path);
    unlink(path);
    write_all(fd, bytes, size, 0);
    if (fsync(fd) < 0)
        die("fsync");
    return fd;
}

/* Bytes that nothing between here and the disk can shorten. */
static char *bytes_make(size_t size)
{
    char *bytes = malloc(size + 8);
    uint64_t x = 88172645463325252u;

    if (!bytes)
        die("memory");
    for (size_t i = 0; i < size; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(bytes + i, &x, 8);
    }
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: skep-sync-loop DIR BYTES BATCH SECONDS\n");
        return 1;
    }
    size_t batch = strtoul(argv[3], NULL, 10), each = strtoul(argv[2], NULL, 10) * batch;
    double seconds = strtod(argv[4], NULL);
    if (each == 0 || each > 1u << 30 || !(seconds > 0 && seconds < 3600)) {
        fprintf(stderr, "skep-sync-loop: a batch of 1 byte to 1 GB, for up to an hour\n");
        return 1;
    }
    size_t size = each > SEGMENT ? each : SEGMENT;
    char *bytes = bytes_make(size);
    int fd = file_make(argv[1], bytes, size);
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), now = begin, syncs = 0;

    for (size_t at = 0; now < end; now = now_ns(), at += each, syncs++) {
        if (at + each > size)
            at = 0;
        write_all(fd, bytes, each, at);
        if (fdatasync(fd) < 0)
            die("fdatasync");
    }
    double took = (double)(now - begin) / 1e9, messages = (double)syncs * (double)batch;
    printf(
        "{\"syncs\":%llu,\"seconds\":%.6f,\"messages_per_second\":%.1f,\"syncs_per_second\":%.1f,"
        "\"verdict\":\"ok\"}\n",
        (unsigned long long)syncs, took, messages / took, (double)syncs / took);
    close(fd);
    free(bytes);
    return 0;
}
