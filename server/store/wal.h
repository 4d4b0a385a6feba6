/* The log being written: batches of many workers, one committer, one sync for all that
 * arrived during the last one.
 *
 *     worker --wal_submit()--> queue --committer: one write, one fdatasync--> wal_settled()
 *
 * A worker hands over its batch once a turn (a mutex held for some pointers, no copy) and gets
 * the lsn of its end: what depends on those records may be acknowledged once wal_settled() has
 * reached it.  Order is kept within a worker, and between workers where one submits before it
 * lets another see what it did.
 *
 * When the disk fails, nothing that was not synced is trusted: it stays in memory and is
 * written again to a fresh segment.  While that fails too the log is refusing: what is handed
 * over is kept and settles when the disk comes back, but the layer above should take on
 * no new durable work meanwhile (wal_refusing), for it is memory that holds it.
 *
 * wal_submit, replay (store/replay.h) and wal_trim are the seam at which a cluster puts
 * another log. */
#ifndef SKEP_STORE_WAL_H
#define SKEP_STORE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/batch.h"
#include "store/disk.h"
#include "store/moment.h"
#include "store/segment.h"

enum wal_sync {
    WAL_SYNC_ALWAYS,   /* settled: survives a power cut */
    WAL_SYNC_INTERVAL, /* settled: survives the end of the process; synced every interval_ms */
    WAL_SYNC_NONE,     /* the same; synced when a segment is full and at the end */
};

enum { WAL_WORKERS_MAX = 256, WAL_SEGMENT_BYTES = 16 << 20, WAL_SEGMENT_LEAST = 64 << 10 };

struct wal_conf {
    struct disk *disk;
    const char *dir;
    uint64_t segment_bytes;
    enum wal_sync sync;
    unsigned interval_ms;
    unsigned retry_ms;               /* between attempts while refusing; 0: a second */
    const struct store_clock *clock; /* for COMMIT; NULL: the system's */
    int64_t clock_offset_ms;         /* from its monotonic side to store time */
    /* Something of this worker's has settled: called on the committer's thread, after
     * wal_settled() says so.  Post it and return. */
    void (*settled)(void *arg, unsigned worker);
    /* The log began to refuse (why: one line), or works again (NULL).  Committer's thread. */
    void (*refusing)(void *arg, const char *why);
    /* A segment was finished: a checkpoint may want it.  Committer's thread. */
    void (*sealed)(void *arg);
    void *arg;
};

struct wal;

/* Goes on behind `lsn`, the end that recovery found.  Takes over the list of segments: used
 * ones are kept until wal_trim().  The first segment is in use and synced on return. */
int wal_open(struct wal **out, const struct wal_conf *conf, struct segment **segments, uint64_t lsn,
             char *why, size_t why_size);

/* Writes and syncs what was handed over, unless the disk refuses; then ERR_SYSTEM. */
int wal_close(struct wal **w);

/* Hands the batch over and leaves it empty (with another's memory).  An empty batch returns
 * the end of what was handed over last by anybody.  Any thread; one at a time for each batch.
 * What batch_join() began must be complete. */
uint64_t wal_submit(struct wal *w, unsigned worker, struct batch *b);

/* Everything before this may be acknowledged.  Any thread, no lock. */
uint64_t wal_settled(const struct wal *w);
/* Everything before this is on the disk. */
uint64_t wal_synced(const struct wal *w);
bool wal_refusing(const struct wal *w);

/* Writes a COMMIT if the wall clock has jumped since the last: a start after a crash would take
 * the jump for time that passed.  To be called every few seconds; any thread. */
void wal_note_time(struct wal *w);

/* Waits until `lsn` has settled.  For tools and tests; a loop never waits. */
void wal_wait(struct wal *w, uint64_t lsn);

struct wal_stats {
    uint64_t end; /* lsn of the next record */
    uint64_t settled, synced;
    uint64_t writes, syncs, failures;
    uint64_t pending_bytes; /* handed over and not synced: in memory */
    uint64_t kept_bytes;    /* in segments that a checkpoint has not freed yet */
    unsigned used, free;    /* segments */
};
struct wal_stats wal_stats(struct wal *w);

/* -- For the checkpoint -- */

/* Copies of the finished segments that end behind `from`, oldest first, on their own
 * descriptors; at most `most`.  *to is where they end.  Free with segment_list_free(). */
int wal_finished(struct wal *w, uint64_t from, unsigned most, struct segment **out, uint64_t *to,
                 char *why, size_t why_size);

/* Returns when everything before `lsn` stands in finished segments; ends the current one early
 * for that.  ERR_SYSTEM with a line in `why`: the log refuses, or has no file to go on in.
 * Blocks; any thread but the committer's. */
int wal_seal(struct wal *w, uint64_t lsn, char *why, size_t why_size);

/* Nothing before `lsn` is needed any more: finished segments that end there are used again. */
void wal_trim(struct wal *w, uint64_t lsn);

#endif
