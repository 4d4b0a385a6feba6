/* Reading the log from the disk, record by record, and judging how it ends.
 *
 * A record that is not there, or damaged, is one of two things:
 *   - the end: a write that was cut off.  Nothing of it was ever acknowledged, whatever parts
 *     of it the disk kept.  It is cut and reported.
 *     Of a chain (RECORD_MORE) that is not all there, everything is cut.
 *   - damage: something behind it proves that it had been synced: a later segment's base, or
 *     a COMMIT record that says so.  Reading stops with ERR_DAMAGED and words.
 *
 * One thread.  Views handed out live until replay_forget() or replay_fini(). */
#ifndef SKEP_STORE_REPLAY_H
#define SKEP_STORE_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/record.h"
#include "store/segment.h"

enum { REPLAY_WHY = 512 };

struct replay {
    struct segment *at; /* the next to be read; borrowed */
    uint64_t lsn;       /* the next record's */
    uint64_t to;        /* where the log is known to end; UINT64_MAX: where it is found to */
    uint64_t records;
    /* After the end was found: what was cut off, if anything. */
    uint64_t torn_bytes;
    unsigned torn_slot;
    uint64_t torn_place;
    /* After ERR_DAMAGED: the same of the damage. */
    unsigned damaged_slot;
    uint64_t damaged_place;
    char why[REPLAY_WHY];
    struct replay_bytes *kept;
};

/* Returns 0 to go on, or an error that ends the replay.  Chains are handed out whole. */
typedef int replay_fn(void *arg, const struct record *r, const struct record_body *body);

/* `segments` as segment_list() gives them; those before the one with `from` are passed by.
 * ERR_DAMAGED when none has it. */
int replay_init(struct replay *r, struct segment *segments, uint64_t from, uint64_t to);

/* Reads one segment.  1: there is more; 0: that was the end; or an error with r->why set. */
int replay_segment(struct replay *r, replay_fn *fn, void *arg);

/* Gives back what has been read so far. */
void replay_forget(struct replay *r);
void replay_fini(struct replay *r);

#endif
