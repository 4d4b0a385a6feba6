/* Durable state: the log (wal.h), what checkpoints leave of it (tables.h), and the start that
 * puts the two together.
 *
 *     store_open()    lock, replay what no checkpoint has, a fresh segment
 *     store_load()    everything to the layer above, before there is any traffic
 *     store_submit()  from then on, by every worker at the end of its turn
 *     store_close()
 *
 * See docs/adr/0005-the-log.md for what waits for store_settled(). */
#ifndef SKEP_STORE_STORE_H
#define SKEP_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/batch.h"
#include "store/load.h"
#include "store/wal.h"

enum { STORE_CHECKPOINT_BYTES = 64 << 20, STORE_PAUSE_US = 500 };

struct store_conf {
    const char *dir;   /* made if it is not there, 0700 */
    struct disk *disk; /* NULL: the system's */
    enum wal_sync sync;
    unsigned interval_ms;
    /* 0: what is usual. */
    uint64_t segment_bytes, checkpoint_bytes;
    size_t map_bytes;
    unsigned retry_ms;
    const struct store_clock *clock; /* NULL: the system's */
    unsigned clock_check_ms;         /* how often to look for jumps of its wall side; 0: 10 s */
    bool keep_log;                   /* store_close() leaves all folding to the next start */
    /* As in struct wal_conf; any may be NULL. */
    void (*settled)(void *arg, unsigned worker);
    void (*refusing)(void *arg, const char *why);
    /* A checkpoint is done, up to that lsn; the log before it goes next.  Checkpoint thread. */
    void (*checkpointed)(void *arg, uint64_t applied);
    void *arg;
};

struct store;

/* ERR_EXISTS: another process has it.  ERR_DAMAGED, ERR_DENIED, ERR_SYSTEM: `why` says what,
 * where, and what to do.  What was cut off a torn end is logged. */
int store_open(struct store **out, const struct store_conf *conf, char *why, size_t why_size);

/* Everything there was at the start.  Before the first store_submit(). */
int store_load(struct store *s, const struct loader *loader, char *why, size_t why_size);

/* Commits what was handed over and folds the log, for about two seconds at most, so that the
 * next start is a short one.  ERR_SYSTEM when the disk does not take what was handed over. */
int store_close(struct store **s);

/* Store time (moment.h) is clock_mono_ms() plus this, which is constant while the store is open
 * and may be negative.  Any thread. */
int64_t store_clock_offset_ms(const struct store *s);

/* A number for a new session.  Any thread. */
uint64_t store_number(struct store *s);

/* See wal.h for these. */
uint64_t store_submit(struct store *s, unsigned worker, struct batch *b);
uint64_t store_settled(const struct store *s);
bool store_refusing(const struct store *s);
void store_wait(struct store *s, uint64_t lsn);

/* Returns when the tables have everything before `lsn`, which store_submit() returned: waits
 * until it is synced, finishes the log's current segment if need be, and folds.  ERR_SYSTEM with
 * a line in `why` when the log refuses or the tables cannot be written.  Blocks, perhaps for
 * seconds: for reader and control threads, never for a loop. */
int store_fold(struct store *s, uint64_t lsn, char *why, size_t why_size);

/* Makes `dir`, which must be empty if it exists, a store of its own (store_open) with everything
 * that was handed over before the call, while all goes on.  Complete and on the disk on return;
 * on error nothing of it is left.  ERR_EXISTS, ERR_SYSTEM, with a line in `why`.  Blocks for as
 * long as copying takes; any thread but a loop's. */
int store_backup(struct store *s, const char *dir, char *why, size_t why_size);

/* A part of one session's queue as the last checkpoint left it (store_fold() for what is newer),
 * in order from counter `from` on: at most `most` entries, and none behind the one with which
 * `most_bytes` of payload are reached.  What has been acknowledged since is still there.  Views
 * live until the callback returns; its result but 0 ends the read, a negative one is returned.
 * *next: the counter behind the last entry given, or `from` when there was none.  Blocks, for
 * the disk; any thread but a loop's.  ERR_DAMAGED, ERR_SYSTEM: logged. */
int store_queue_read(struct store *s, uint64_t session, uint64_t from, uint32_t most,
                     size_t most_bytes, int (*entry)(void *arg, const struct load_entry *e),
                     void *arg, uint64_t *next);

/* Folds the segments that are finished already, and waits for it.  For tools and tests. */
int store_checkpoint(struct store *s);

struct store_stats {
    struct wal_stats log;
    uint64_t applied; /* checkpointed up to this lsn */
    uint64_t checkpoints, checkpoint_failures;
    uint64_t replayed;   /* records, at the start */
    uint64_t torn_bytes; /* cut off at the start */
};
struct store_stats store_stats(struct store *s);

/* For backups and tests: see tables_copy(). */
struct tables *store_tables(struct store *s);

#endif
