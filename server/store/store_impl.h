/* Shared by the files of the store: store.c (the calls), store_start.c (lock and recovery),
 * store_checkpoint.c (the log into the tables). */
#ifndef SKEP_STORE_STORE_IMPL_H
#define SKEP_STORE_STORE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/fold.h"
#include "store/replay.h"
#include "store/store.h"

enum { STORE_PATH = 4096, STORE_WHY = 512 };

#define STORE_PART "state.mdb.part" /* a backup that is not complete */

struct store {
    struct store_conf conf;
    char *dir;
    int lock_fd;
    struct tables *tables;
    struct wal *wal;
    _Atomic uint64_t last_number;
    uint64_t replayed, torn_bytes;
    int64_t clock_offset_ms;

    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    /* Guarded by mutex. */
    bool stop;
    uint64_t finished;     /* bytes of segments finished and not yet folded */
    uint64_t wanted, made; /* checkpoints asked for, and made since */
    int result;            /* of the last one, */
    char fault[STORE_WHY]; /* and its words if it failed */
    _Atomic uint64_t applied, checkpoints, failures;
    _Atomic unsigned pause_us; /* of a checkpoint that nobody waits for */
};

/* What the tables know beside sessions and messages. */
struct meta {
    uint64_t applied;
    uint64_t backup; /* 1: a backup that was not a store yet: there is no log beside it */
    struct moment moment;
};

/* -- store_start.c -- */

int store_lock(struct store *s, char *why, size_t why_size);

/* The whole log into the tables.  *segments are its files, *meta what the tables know then. */
int store_catch_up(struct store *s, struct segment **segments, struct meta *meta, char *why,
                   size_t why_size);

/* The rest of the log into the tables, or as much as there is time for; the log is closed. */
void store_fold_rest(struct store *s);

/* -- store_checkpoint.c -- */

/* So many segments are folded at a time. */
unsigned store_stretch(const struct store *s);
/* Reads at most so many; as replay_segment(). */
int store_read_stretch(struct replay *r, struct fold *f, unsigned most);
/* Gives err back, with words. */
int store_fold_fault(struct store *s, int err, char *why, size_t why_size);

/* wal_conf.sealed */
void store_on_sealed(void *store);
/* The checkpoint thread. */
void *store_checkpoint_run(void *store);

#endif
