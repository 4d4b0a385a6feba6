/* Looking a store over, and cutting damage out of it; for tools, with no broker running.
 *
 * Both take the store's lock: ERR_EXISTS when a process has it open. */
#ifndef SKEP_STORE_CHECK_H
#define SKEP_STORE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/disk.h"
#include "store/record.h"
#include "store/tables.h"

struct check_report {
    uint64_t applied, end;          /* lsn: what the tables have, where the log ends */
    uint64_t records[RECORD_TYPES]; /* in the log behind `applied`, by type */
    uint64_t values[TABLES];        /* in the tables, each with its checksum verified */
    uint64_t torn_bytes;            /* of a write that was cut off; a start drops them */
    bool log_damaged, tables_damaged;
    unsigned slot;  /* the damaged log file, */
    uint64_t place; /* and the byte in it */
};

/* Reads everything, changes nothing.  0: a broker would start; ERR_DAMAGED with the words in
 * `why` and the place in the report; other errors: it could not be looked at. */
int check_store(const char *dir, struct disk *disk, struct check_report *out, char *why,
                size_t why_size);

/* Cuts the log at its damage: what comes before is kept, every log file from there on is
 * copied to DIR/damaged-LSN-NNNNN first.  0 with *cut false when there is nothing to repair.
 * Damage in the tables is not for this: that takes a backup. */
int check_repair(const char *dir, struct disk *disk, bool *cut, char *why, size_t why_size);

#endif
