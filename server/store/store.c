#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/store_impl.h"

/* -- Life -- */

static void on_settled(void *arg, unsigned worker)
{
    struct store *s = arg;
    if (s->conf.settled)
        s->conf.settled(s->conf.arg, worker);
}

static void on_refusing(void *arg, const char *why)
{
    struct store *s = arg;
    if (s->conf.refusing)
        s->conf.refusing(s->conf.arg, why);
}

static int open_wal(struct store *s, struct segment **segments, uint64_t lsn, char *why,
                    size_t why_size)
{
    struct wal_conf conf = {
        .disk = s->conf.disk,
        .dir = s->dir,
        .segment_bytes = s->conf.segment_bytes,
        .sync = s->conf.sync,
        .interval_ms = s->conf.interval_ms,
        .retry_ms = s->conf.retry_ms,
        .clock = s->conf.clock,
        .clock_offset_ms = s->clock_offset_ms,
        .settled = on_settled,
        .refusing = on_refusing,
        .sealed = store_on_sealed,
        .arg = s,
    };
    int err = wal_open(&s->wal, &conf, segments, lsn, why, why_size);

    if (!err)
        wal_trim(s->wal, lsn); /* all of it is in the tables */
    return err;
}

static void start_thread(struct store *s)
{
    ASSERT(pthread_create(&s->thread, NULL, store_checkpoint_run, s) == 0);
    s->running = true;
}

static struct store *store_new(const struct store_conf *conf)
{
    struct store *s = xcalloc(1, sizeof *s);
    pthread_condattr_t attr;

    s->conf = *conf;
    s->lock_fd = -1;
    s->dir = str_dup(str_of(conf->dir));
    if (!s->conf.disk)
        s->conf.disk = &disk_system;
    if (!s->conf.clock)
        s->conf.clock = &store_clock_system;
    if (!s->conf.segment_bytes)
        s->conf.segment_bytes = WAL_SEGMENT_BYTES;
    if (!s->conf.checkpoint_bytes)
        s->conf.checkpoint_bytes = STORE_CHECKPOINT_BYTES;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&s->done, NULL);
    return s;
}

int store_open(struct store **out, const struct store_conf *conf, char *why, size_t why_size)
{
    struct store *s = store_new(conf);
    struct segment *segments = NULL;
    char path[STORE_PATH];
    struct meta meta;
    int err;

    snprintf(path, sizeof path, "%s/state.mdb", s->dir);
    if ((err = store_lock(s, why, why_size)) < 0 ||
        (err = tables_open(&s->tables, path, conf->map_bytes, why, why_size)) < 0 ||
        (err = store_catch_up(s, &segments, &meta, why, why_size)) < 0)
        goto fail;
    s->clock_offset_ms = moment_offset_ms(s->conf.clock, meta.moment);
    if ((err = open_wal(s, &segments, meta.applied, why, why_size)) < 0)
        goto fail;
    if (meta.backup && (err = tables_meta_set(s->tables, TABLES_META_BACKUP, 0)) < 0) {
        store_fold_fault(s, err, why, why_size);
        goto fail;
    }
    atomic_store(&s->applied, meta.applied);
    start_thread(s);
    *out = s;
    return 0;
fail:
    segment_list_free(&segments);
    store_close(&s);
    return err;
}

int store_load(struct store *s, const struct loader *loader, char *why, size_t why_size)
{
    return load_tables(s->tables, loader, why, why_size);
}

int store_queue_read(struct store *s, uint64_t session, uint64_t from, uint32_t most,
                     size_t most_bytes, int (*entry)(void *arg, const struct load_entry *e),
                     void *arg, uint64_t *next)
{
    struct load_part wanted = {.session = session,
                               .from = from,
                               .most = most,
                               .most_bytes = most_bytes,
                               .entry = entry,
                               .arg = arg};
    int err = load_queue(s->tables, &wanted, next);

    if (err == ERR_DAMAGED || err == ERR_SYSTEM)
        log_limited(LOG_LEVEL_ERROR, "store", "the queue of session %llu cannot be read: %s",
                    (unsigned long long)session, *tables_why() ? tables_why() : err_text(err));
    return err;
}

int store_close(struct store **store)
{
    struct store *s = *store;
    int err = 0;

    if (!s)
        return 0;
    if (s->running) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        atomic_store(&s->pause_us, 0);
        pthread_cond_broadcast(&s->wake);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->thread, NULL);
    }
    err = wal_close(&s->wal);
    if (s->running && !err && !s->conf.keep_log)
        store_fold_rest(s);
    tables_close(&s->tables);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake);
    pthread_cond_destroy(&s->done);
    free(s->dir);
    free(s);
    *store = NULL;
    return err;
}

/* -- Passing on -- */

int64_t store_clock_offset_ms(const struct store *s)
{
    return s->clock_offset_ms;
}

uint64_t store_number(struct store *s)
{
    return atomic_fetch_add(&s->last_number, 1) + 1;
}

uint64_t store_submit(struct store *s, unsigned worker, struct batch *b)
{
    return wal_submit(s->wal, worker, b);
}

uint64_t store_settled(const struct store *s)
{
    return wal_settled(s->wal);
}

bool store_refusing(const struct store *s)
{
    return wal_refusing(s->wal);
}

void store_wait(struct store *s, uint64_t lsn)
{
    wal_wait(s->wal, lsn);
}

struct store_stats store_stats(struct store *s)
{
    uint64_t applied = atomic_load(&s->applied); /* before the end, which may not lie before it */

    return (struct store_stats){
        .log = wal_stats(s->wal),
        .applied = applied,
        .checkpoints = atomic_load(&s->checkpoints),
        .checkpoint_failures = atomic_load(&s->failures),
        .replayed = s->replayed,
        .torn_bytes = s->torn_bytes,
    };
}

struct tables *store_tables(struct store *s)
{
    return s->tables;
}
