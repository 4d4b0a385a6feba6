#include "front/backup.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store.h"

enum { NICE = 10 };

struct backups {
    struct store *store;
    uint64_t count;
    /* Of the last one: */
    pthread_t thread; /* to be joined */
    char *dir;
    uint64_t begun_ms;
    pthread_mutex_t mutex; /* of: */
    bool running;
    int err;
    char why[SERVER_WHY];
    uint64_t took_ms;
};

static void *run(void *backups)
{
    struct backups *b = backups;
    char why[SERVER_WHY] = "";

    setpriority(PRIO_PROCESS, 0, NICE); /* this thread alone, on Linux */
    log_info("store", "a backup to %s begins", b->dir);
    int err = store_backup(b->store, b->dir, why, sizeof why);
    uint64_t took = clock_mono_ms() - b->begun_ms;
    if (err < 0)
        log_error("store", "no backup was made: %s", why);
    else
        log_info("store", "the backup to %s is complete, after %llu ms", b->dir,
                 (unsigned long long)took);
    pthread_mutex_lock(&b->mutex);
    b->running = false;
    b->err = err;
    b->took_ms = took;
    snprintf(b->why, sizeof b->why, "%s", why);
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

struct backups *backups_new(struct store *store)
{
    struct backups *b = xcalloc(1, sizeof *b);

    b->store = store;
    pthread_mutex_init(&b->mutex, NULL);
    return b;
}

static bool is_running(struct backups *b)
{
    pthread_mutex_lock(&b->mutex);
    bool running = b->running;
    pthread_mutex_unlock(&b->mutex);
    return running;
}

/* The last one has ended, or is waited for. */
static void end_last(struct backups *b)
{
    if (b->count > 0)
        pthread_join(b->thread, NULL);
    free(b->dir);
    b->dir = NULL;
}

void backups_free(struct backups **backups)
{
    struct backups *b = *backups;

    if (!b)
        return;
    if (is_running(b))
        log_info("store", "waiting for the backup to %s", b->dir);
    end_last(b);
    pthread_mutex_destroy(&b->mutex);
    free(b);
    *backups = NULL;
}

int backups_begin(struct backups *b, const char *dir, char *why, size_t why_size)
{
    if (is_running(b)) {
        snprintf(why, why_size, "a backup to %s is being made", b->dir);
        return ERR_EXISTS;
    }
    end_last(b);
    b->dir = str_dup(str_of(dir));
    b->begun_ms = clock_mono_ms();
    b->running = true;
    b->count++;
    ASSERT(pthread_create(&b->thread, NULL, run, b) == 0);
    return 0;
}

void backups_stats(struct backups *b, struct server_backup_stats *out)
{
    *out = (struct server_backup_stats){.number = b->count, .dir = b->dir};
    if (b->count == 0)
        return;
    pthread_mutex_lock(&b->mutex);
    out->running = b->running;
    out->failed = b->err < 0 && !b->running;
    snprintf(out->why, sizeof out->why, "%s", out->failed ? b->why : "");
    out->took_ms = b->running ? clock_mono_ms() - b->begun_ms : b->took_ms;
    pthread_mutex_unlock(&b->mutex);
}
