/* A store being made beside its place: DIR.importing, which becomes DIR in one step when it is
 * complete and on the disk.  Until then there is no DIR, and on failure nothing at all.
 * One thread. */
#ifndef SKEP_CTL_BUILDING_H
#define SKEP_CTL_BUILDING_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/fault.h"
#include "store/disk.h"
#include "store/tables.h"

struct building {
    char dir[PATH_MAX], path[PATH_MAX + 16]; /* where it will be, and where it is made */
    struct disk *disk;
    int lock_fd;
    struct tables *tables; /* to be filled; whoever fills them ends their transactions first */
};

/* DIR must not be there, or be an empty folder.  What an import that was killed has left is
 * removed.  map_bytes: more than the tables will be large.  disk: NULL is the system's.
 * 0, or -1 with fault. */
int building_begin(struct building *b, const char *dir, struct disk *disk, size_t map_bytes,
                   struct fault *fault);

/* Adds an empty log that begins at `lsn`, has all of it checked as a start would, and moves it to
 * its place.  0, or -1 with fault and nothing left. */
int building_finish(struct building *b, uint64_t lsn, struct fault *fault);

/* Leaves nothing behind.  Nothing to do after finish. */
void building_abort(struct building *b);

#endif
