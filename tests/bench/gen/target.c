/* /proc. */
#include "target.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t first_number(const char *path)
{
    uint64_t v = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%" SCNu64, &v) != 1)
        v = 0;
    fclose(f);
    return v;
}

/* /proc/PID/stat from its third field on, which is behind the last parenthesis. */
static bool stat_read(uint64_t pid, char *line, int size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    char *after = fgets(line, size, f) ? strrchr(line, ')') : NULL;
    fclose(f);
    if (after)
        memmove(line, after + 1, strlen(after));
    return after;
}

static uint64_t ticks_ns(uint64_t ticks)
{
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* utime + stime of the whole process, which also counts threads that have ended. */
static uint64_t stat_ns(uint64_t pid)
{
    char line[512];
    unsigned long user = 0, system = 0;

    if (stat_read(pid, line, sizeof line))
        sscanf(line, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return ticks_ns(user + system);
}

uint64_t target_age_ns(uint64_t pid)
{
    char line[512];
    unsigned long long began = 0;
    struct timespec ts;

    if (!stat_read(pid, line, sizeof line) ||
        sscanf(line,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &began) != 1)
        return 0;
    clock_gettime(CLOCK_BOOTTIME, &ts); /* what the kernel counts a start in */
    uint64_t now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
    return now > ticks_ns(began) ? now - ticks_ns(began) : 0;
}

void target_threads(struct target_threads *out, uint64_t pid)
{
    char path[320];

    out->count = 0;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir)) && out->count < TARGET_THREADS;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%s/schedstat", pid, e->d_name);
        out->list[out->count].tid = atoi(e->d_name);
        out->list[out->count++].ns = first_number(path);
    }
    closedir(dir);
}

uint64_t target_cpu_ns(uint64_t pid)
{
    struct target_threads now;
    uint64_t total = 0;

    target_threads(&now, pid);
    for (unsigned i = 0; i < now.count; i++)
        total += now.list[i].ns;
    return total ? total : stat_ns(pid);
}

uint64_t target_busiest_ns(const struct target_threads *before, const struct target_threads *after)
{
    uint64_t most = 0;

    for (unsigned i = 0; i < after->count; i++) {
        uint64_t was = 0;
        for (unsigned j = 0; j < before->count; j++)
            if (before->list[j].tid == after->list[i].tid)
                was = before->list[j].ns;
        if (after->list[i].ns - was > most)
            most = after->list[i].ns - was;
    }
    return most;
}

uint64_t target_rss(uint64_t pid)
{
    char path[64], line[128];
    uint64_t kb = 0;

    snprintf(path, sizeof path, "/proc/%" PRIu64 "/smaps_rollup", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "Rss: %" SCNu64 " kB", &kb) == 1)
            break;
    fclose(f);
    return kb * 1024;
}

uint64_t target_own_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
