#include "front/storage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/qsbr.h"
#include "core/broker.h"
#include "core/restore.h"
#include "front/backup.h"
#include "front/desk.h"
#include "store/store.h"

enum { SEGMENTS_LEAST = 4 /* of the log to a checkpoint */ };

struct storage {
    struct store *store;
    struct desk **desks;
    enum wal_sync sync;
    struct backups *backups;
    pthread_mutex_t mutex; /* of: */
    char refusal[SERVER_WHY];
};

/* -- Called on the committer's thread -- */

static void on_settled(void *storage, unsigned worker)
{
    struct storage *s = storage;

    desk_settled(s->desks[worker]);
}

static void on_refusing(void *storage, const char *why)
{
    struct storage *s = storage;

    pthread_mutex_lock(&s->mutex);
    snprintf(s->refusal, sizeof s->refusal, "%s", why ? why : "");
    pthread_mutex_unlock(&s->mutex);
    if (why)
        log_error("store",
                  "the disk takes nothing: %s; what must survive is refused, all else goes on",
                  why);
    else
        log_info("store", "the disk works again: everything is accepted");
}

/* -- Life -- */

/* On the first desk's worker, whose thread does not run yet. */
static int take_up(struct storage *s, char *why, size_t why_size)
{
    struct worker *w = s->desks[0]->w;
    uint64_t begun = clock_mono_ms();
    struct restore_stats stats;

    qsbr_online(w->slot);
    worker_turn_begin(w, begun);
    int err = restore_run(w, s->store, &stats, why, why_size);
    worker_turn_over(w);
    qsbr_quiescent(w->slot);
    qsbr_offline(w->slot);
    if (!err)
        log_info("store",
                 "%llu sessions with %llu subscriptions and %llu messages, %llu retained messages, "
                 "in %llu ms",
                 (unsigned long long)stats.sessions, (unsigned long long)stats.subscriptions,
                 (unsigned long long)stats.messages, (unsigned long long)stats.retained,
                 (unsigned long long)(clock_mono_ms() - begun));
    return err;
}

int storage_open(struct storage **out, const struct server_conf *conf, struct broker *broker,
                 struct desk **desks, char *why, size_t why_size)
{
    struct storage *s = xcalloc(1, sizeof *s);
    struct store_conf store = {.dir = conf->store_dir,
                               .sync = conf->sync,
                               .interval_ms = conf->sync_interval_ms,
                               .checkpoint_bytes = conf->checkpoint_bytes,
                               .settled = on_settled,
                               .refusing = on_refusing,
                               .arg = s};
    int err;

    *out = s;
    s->desks = desks;
    s->sync = conf->sync;
    pthread_mutex_init(&s->mutex, NULL);
    if (conf->checkpoint_bytes && conf->checkpoint_bytes / SEGMENTS_LEAST < WAL_SEGMENT_BYTES)
        store.segment_bytes = conf->checkpoint_bytes / SEGMENTS_LEAST;
    if ((err = store_open(&s->store, &store, why, why_size)) < 0)
        return err;
    s->backups = backups_new(s->store);
    broker->store_offset_ms = store_clock_offset_ms(s->store);
    if ((err = take_up(s, why, why_size)) < 0)
        return err;
    for (unsigned i = 0; i < conf->threads; i++)
        desks[i]->w->journal.store = s->store;
    journal_submit(desks[0]->w); /* before another loop can say more of the same sessions */
    return 0;
}

void storage_close(struct storage **storage)
{
    struct storage *s = *storage;

    if (!s)
        return;
    backups_free(&s->backups);
    if (store_close(&s->store) < 0)
        log_error("store",
                  "the log could not be written to its end: what the disk refused is lost, "
                  "none of it was acknowledged");
    pthread_mutex_destroy(&s->mutex);
    free(s);
    *storage = NULL;
}

struct store *storage_store(struct storage *s)
{
    return s->store;
}

struct backups *storage_backups(struct storage *s)
{
    return s->backups;
}

/* -- Figures -- */

void storage_stats(struct storage *s, struct server_store_stats *out)
{
    struct store_stats st = store_stats(s->store);

    *out = (struct server_store_stats){
        .on = true,
        .sync = s->sync,
        .log_bytes = st.log.end - st.applied,
        .unsettled_bytes = st.log.end - st.log.settled,
        .unsynced_bytes = st.log.pending_bytes,
        .segments = st.log.used,
        .spare_segments = st.log.free,
        .checkpoints = st.checkpoints,
        .checkpoint_failures = st.checkpoint_failures,
        .syncs = st.log.syncs,
        .write_failures = st.log.failures,
        .refusing = store_refusing(s->store),
    };
    pthread_mutex_lock(&s->mutex);
    snprintf(out->why, sizeof out->why, "%s", s->refusal);
    pthread_mutex_unlock(&s->mutex);
}
