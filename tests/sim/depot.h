/* The store of a simulated broker.  Its log stands on a disk in memory (sim_disk.h), its tables
 * in a folder of their own.
 *
 * The committer is a thread, and yet a run depends on its seed alone: it stops in front of
 * every sync of the log and goes on when depot_step() says so.  There is always a sync before
 * which it waits, so what is handed over meanwhile waits in memory, what came before stands
 * unsynced on the disk, and a power cut between two calls finds both. */
#ifndef TESTS_SIM_DEPOT_H
#define TESTS_SIM_DEPOT_H

#include <stdbool.h>
#include <stdint.h>

#include "fake_net.h"

struct depot;
struct store;

/* What a crash leaves of what was not synced. */
enum depot_loss {
    DEPOT_LOSE_ALL,    /* a power cut, and nothing of it had reached the disk */
    DEPOT_LOSE_NONE,   /* kill -9: the system still has it */
    DEPOT_LOSE_SOME,   /* a power cut, each sector by the dice */
    DEPOT_LOSE_NOTHING /* no crash: the store is closed in good order */
};

/* settled(arg, worker) as in struct store_conf: called while depot_step() or
 * depot_unattended() runs. */
struct depot *depot_new(const struct fake_clock *clock, void (*settled)(void *arg, unsigned worker),
                        void *arg);
/* Removes the folder. */
void depot_free(struct depot **d);

struct store *depot_open(struct depot *d);
/* Notes what a crash at this moment would leave; the next depot_open() finds that. */
void depot_cut(struct depot *d, enum depot_loss loss, uint64_t seed);
/* After depot_cut() the bytes that this still writes are nobody's. */
void depot_close(struct depot *d);
/* The machine was switched off for so long; its monotonic clock, if it was, began anew. */
void depot_pass(struct depot *d, uint64_t ms);
/* Wall clock, which goes on over restarts. */
uint64_t depot_wall_ms(const struct depot *d);
/* The fake clock was set to another value: no wall time has passed. */
void depot_clock_set(struct depot *d, uint64_t before_ms);

/* One sync, with all that follows up to the one before which the committer waits then. */
void depot_step(struct depot *d);
/* Calls fn, which may wait for the log, while the committer goes on by itself and nothing
 * fails; before and afterwards all has settled. */
void depot_unattended(struct depot *d, void (*fn)(void *arg), void *arg);
/* The next syncs, and the next write to the log, fail with that error. */
void depot_fault(struct depot *d, unsigned syncs, bool write, int error);
/* Writes to the log take at most so many bytes at a time; 0: all. */
void depot_short_writes(struct depot *d, unsigned bytes);

/* Finished segments into the tables.  With `cut`, the moment at which the tables have them and
 * the log has not freed them yet is noted as by depot_cut(); false: it did not come. */
bool depot_checkpoint(struct depot *d, bool cut, enum depot_loss loss, uint64_t seed);

#endif
