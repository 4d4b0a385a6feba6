/* What stands in the log behind damage: records that are whole, but that nobody can apply, for what
 * is missing before them would be missing from them too.  For telling what a repair gives up. */
#ifndef SKEP_CTL_SALVAGE_H
#define SKEP_CTL_SALVAGE_H

#include <stdint.h>

#include "store/check.h"

struct salvage {
    uint64_t records[RECORD_TYPES]; /* whole ones, by type */
    uint64_t bytes;                 /* of log from the damage on, as far as it can be told */
    unsigned files;
};

/* Of a store that check_store() found damaged in its log.  0, or an error with `why`. */
int salvage_count(const char *dir, const struct check_report *report, struct salvage *out,
                  char *why, size_t why_size);

#endif
