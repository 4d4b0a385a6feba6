/* Checkpoints: finished segments into the tables, on a thread of its own that yields to the log
 * unless somebody waits for it. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "store/store_impl.h"

enum { RETRY_MS = 5000, CLOCK_CHECK_MS = 10000, NICE = 10 };

int store_read_stretch(struct replay *r, struct fold *f, unsigned most)
{
    int more = 1;

    for (unsigned i = 0; more > 0 && i < most; i++)
        more = replay_segment(r, fold_record, f);
    return more;
}

unsigned store_stretch(const struct store *s)
{
    uint64_t n = s->conf.checkpoint_bytes / s->conf.segment_bytes;
    return n ? (unsigned)n : 1;
}

int store_fold_fault(struct store *s, int err, char *why, size_t why_size)
{
    snprintf(why, why_size, "cannot write %s/state.mdb: %s", s->dir,
             *tables_why() ? tables_why() : err_text(err));
    return err;
}

void store_on_sealed(void *arg)
{
    struct store *s = arg;

    pthread_mutex_lock(&s->mutex);
    s->finished += s->conf.segment_bytes;
    if (s->finished >= s->conf.checkpoint_bytes)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->mutex);
}

/* Folds finished segments, as many as one checkpoint takes.  1: there may be more. */
static int checkpoint(struct store *s, char *why, size_t why_size)
{
    uint64_t from = atomic_load(&s->applied), to;
    struct segment *segments;
    struct replay r;
    int err = wal_finished(s->wal, from, store_stretch(s), &segments, &to, why, why_size);

    if (err || !segments)
        return err;
    struct fold *f = fold_new();
    err = replay_init(&r, segments, from, to);
    if (!err)
        err = store_read_stretch(&r, f, UINT32_MAX);
    if (err < 0)
        snprintf(why, why_size, "%s", r.why);
    else if ((err = fold_apply(f, s->tables, to, &s->pause_us)) < 0)
        store_fold_fault(s, err, why, why_size);
    replay_fini(&r);
    segment_list_free(&segments);
    fold_free(&f);
    if (err)
        return err;
    atomic_store(&s->applied, to);
    atomic_fetch_add(&s->checkpoints, 1);
    if (s->conf.checkpointed)
        s->conf.checkpointed(s->conf.arg, to);
    wal_trim(s->wal, to);
    return 1;
}

/* Mutex held. */
static bool due(const struct store *s)
{
    return s->finished >= s->conf.checkpoint_bytes || s->wanted > s->made;
}

/* Mutex held.  Until the time is over, or somebody wakes the thread. */
static void rest(struct store *s, unsigned ms)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + ms * 1000000ull;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(&s->wake, &s->mutex, &until);
}

/* Mutex held. */
static void idle(struct store *s)
{
    rest(s, s->conf.clock_check_ms ? s->conf.clock_check_ms : CLOCK_CHECK_MS);
    pthread_mutex_unlock(&s->mutex);
    wal_note_time(s->wal);
    pthread_mutex_lock(&s->mutex);
}

void *store_checkpoint_run(void *store)
{
    struct store *s = store;
    char why[STORE_WHY];

    setpriority(PRIO_PROCESS, 0, NICE); /* this thread alone, on Linux */
    pthread_mutex_lock(&s->mutex);
    while (!s->stop) {
        if (!due(s)) {
            idle(s);
            continue;
        }
        uint64_t wanted = s->wanted, taken = s->finished;
        atomic_store(&s->pause_us, wanted > s->made ? 0 : STORE_PAUSE_US);
        pthread_mutex_unlock(&s->mutex);
        int more = checkpoint(s, why, sizeof why);
        if (more < 0) {
            atomic_fetch_add(&s->failures, 1);
            log_limited(LOG_LEVEL_ERROR, "store", "no checkpoint: %s; the log grows", why);
        }
        pthread_mutex_lock(&s->mutex);
        if (more > 0)
            s->finished -= taken < s->conf.checkpoint_bytes ? taken : s->conf.checkpoint_bytes;
        if (more > 0 && wanted > s->made)
            continue;
        s->made = wanted;
        s->result = more < 0 ? more : 0;
        if (more < 0)
            snprintf(s->fault, sizeof s->fault, "%s", why);
        pthread_cond_broadcast(&s->done);
        if (more == 0)
            s->finished -= taken;
        if (more < 0 && !s->stop)
            rest(s, RETRY_MS);
    }
    s->made = UINT64_MAX;
    pthread_cond_broadcast(&s->done);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static int checkpoint_now(struct store *s, char *why, size_t why_size)
{
    pthread_mutex_lock(&s->mutex);
    uint64_t mine = ++s->wanted;
    atomic_store(&s->pause_us, 0);
    pthread_cond_signal(&s->wake);
    while (s->made < mine)
        pthread_cond_wait(&s->done, &s->mutex);
    int err = s->result;
    if (err)
        snprintf(why, why_size, "%s", s->fault);
    pthread_mutex_unlock(&s->mutex);
    return err;
}

int store_checkpoint(struct store *s)
{
    char why[STORE_WHY];
    return checkpoint_now(s, why, sizeof why);
}

int store_fold(struct store *s, uint64_t lsn, char *why, size_t why_size)
{
    int err;

    if (atomic_load(&s->applied) >= lsn)
        return 0;
    if ((err = wal_seal(s->wal, lsn, why, why_size)) < 0 ||
        (err = checkpoint_now(s, why, why_size)) < 0)
        return err;
    if (atomic_load(&s->applied) >= lsn)
        return 0;
    snprintf(why, why_size, "the store is being closed");
    return ERR_CLOSED;
}
