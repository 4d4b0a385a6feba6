/* The committer: takes all that was handed over, writes it, syncs it, says so.
 *
 * Every chunk stays in `unsynced` until a sync behind it succeeded, so that after a failure the
 * same records, with the same places, go to a fresh segment.  A write that crosses into the
 * next segment syncs the one it leaves first: a segment's base is always on the disk. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/octets.h"
#include "store/wal_impl.h"

enum { VECS = 256, RETRY_MS = 1000 };

/* -- Records into segments -- */

struct run {
    struct iovec vecs[VECS];
    int count;
    uint64_t place;
};

static int run_flush(struct wal *w, struct run *run)
{
    int err = 0;

    if (run->count > 0) {
        err = disk_write(w->conf.disk, w->current->fd, run->vecs, run->count, run->place);
        atomic_fetch_add_explicit(&w->writes, 1, memory_order_relaxed);
    }
    run->count = 0;
    return err;
}

static int sync_current(struct wal *w)
{
    uint64_t upto = w->written;
    int err = w->conf.disk->ops->fdatasync(w->conf.disk, w->current->fd);

    if (!err) {
        atomic_fetch_add_explicit(&w->syncs, 1, memory_order_relaxed);
        atomic_store_explicit(&w->synced, upto, memory_order_release);
        atomic_store_explicit(&w->current_stands, true, memory_order_relaxed);
    }
    return err;
}

int wal_write_begin_segment(struct wal *w, uint64_t base, uint64_t least)
{
    struct segment *s, *before;
    int err = wal_space_take(w, least, &s);

    if (err)
        return err;
    if ((err = segment_use(s, w->next_sequence, base)) < 0) {
        segment_remove(&s, w->dir);
        return err;
    }
    pthread_mutex_lock(&w->mutex);
    w->next_sequence++;
    before = w->current;
    w->current = s;
    atomic_store_explicit(&w->current_stands, false, memory_order_relaxed);
    bool full = before && before->base != base;
    if (full) {
        before->end = base;
        before->next = NULL;
        *w->finished_last = before;
        w->finished_last = &before->next;
    } else if (before) { /* nothing in it counts: a fresh one that failed, or had no room */
        wal_space_give(w, before);
    }
    pthread_cond_broadcast(&w->settle);
    pthread_mutex_unlock(&w->mutex);
    if (full && w->conf.sealed)
        w->conf.sealed(w->conf.arg);
    return 0;
}

/* One record, sealed into the current segment, or into the next where that has no room for
 * the `whole` bytes, this record the first of them, that may not be split. */
static int put_record(struct wal *w, struct run *run, uint8_t *p, size_t len, uint64_t lsn,
                      size_t whole)
{
    struct segment *s = w->current;
    int err;

    if (segment_place(s, lsn) + whole > s->size) {
        if ((err = run_flush(w, run)) < 0 || (err = sync_current(w)) < 0 ||
            (err = wal_write_begin_segment(w, lsn, whole)) < 0)
            return err;
        s = w->current;
    }
    record_seal(p, lsn, s->salt);
    struct iovec *last = run->count ? &run->vecs[run->count - 1] : NULL;
    if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
        last->iov_len += len;
    } else {
        if (run->count == VECS && (err = run_flush(w, run)) < 0)
            return err;
        if (run->count == 0)
            run->place = segment_place(s, lsn);
        run->vecs[run->count++] = (struct iovec){p, len};
    }
    w->written = lsn + len;
    return 0;
}

/* What `synced` was when the write began: proof, for whoever finds this record, that all
 * before that had reached the disk; and the time, for what a restart will have to
 * call now. */
static void commit_fill(struct wal *w, struct chunk *c)
{
    struct moment now = moment_now(w->conf.clock, w->conf.clock_offset_ms);
    uint8_t *body = c->bytes + RECORD_HEAD;

    body = put_u64(body, atomic_load_explicit(&w->synced, memory_order_relaxed));
    atomic_store_explicit(&w->noted_ms, moment_ahead_ms(now), memory_order_relaxed);
    body = put_u64(body, now.wall_ms);
    put_u64(body, now.store_ms);
}

/* The bytes of the chain that begins at p; most are of one record. */
static size_t chain_length(const uint8_t *p)
{
    size_t len = record_length(p);

    for (const uint8_t *at = p; record_more(at); at += record_length(at))
        len += record_length(at + record_length(at));
    return len;
}

/* Writes the chunks from the first on, as far as they are not on the disk already. */
static int write_chunks(struct wal *w, struct chunk *c)
{
    struct run run = {.count = 0};

    for (; c; c = c->next) {
        if (c->commit)
            commit_fill(w, c);
        for (size_t at = 0, end = 0; at < c->len;) {
            uint8_t *p = c->bytes + at;
            size_t len = record_length(p);
            if (at == end)
                end += chain_length(p);
            int err =
                c->lsn + at < w->written ? 0 : put_record(w, &run, p, len, c->lsn + at, end - at);
            if (err)
                return err;
            at += len;
        }
    }
    return run_flush(w, &run);
}

/* -- Chunks that are done -- */

static void chunk_recycle(struct wal *w, struct chunk *c)
{
    if (w->free_chunk_count < WAL_CHUNKS_KEPT && c->cap <= WAL_CHUNK_KEPT_MAX) {
        c->next = w->free_chunks;
        w->free_chunks = c;
        w->free_chunk_count++;
    } else {
        free(c->bytes);
        free(c);
    }
}

static void forget_synced(struct wal *w)
{
    uint64_t synced = atomic_load_explicit(&w->synced, memory_order_relaxed);

    pthread_mutex_lock(&w->mutex);
    while (w->unsynced.first && w->unsynced.first->lsn + w->unsynced.first->len <= synced) {
        struct chunk *c = w->unsynced.first;
        w->unsynced.first = c->next;
        w->pending_bytes -= c->len;
        chunk_recycle(w, c);
    }
    if (!w->unsynced.first)
        w->unsynced.last = &w->unsynced.first;
    pthread_mutex_unlock(&w->mutex);
}

struct told {
    uint64_t bits[WAL_WORKERS_MAX / 64];
};

static void told_add(struct told *t, unsigned worker)
{
    t->bits[worker / 64] |= 1ull << worker % 64;
}

/* Everything written may be acknowledged now. */
static void settle(struct wal *w, struct told *told)
{
    atomic_store_explicit(&w->settled, w->written, memory_order_release);
    pthread_mutex_lock(&w->mutex);
    pthread_cond_broadcast(&w->settle);
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = 0; w->conf.settled && i < WAL_WORKERS_MAX; i++) {
        if (told->bits[i / 64] >> i % 64 & 1)
            w->conf.settled(w->conf.arg, i);
    }
    *told = (struct told){0};
}

/* -- Failure -- */

static void set_refusing(struct wal *w, bool refuses)
{
    if (atomic_load_explicit(&w->refuses, memory_order_relaxed) == refuses)
        return;
    pthread_mutex_lock(&w->mutex);
    atomic_store_explicit(&w->refuses, refuses, memory_order_release);
    snprintf(w->fault, sizeof w->fault, "%s", w->why);
    pthread_cond_broadcast(&w->settle);
    pthread_mutex_unlock(&w->mutex);
    if (refuses)
        log_error("store", "durable work is refused: %s", w->why);
    else
        log_warn("store", "the log writes again; durable work is taken on");
    if (w->conf.refusing)
        w->conf.refusing(w->conf.arg, refuses ? w->why : NULL);
}

/* The current segment is left as it is: it holds what was synced before.  All that was not
 * goes to a fresh one.  A fresh one that fails as well holds nothing and is removed. */
static int write_again(struct wal *w)
{
    uint64_t synced = atomic_load_explicit(&w->synced, memory_order_relaxed);
    int err;

    w->current->suspect = true;
    if ((err = wal_write_begin_segment(w, synced, 0)) < 0)
        return err;
    w->written = synced;
    if ((err = write_chunks(w, w->unsynced.first)) < 0 || (err = sync_current(w)) < 0)
        return err;
    return 0;
}

static void say_why(struct wal *w)
{
    if (!w->why[0])
        snprintf(w->why, sizeof w->why, "cannot write %s/log-%05u: %s", w->dir, w->current->slot,
                 strerror(errno));
}

/* Until what is in memory is on the disk, or the end is near.  False: it is not. */
static bool overcome(struct wal *w)
{
    unsigned retry_ms = w->conf.retry_ms ? w->conf.retry_ms : RETRY_MS;

    for (unsigned attempt = 0;; attempt++) {
        atomic_fetch_add_explicit(&w->failures, 1, memory_order_relaxed);
        say_why(w);
        if (attempt == 0)
            log_error("store", "%s; what was not synced is written again elsewhere", w->why);
        else
            set_refusing(w, true);
        w->why[0] = 0;
        if (write_again(w) == 0) {
            set_refusing(w, false);
            return true;
        }
        if (attempt == 0)
            continue;
        pthread_mutex_lock(&w->mutex);
        bool stop = w->stop;
        if (!stop) {
            struct timespec until;
            clock_gettime(CLOCK_MONOTONIC, &until);
            uint64_t ns = (uint64_t)until.tv_nsec + retry_ms * 1000000ull;
            until.tv_sec += (time_t)(ns / 1000000000);
            until.tv_nsec = (long)(ns % 1000000000);
            pthread_cond_timedwait(&w->space, &w->mutex, &until);
        }
        pthread_mutex_unlock(&w->mutex);
        if (stop)
            return false;
    }
}

/* -- The thread -- */

static bool sync_is_due(const struct wal *w, bool at_once)
{
    if (w->written == atomic_load_explicit(&w->synced, memory_order_relaxed))
        return false;
    if (at_once || w->conf.sync == WAL_SYNC_ALWAYS)
        return true;
    return w->conf.sync == WAL_SYNC_INTERVAL &&
           clock_mono_ms() - w->dirty_since_ms >= w->conf.interval_ms;
}

/* Mutex held.  Waits for work, for the end, or until a sync is due. */
static void wait_for_work(struct wal *w)
{
    bool dirty = w->written != atomic_load_explicit(&w->synced, memory_order_relaxed);

    if (!dirty || w->conf.sync != WAL_SYNC_INTERVAL) {
        pthread_cond_wait(&w->work, &w->mutex);
        return;
    }
    uint64_t due = w->dirty_since_ms + w->conf.interval_ms;
    struct timespec until = {(time_t)(due / 1000), (long)(due % 1000) * 1000000};
    pthread_cond_timedwait(&w->work, &w->mutex, &until);
}

/* Moves the queue behind what is unsynced; returns its first chunk.  Mutex held. */
static struct chunk *take_queue(struct wal *w, struct told *told)
{
    struct chunk *first = w->queue.first;

    for (struct chunk *c = first; c; c = c->next) {
        if (!c->commit)
            told_add(told, c->worker);
    }
    if (first) {
        *w->unsynced.last = first;
        w->unsynced.last = w->queue.last;
        w->queue.first = NULL;
        w->queue.last = &w->queue.first;
    }
    return first;
}

/* Mutex held. */
static bool seal_is_due(const struct wal *w)
{
    return w->seal_to > w->current->base;
}

/* Ends the current segment, all of which is synced.  If there is no other, it goes on. */
static void seal(struct wal *w)
{
    int err = w->current->base < w->written ? wal_write_begin_segment(w, w->written, 0) : 0;

    if (!err)
        return;
    say_why(w);
    pthread_mutex_lock(&w->mutex);
    w->seal_to = 0;
    w->seal_failures++;
    snprintf(w->fault, sizeof w->fault, "%s", w->why);
    pthread_cond_broadcast(&w->settle);
    pthread_mutex_unlock(&w->mutex);
}

/* One round: write what came, sync if it is due, settle.  False: the disk failed for good. */
static bool commit_round(struct wal *w, struct chunk *first, struct told *told, bool sync)
{
    uint64_t synced = atomic_load_explicit(&w->synced, memory_order_relaxed);
    int err = 0;

    w->why[0] = 0;
    if (first && w->written == synced)
        w->dirty_since_ms = clock_mono_ms();
    if (first)
        err = write_chunks(w, first);
    if (!err && sync_is_due(w, sync))
        err = sync_current(w);
    if (err && !overcome(w))
        return false;
    if (first)
        settle(w, told);
    forget_synced(w);
    return true;
}

void *wal_write_run(void *wal)
{
    struct wal *w = wal;
    struct told told = {0};
    bool stop = false, well = true;

    while (well && !stop) {
        pthread_mutex_lock(&w->mutex);
        while (!w->queue.first && !w->stop && !sync_is_due(w, false) && !seal_is_due(w))
            wait_for_work(w);
        stop = w->stop;
        bool sealing = seal_is_due(w);
        struct chunk *first = take_queue(w, &told);
        pthread_mutex_unlock(&w->mutex);
        well = commit_round(w, first, &told, stop || sealing);
        if (well && sealing)
            seal(w);
    }
    return NULL;
}
