/* The broker under test, seen from outside: its processor time and memory, through /proc. */
#ifndef SKEP_BENCH_TARGET_H
#define SKEP_BENCH_TARGET_H

#include <stdint.h>

/* Nanoseconds all threads of `pid` have run, or 0 when the process cannot be read.  Taken from
 * schedstat, exact to a scheduler tick; /proc/PID/stat (10 ms) where the kernel lacks it. */
uint64_t target_cpu_ns(uint64_t pid);

/* The same, thread by thread. */
enum { TARGET_THREADS = 128 };
struct target_threads {
    unsigned count;
    struct {
        int tid;
        uint64_t ns;
    } list[TARGET_THREADS];
};
void target_threads(struct target_threads *out, uint64_t pid);

/* What the busiest thread ran between the two: on a core of its own it would be the limit. */
uint64_t target_busiest_ns(const struct target_threads *before, const struct target_threads *after);

/* How long ago the process was started, to 10 ms, or 0 when it cannot be read. */
uint64_t target_age_ns(uint64_t pid);

/* Resident bytes, page-exact (smaps_rollup), or 0 when the process cannot be read. */
uint64_t target_rss(uint64_t pid);

/* This thread's own processor time, nanoseconds. */
uint64_t target_own_ns(void);

#endif
