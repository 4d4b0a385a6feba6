#include "store/wal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/octets.h"
#include "store/wal_impl.h"

/* -- Life -- */

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static struct wal *wal_new(const struct wal_conf *conf, uint64_t lsn)
{
    struct wal *w = xcalloc(1, sizeof *w);

    w->conf = *conf;
    if (!w->conf.clock)
        w->conf.clock = &store_clock_system;
    w->dir = str_dup(str_of(conf->dir));
    pthread_mutex_init(&w->mutex, NULL);
    cond_init(&w->work);
    cond_init(&w->settle);
    cond_init(&w->space);
    w->queue.last = &w->queue.first;
    w->unsynced.last = &w->unsynced.first;
    w->finished_last = &w->finished;
    w->end = w->written = lsn;
    w->next_sequence = 1;
    atomic_init(&w->noted_ms, moment_ahead_ms(moment_now(w->conf.clock, w->conf.clock_offset_ms)));
    atomic_init(&w->settled, lsn);
    atomic_init(&w->synced, lsn);
    return w;
}

static void chunks_free(struct chunk *c)
{
    while (c) {
        struct chunk *next = c->next;
        free(c->bytes);
        free(c);
        c = next;
    }
}

static void wal_free(struct wal **wal)
{
    struct wal *w = *wal;

    *wal = NULL;
    chunks_free(w->queue.first);
    chunks_free(w->unsynced.first);
    chunks_free(w->free_chunks);
    segment_free(&w->current);
    segment_list_free(&w->finished);
    segment_list_free(&w->free);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->settle);
    pthread_cond_destroy(&w->space);
    pthread_mutex_destroy(&w->mutex);
    free(w->dir);
    free(w);
}

/* Sorts what the folder held: used ones stay until they are trimmed. */
static void adopt(struct wal *w, struct segment **segments, uint64_t lsn)
{
    while (*segments) {
        struct segment *s = *segments, *next = s->next;
        *segments = next;
        s->next = NULL;
        if (s->slot >= w->next_slot)
            w->next_slot = s->slot + 1;
        if (s->sequence >= w->next_sequence)
            w->next_sequence = s->sequence + 1;
        if (!s->sequence) {
            wal_space_give(w, s);
            continue;
        }
        s->end = next && next->sequence && next->base < lsn ? next->base : lsn;
        *w->finished_last = s;
        w->finished_last = &s->next;
    }
}

int wal_open(struct wal **out, const struct wal_conf *conf, struct segment **segments, uint64_t lsn,
             char *why, size_t why_size)
{
    struct wal *w = wal_new(conf, lsn);
    int err;

    ASSERT(conf->segment_bytes >= WAL_SEGMENT_LEAST);
    adopt(w, segments, lsn);
    if ((err = wal_write_begin_segment(w, lsn, 0)) < 0 ||
        (err = w->conf.disk->ops->fdatasync(w->conf.disk, w->current->fd)) < 0) {
        if (w->why[0])
            snprintf(why, why_size, "%s", w->why);
        else
            snprintf(why, why_size, "cannot sync the first log file in %s: %s", conf->dir,
                     strerror(errno));
        wal_free(&w);
        return err;
    }
    atomic_store_explicit(&w->current_stands, true, memory_order_relaxed);
    ASSERT(pthread_create(&w->committer, NULL, wal_write_run, w) == 0);
    ASSERT(pthread_create(&w->maker, NULL, wal_space_run, w) == 0);
    *out = w;
    return 0;
}

static struct chunk *chunk_take(struct wal *w)
{
    struct chunk *c = w->free_chunks;

    if (c) {
        w->free_chunks = c->next;
        w->free_chunk_count--;
        c->next = NULL;
        c->commit = false;
        c->len = 0;
        return c;
    }
    return xcalloc(1, sizeof *c);
}

static void enqueue(struct wal *w, struct chunk *c)
{
    c->lsn = w->end;
    w->end += c->len;
    w->pending_bytes += c->len;
    *w->queue.last = c;
    w->queue.last = &c->next;
}

/* The first of a new write is led by a COMMIT. */
static void enqueue_commit(struct wal *w)
{
    struct chunk *c = chunk_take(w);
    struct batch b = {.bytes = c->bytes, .cap = c->cap};
    char body[COMMIT_BODY] = {0};

    batch_raw(&b, RECORD_COMMIT, 0, (struct str){body, sizeof body});
    ASSERT(b.len == COMMIT_SIZE);
    c->bytes = b.bytes;
    c->len = b.len;
    c->cap = b.cap;
    c->commit = true;
    enqueue(w, c);
}

int wal_close(struct wal **wal)
{
    struct wal *w = *wal;

    if (!w)
        return 0;
    pthread_mutex_lock(&w->mutex);
    /* A last COMMIT says that all before it was synced: damage to it will be known as such. */
    enqueue_commit(w);
    w->stop = w->maker_stop = true;
    pthread_cond_broadcast(&w->work);
    pthread_cond_broadcast(&w->space);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->committer, NULL);
    pthread_join(w->maker, NULL);
    int err = wal_synced(w) == w->end ? 0 : ERR_SYSTEM;
    wal_free(wal);
    return err;
}

/* -- Handing over -- */

uint64_t wal_submit(struct wal *w, unsigned worker, struct batch *b)
{
    ASSERT(worker < WAL_WORKERS_MAX && !b->open && !batch_joining(b));
    pthread_mutex_lock(&w->mutex);
    if (!batch_empty(b)) {
        if (!w->queue.first) {
            enqueue_commit(w);
            pthread_cond_signal(&w->work);
        }
        struct chunk *c = chunk_take(w);
        struct batch full = *b;
        *b = (struct batch){.bytes = c->bytes, .cap = c->cap};
        c->bytes = full.bytes;
        c->len = full.len;
        c->cap = full.cap;
        c->worker = worker;
        enqueue(w, c);
    }
    uint64_t end = w->end;
    pthread_mutex_unlock(&w->mutex);
    return end;
}

void wal_note_time(struct wal *w)
{
    struct moment now = moment_now(w->conf.clock, w->conf.clock_offset_ms);
    int64_t jump = moment_ahead_ms(now) - atomic_load_explicit(&w->noted_ms, memory_order_relaxed);

    if (jump > -WAL_JUMP_MS && jump < WAL_JUMP_MS)
        return;
    pthread_mutex_lock(&w->mutex);
    if (!w->queue.first) {
        enqueue_commit(w);
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->mutex);
}

uint64_t wal_settled(const struct wal *w)
{
    return atomic_load_explicit(&w->settled, memory_order_acquire);
}

uint64_t wal_synced(const struct wal *w)
{
    return atomic_load_explicit(&w->synced, memory_order_acquire);
}

bool wal_refusing(const struct wal *w)
{
    return atomic_load_explicit(&w->refuses, memory_order_acquire);
}

void wal_wait(struct wal *w, uint64_t lsn)
{
    pthread_mutex_lock(&w->mutex);
    while (wal_settled(w) < lsn)
        pthread_cond_wait(&w->settle, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

struct wal_stats wal_stats(struct wal *w)
{
    struct wal_stats stats = {
        .settled = wal_settled(w),
        .synced = wal_synced(w),
        .writes = atomic_load_explicit(&w->writes, memory_order_relaxed),
        .syncs = atomic_load_explicit(&w->syncs, memory_order_relaxed),
        .failures = atomic_load_explicit(&w->failures, memory_order_relaxed),
    };

    pthread_mutex_lock(&w->mutex);
    stats.end = w->end;
    stats.pending_bytes = w->pending_bytes;
    stats.kept_bytes = w->end - (w->finished ? w->finished->base : w->current->base);
    stats.used = 1;
    for (const struct segment *s = w->finished; s; s = s->next)
        stats.used++;
    stats.free = w->free_count;
    pthread_mutex_unlock(&w->mutex);
    return stats;
}

/* -- For the checkpoint -- */

int wal_finished(struct wal *w, uint64_t from, unsigned most, struct segment **out, uint64_t *to,
                 char *why, size_t why_size)
{
    unsigned slots[64], count = 0;
    struct segment **last = out;
    int err = 0;

    *out = NULL;
    *to = from;
    pthread_mutex_lock(&w->mutex);
    for (const struct segment *s = w->finished; s && count < most && count < 64; s = s->next) {
        if (s->end > from) {
            slots[count++] = s->slot;
            *to = s->end;
        }
    }
    pthread_mutex_unlock(&w->mutex);
    /* Nobody else trims: the files stay while they are read. */
    for (unsigned i = 0; !err && i < count; i++) {
        err = segment_open(last, w->conf.disk, w->dir, slots[i], why, why_size);
        if (!err)
            last = &(*last)->next;
    }
    if (err)
        segment_list_free(out);
    return err;
}

int wal_seal(struct wal *w, uint64_t lsn, char *why, size_t why_size)
{
    pthread_mutex_lock(&w->mutex);
    uint64_t failures = w->seal_failures;
    lsn = lsn < w->end ? lsn : w->end;
    if (lsn > w->seal_to)
        w->seal_to = lsn;
    pthread_cond_signal(&w->work);
    while (w->current->base < lsn && w->seal_failures == failures && !wal_refusing(w))
        pthread_cond_wait(&w->settle, &w->mutex);
    int err = w->current->base < lsn ? ERR_SYSTEM : 0;
    if (err)
        snprintf(why, why_size, "%s", w->fault);
    pthread_mutex_unlock(&w->mutex);
    return err;
}

/* The last one stays until the header of the one behind it has reached the disk, or after a power
 * cut there might be none, and nobody could tell that from a log that was lost.  Mutex held. */
static bool may_go(const struct wal *w, const struct segment *s, uint64_t lsn)
{
    return s->end <= lsn &&
           (s->next || atomic_load_explicit(&w->current_stands, memory_order_relaxed));
}

void wal_trim(struct wal *w, uint64_t lsn)
{
    pthread_mutex_lock(&w->mutex);
    while (w->finished && may_go(w, w->finished, lsn)) {
        struct segment *s = w->finished;
        w->finished = s->next;
        s->next = NULL;
        wal_space_give(w, s);
    }
    if (!w->finished)
        w->finished_last = &w->finished;
    pthread_mutex_unlock(&w->mutex);
}
