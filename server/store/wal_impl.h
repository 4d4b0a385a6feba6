/* Shared by the files of the log: wal.c (the calls), wal_write.c (the committer), wal_space.c
 * (segments made ahead). */
#ifndef SKEP_STORE_WAL_IMPL_H
#define SKEP_STORE_WAL_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/wal.h"

enum {
    WAL_SPARE = 2,    /* segments kept ready */
    WAL_FREE_MAX = 8, /* more than this are removed */
    WAL_CHUNKS_KEPT = 64,
    WAL_CHUNK_KEPT_MAX = 1 << 20,
    WAL_WHY = 512,
    WAL_JUMP_MS = 1000, /* the wall clock may gain or lose so much unnoted */
    COMMIT_BODY = 24,
    COMMIT_SIZE = RECORD_HEAD + COMMIT_BODY,
};

/* A batch that was handed over. */
struct chunk {
    struct chunk *next;
    uint64_t lsn; /* of its first record */
    uint8_t *bytes;
    size_t len, cap;
    unsigned worker;
    bool commit; /* the COMMIT that leads a write: filled in when it is written */
};

struct chunks {
    struct chunk *first, **last;
};

struct wal {
    struct wal_conf conf;
    char *dir;

    pthread_mutex_t mutex;
    pthread_cond_t work;   /* the committer's: something came, or the end */
    pthread_cond_t settle; /* wal_wait()'s and wal_seal()'s */
    pthread_cond_t space;  /* the maker's: a segment was taken, or the end */
    pthread_t committer, maker;

    /* Guarded by mutex. */
    struct chunks queue;
    struct chunk *free_chunks;
    unsigned free_chunk_count;
    uint64_t end;
    uint64_t pending_bytes;
    struct segment *free; /* ready for use */
    unsigned free_count;
    struct segment *finished, **finished_last;
    unsigned next_slot;
    uint64_t next_sequence;
    uint64_t seal_to;       /* everything before this is wanted in finished segments */
    uint64_t seal_failures; /* so often that could not be done */
    char fault[WAL_WHY];    /* why the log refuses, or could not */
    bool stop, maker_stop;

    /* The committer's.  `current` is also read by others, under the mutex. */
    struct segment *current;
    struct chunks unsynced; /* written or not, but not known to be on the disk */
    uint64_t written;       /* lsn behind what was written */
    uint64_t dirty_since_ms;
    char why[WAL_WHY];

    _Atomic uint64_t settled, synced;
    _Atomic uint64_t writes, syncs, failures;
    _Atomic bool refuses;
    _Atomic bool current_stands; /* the header of `current` has been synced */
    _Atomic int64_t noted_ms;    /* wall clock minus store time in the newest COMMIT */
};

/* -- wal_space.c -- */

/* A free segment with room for `least` bytes of records, made on the spot if none is ready.
 * w->why on failure.  Committer. */
int wal_space_take(struct wal *w, uint64_t least, struct segment **out);
/* A finished one that nobody needs.  Mutex held. */
void wal_space_give(struct wal *w, struct segment *s);
void *wal_space_run(void *wal);

/* -- wal_write.c -- */

void *wal_write_run(void *wal);
/* Puts a segment to use for records from `base` on. */
int wal_write_begin_segment(struct wal *w, uint64_t base, uint64_t least);

#endif
