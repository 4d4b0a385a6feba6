#include "ctl/progress.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum { TERMINAL_MS = 500, PLAIN_MS = 2000 };

struct progress {
    const char *name, *unit;
    bool terminal, shown;
    uint64_t begun_ms;
    _Atomic uint64_t count;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool stop; /* guarded by mutex */
};

static void show(struct progress *p)
{
    unsigned seconds = (unsigned)((clock_mono_ms() - p->begun_ms) / 1000);

    p->shown = true;
    fprintf(stderr, "%s%s: ", p->terminal ? "\r" : "", p->name);
    if (p->unit)
        fprintf(stderr, "%llu %s, ", (unsigned long long)atomic_load(&p->count), p->unit);
    fprintf(stderr, "%u s%s", seconds, p->terminal ? "\033[K" : "\n");
    fflush(stderr);
}

static void *run(void *progress)
{
    struct progress *p = progress;
    unsigned pause_ms = p->terminal ? TERMINAL_MS : PLAIN_MS;
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&p->mutex);
    while (!p->stop) {
        next.tv_nsec += (long)(pause_ms % 1000) * 1000000;
        next.tv_sec += pause_ms / 1000 + next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        int err = 0;
        while (!p->stop && err == 0)
            err = pthread_cond_timedwait(&p->wake, &p->mutex, &next);
        if (!p->stop)
            show(p);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

struct progress *progress_start(const char *name, const char *unit, bool quiet)
{
    struct progress *p;
    pthread_condattr_t attr;

    if (quiet)
        return NULL;
    p = xcalloc(1, sizeof *p);
    p->name = name;
    p->unit = unit;
    p->terminal = isatty(STDERR_FILENO);
    p->begun_ms = clock_mono_ms();
    pthread_mutex_init(&p->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &attr);
    pthread_condattr_destroy(&attr);
    ASSERT(pthread_create(&p->thread, NULL, run, p) == 0);
    return p;
}

void progress_add(struct progress *p, uint64_t n)
{
    if (p)
        atomic_fetch_add_explicit(&p->count, n, memory_order_relaxed);
}

void progress_stop(struct progress **progress)
{
    struct progress *p = *progress;

    if (!p)
        return;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    if (p->shown && p->terminal)
        fputs("\r\033[K", stderr);
    pthread_mutex_destroy(&p->mutex);
    pthread_cond_destroy(&p->wake);
    free(p);
    *progress = NULL;
}
