/* Segments made ahead of need, on a thread of its own: so that the committer never waits for
 * an allocation, and a full disk is noticed while there is still room to write. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "store/wal_impl.h"

static struct segment *pop(struct wal *w)
{
    struct segment *s = w->free;

    if (s) {
        w->free = s->next;
        s->next = NULL;
        w->free_count--;
    }
    return s;
}

static void push(struct wal *w, struct segment *s)
{
    s->next = w->free;
    w->free = s;
    w->free_count++;
}

/* An oversized record gets a segment of its own size. */
static int make(struct wal *w, uint64_t least, struct segment **out, char *why, size_t why_size)
{
    uint64_t size = w->conf.segment_bytes;

    while (size - SEGMENT_HEAD < least)
        size += w->conf.segment_bytes;
    pthread_mutex_lock(&w->mutex);
    unsigned slot = w->next_slot++;
    pthread_mutex_unlock(&w->mutex);
    return segment_create(out, w->conf.disk, w->dir, slot, size, why, why_size);
}

int wal_space_take(struct wal *w, uint64_t least, struct segment **out)
{
    pthread_mutex_lock(&w->mutex);
    *out = least <= w->conf.segment_bytes - SEGMENT_HEAD ? pop(w) : NULL;
    pthread_cond_signal(&w->space);
    pthread_mutex_unlock(&w->mutex);
    return *out ? 0 : make(w, least, out, w->why, sizeof w->why);
}

void wal_space_give(struct wal *w, struct segment *s)
{
    if (s->suspect || s->size != w->conf.segment_bytes || w->free_count >= WAL_FREE_MAX)
        segment_remove(&s, w->dir);
    else
        push(w, s);
}

static void wait_a_while(struct wal *w)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec++;
    pthread_cond_timedwait(&w->space, &w->mutex, &until);
}

void *wal_space_run(void *wal)
{
    struct wal *w = wal;
    char why[WAL_WHY];

    pthread_mutex_lock(&w->mutex);
    while (!w->maker_stop) {
        struct segment *s = NULL;
        if (w->free_count >= WAL_SPARE) {
            pthread_cond_wait(&w->space, &w->mutex);
            continue;
        }
        pthread_mutex_unlock(&w->mutex);
        int err = make(w, 0, &s, why, sizeof why);
        if (err)
            log_limited(LOG_LEVEL_ERROR, "store", "%s; the log has no file in reserve", why);
        pthread_mutex_lock(&w->mutex);
        if (!err)
            push(w, s);
        else if (!w->maker_stop)
            wait_a_while(w);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}
