/* One file of the log: allocated and filled with zeros before its first use, so that syncing
 * it moves no metadata, and used again and again.
 *
 *     0     magic, version, salt, base lsn, sequence, size, checksum   (64 bytes)
 *     4096  records
 *
 * The header lies within one sector, which a disk writes whole or not at all.
 *
 * A file that holds records has a sequence; zero means free.  The log is the used segments in
 * the order of their sequences: each is read from its base to the base of the next.  A segment
 * is put to use only when all before its base is on the disk: its header proves as much.
 *
 * Functions that fail give one line in `why` where they take one. */
#ifndef SKEP_STORE_SEGMENT_H
#define SKEP_STORE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/disk.h"

enum { SEGMENT_HEAD = 4096, SEGMENT_VERSION = 2, SEGMENT_PATH_MAX = 4096 };

struct segment {
    struct disk *disk;
    int fd;
    unsigned slot; /* the file's number, part of its name */
    uint32_t salt;
    uint64_t sequence, base, size;
    uint64_t end; /* lsn behind the last record; known to the writer, or after reading */
    bool suspect; /* a write or sync failed here: what it holds stays, nothing is added */
    struct segment *next;
};

/* Room for records. */
static inline uint64_t segment_room(const struct segment *s)
{
    return s->size - SEGMENT_HEAD;
}

/* Where the record with this lsn stands in the file. */
static inline uint64_t segment_place(const struct segment *s, uint64_t lsn)
{
    return SEGMENT_HEAD + (lsn - s->base);
}

/* Makes a free one of `size` bytes under its name, complete and on the disk. */
int segment_create(struct segment **out, struct disk *disk, const char *dir, unsigned slot,
                   uint64_t size, char *why, size_t why_size);

/* ERR_DAMAGED: its header is; ERR_DENIED: another version's. */
int segment_open(struct segment **out, struct disk *disk, const char *dir, unsigned slot, char *why,
                 size_t why_size);

/* Closes the file. */
void segment_free(struct segment **s);

/* Closes and removes it. */
void segment_remove(struct segment **s, const char *dir);

/* Writes the header of a new use; not synced. */
int segment_use(struct segment *s, uint64_t sequence, uint64_t base);

/* "DIR/log-00012" */
void segment_path(char *path, size_t size, const char *dir, unsigned slot);

/* Opens all of a folder: used ones in order of sequence, then the free ones.  Leftovers of a
 * creation that was cut off are removed.  On error nothing is kept open. */
int segment_list(struct segment **out, struct disk *disk, const char *dir, char *why,
                 size_t why_size);
void segment_list_free(struct segment **list);

#endif
