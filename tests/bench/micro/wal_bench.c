/* The log against its bound: the same bytes, appended and synced by a bare loop.
 *
 *     skep-wal-bench [DIR [SECONDS]]
 *
 * Some loops hand over batches and wait for each to settle, as publishers with a full window
 * make them.  What the log wrote is then written again, the same bytes with the same number of
 * syncs, by a loop of pwrite + fdatasync on a file allocated the same way.  The two alternate
 * in short slices, for a disk is never as fast twice.  The ratio is of their times. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/wal.h"

enum { PAYLOAD = 64, SLICES = 8 };

static _Atomic bool stop;

struct submitter {
    pthread_t thread;
    struct wal *wal;
    unsigned index, batch;
    uint64_t records;
};

static void *submitter_run(void *arg)
{
    struct submitter *s = arg;
    struct batch b = {0};
    char payload[PAYLOAD] = {0};
    struct record_message m = {
        .topic = STR("bench/topic"), .payload = {payload, PAYLOAD}, .qos = 1};

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = 0; i < s->batch; i++) {
            batch_pub_begin(&b, &m, 0, 0, 0);
            batch_pub_target(&b, &(struct record_target){
                                     .session = s->index + 1, .counter = s->records++, .qos = 1});
            batch_pub_end(&b);
        }
        wal_wait(s->wal, wal_submit(s->wal, s->index, &b));
    }
    batch_fini(&b);
    return NULL;
}

static void bench_wal(const char *dir, unsigned threads, unsigned batch, double seconds,
                      struct wal_stats *stats, uint64_t *records, double *took)
{
    struct submitter s[64];
    struct segment *list = NULL;
    struct wal *wal;
    char why[512];
    struct wal_conf conf = {.disk = &disk_system, .dir = dir, .segment_bytes = WAL_SEGMENT_BYTES};

    if (segment_list(&list, &disk_system, dir, why, sizeof why) < 0 ||
        wal_open(&wal, &conf, &list, 0, why, sizeof why) < 0) {
        fprintf(stderr, "%s\n", why);
        exit(1);
    }
    atomic_store(&stop, false);
    uint64_t begin = clock_mono_ns();
    for (unsigned i = 0; i < threads; i++) {
        s[i] = (struct submitter){.wal = wal, .index = i, .batch = batch};
        ASSERT(pthread_create(&s[i].thread, NULL, submitter_run, &s[i]) == 0);
    }
    while (clock_mono_ns() - begin < (uint64_t)(seconds * 1e9)) {
        struct timespec nap = {0, 20000000};
        nanosleep(&nap, NULL);
        wal_trim(wal, wal_synced(wal)); /* a checkpoint would free them */
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(s[i].thread, NULL);
        *records += s[i].records;
    }
    *took = (double)(clock_mono_ns() - begin) / 1e9;
    *stats = wal_stats(wal);
    wal_close(&wal);
}

/* The same number of bytes with the same number of syncs. */
static double bench_bare(const char *dir, uint64_t bytes, uint64_t syncs)
{
    char path[4096];
    size_t each = bytes / (syncs ? syncs : 1);
    char *buf = xcalloc(1, each + 1), *zeros = xcalloc(1, WAL_SEGMENT_BYTES);

    snprintf(path, sizeof path, "%s/bare", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT(fd >= 0 && pwrite(fd, zeros, WAL_SEGMENT_BYTES, 0) == WAL_SEGMENT_BYTES &&
           fsync(fd) == 0);
    memset(buf, 'x', each);
    uint64_t begin = clock_mono_ns(), at = 0;
    for (uint64_t i = 0; i < syncs; i++, at += each) {
        if (at + each > WAL_SEGMENT_BYTES)
            at = 0;
        ASSERT(pwrite(fd, buf, each, (off_t)at) == (ssize_t)each && fdatasync(fd) == 0);
    }
    double took = (double)(clock_mono_ns() - begin) / 1e9;
    close(fd);
    unlink(path);
    free(buf);
    free(zeros);
    return took;
}

static void compare(const char *dir, unsigned threads, unsigned batch, double seconds)
{
    double took = 0, bare = 0;
    uint64_t records = 0, bytes = 0, syncs = 0;

    for (unsigned i = 0; i < SLICES; i++) {
        struct wal_stats stats;
        double slice;
        char command[4200];
        bench_wal(dir, threads, batch, seconds / SLICES, &stats, &records, &slice);
        bare += bench_bare(dir, stats.end, stats.syncs);
        took += slice;
        bytes += stats.end;
        syncs += stats.syncs;
        snprintf(command, sizeof command, "rm -f '%s'/log-*", dir);
        ASSERT(system(command) == 0);
    }
    printf("%6u %6u %12.0f %8.1f %9.0f %10.1f %7.2f\n", threads, batch, (double)records / took,
           (double)bytes / took / 1e6, (double)syncs / took, (double)records / (double)syncs,
           took / bare);
}

int main(int argc, char **argv)
{
    char template[] = "/tmp/skep-wal-XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(template);
    double seconds = argc > 2 ? atof(argv[2]) : 2;
    static const unsigned runs[][2] = {{1, 1}, {1, 10}, {2, 50}, {2, 500}, {4, 1000}};

    printf("%6s %6s %12s %8s %9s %10s %7s\n", "loops", "batch", "records/s", "MB/s", "syncs/s",
           "per sync", "ratio");
    for (unsigned i = 0; i < ARRAY_LEN(runs); i++)
        compare(dir, runs[i][0], runs[i][1], seconds);
    if (argc <= 1)
        rmdir(dir);
    return 0;
}
