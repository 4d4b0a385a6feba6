/* Figures of the process, its loops and its job pool.  Those of the process have the names that all
 * Prometheus exporters use. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "host/jobs.h"
#include "host/metrics.h"
#include "host/storage.h"

static void gauge(const struct metric_out *out, const char *name, const char *help, double value)
{
    metric_value(out, SKEP_GAUGE, name, help, "", value);
}

static void counter(const struct metric_out *out, const char *name, const char *help, double value)
{
    metric_value(out, SKEP_COUNTER, name, help, "", value);
}

static void memory(const struct metric_out *out)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long whole, resident;

    if (!f)
        return;
    if (fscanf(f, "%lu %lu", &whole, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        gauge(out, "process_resident_memory_bytes", "Memory in use, mapped files included",
              (double)resident * page);
        gauge(out, "process_virtual_memory_bytes", "Address space in use", (double)whole * page);
    }
    fclose(f);
}

/* Open descriptors: the size of the directory since Linux 6.2; before, they are counted, but only
 * up to a few thousand: this must not grow with the number of clients.  -1: too many to count. */
static long open_fds(void)
{
    enum { ENOUGH = 4096, NOT_COUNTED = 3 /* ".", "..", and the directory's own */ };
    struct stat st;
    long count = 0;

    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (long)st.st_size;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return -1;
    while (count <= ENOUGH && readdir(d))
        count++;
    closedir(d);
    return count > ENOUGH ? -1 : count - NOT_COUNTED;
}

static void descriptors(const struct metric_out *out)
{
    struct rlimit limit;
    long count = open_fds();

    if (count >= 0)
        gauge(out, "process_open_fds", "Open file descriptors", (double)count);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        gauge(out, "process_max_fds", "Most file descriptors that may be open",
              (double)limit.rlim_cur);
}

/* Seconds since 1970 UTC: the 22nd field of stat is in ticks since the machine's start. */
static double start_time(void)
{
    unsigned long long ticks = 0;
    char text[1024];
    struct timespec up;
    FILE *f = fopen("/proc/self/stat", "re");
    size_t len = f ? fread(text, 1, sizeof text - 1, f) : 0;

    if (f)
        fclose(f);
    text[len] = '\0';
    const char *at = strrchr(text, ')'); /* the program's name may hold anything */
    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, " %llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
        return 0;
    double boot = (double)clock_wall_ms() / 1000 - (double)up.tv_sec - (double)up.tv_nsec / 1e9;
    return boot + (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void process(const struct metric_out *out)
{
    struct timespec cpu;

    memory(out);
    descriptors(out);
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
        counter(out, "process_cpu_seconds_total", "CPU time used",
                (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    gauge(out, "process_start_time_seconds", "When the process began, since 1970 UTC",
          start_time());
}

/* Loops: a row of samples for each figure. */

static double turns(const struct loop_stats *s)
{
    return (double)s->turns;
}

static double cpu_seconds(const struct loop_stats *s)
{
    return (double)s->cpu_ns / 1e9;
}

static double connections(const struct loop_stats *s)
{
    return (double)s->connections;
}

static double handshakes(const struct loop_stats *s)
{
    return (double)s->handshakes;
}

static const struct {
    const char *name, *help;
    enum skep_metric_kind kind;
    double (*value)(const struct loop_stats *s);
} loop_figures[] = {
    {"skep_loop_turns_total", "Turns of an event loop", SKEP_COUNTER, turns},
    {"skep_loop_cpu_seconds_total", "CPU time used by a loop's thread", SKEP_COUNTER, cpu_seconds},
    {"skep_loop_connections", "Open connections, those still shaking hands included", SKEP_GAUGE,
     connections},
    {"skep_loop_tls_handshakes_total", "TLS handshakes completed", SKEP_COUNTER, handshakes},
};

static void loops(struct host *h, const struct metric_out *out)
{
    for (size_t figure = 0; figure < ARRAY_LEN(loop_figures); figure++) {
        for (unsigned i = 0; i <= h->loop_count; i++) {
            struct loop_stats stats;
            char labels[32] = "loop=\"management\"";
            if (!h->places[i].loop)
                continue;
            loop_stats(h->places[i].loop, &stats);
            if (i < h->loop_count)
                snprintf(labels, sizeof labels, "loop=\"%u\"", i);
            metric_value(out, loop_figures[figure].kind, loop_figures[figure].name,
                         loop_figures[figure].help, labels, loop_figures[figure].value(&stats));
        }
    }
}

static void jobs(struct host *h, const struct metric_out *out)
{
    struct jobs_stats s;

    jobs_stats(h, &s);
    gauge(out, "skep_jobs_threads", "Threads for work that may block", s.threads);
    gauge(out, "skep_jobs_queued", "Jobs that wait for a thread", s.queued);
    gauge(out, "skep_jobs_running", "Jobs that are being done", s.running);
    counter(out, "skep_jobs_done_total", "Jobs done", (double)s.done);
    counter(out, "skep_jobs_refused_total", "Jobs refused because the queue was full",
            (double)s.refused);
    counter(out, "skep_jobs_cancelled_total", "Jobs left out because nobody wanted them any more",
            (double)s.cancelled);
    counter(out, "skep_jobs_wait_seconds_total", "Time that jobs waited for a thread, in all",
            (double)s.waited_us / 1e6);
}

static void storage(struct host *h, const struct metric_out *out)
{
    struct storage_stats s;

    storage_stats_now(h, &s);
    if (!s.open)
        return;
    gauge(out, "skep_storage_queued", "Changes of modules' storage that wait to be written",
          (double)s.queued);
    gauge(out, "skep_storage_queued_bytes", "Bytes of them", (double)s.queued_bytes);
    gauge(out, "skep_storage_file_bytes", "Size of modules' storage", (double)s.file_bytes);
    counter(out, "skep_storage_changes_total", "Changes of modules' storage", (double)s.changes);
    counter(out, "skep_storage_commits_total", "Transactions of modules' storage",
            (double)s.commits);
    counter(out, "skep_storage_failures_total", "Changes of modules' storage that failed",
            (double)s.failures);
}

void metrics_process(struct host *h, const struct metric_out *out)
{
    process(out);
    loops(h, out);
    jobs(h, out);
    storage(h, out);
}
