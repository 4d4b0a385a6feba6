/* Keys and values of modules, in DATA_DIR/modules/storage.mdb (LMDB).
 *
 * A key stands there behind 8 bytes that belong to its instance's name; behind 8 zero bytes the
 * names themselves are kept, for whoever looks into the file.  Changes queue for one thread, which
 * commits what has come together in one transaction, synced.  A reader first looks into what is
 * queued, newest first, then into the file: whoever is taken out of the queue has been committed.
 *
 * The file is made when the first module asks for it. */
#ifndef SKEP_HOST_STORAGE_H
#define SKEP_HOST_STORAGE_H

#include <skep/storage.h>

#include "host/instance.h"

enum {
    STORAGE_KEY_MAX = 500,
    STORAGE_VALUE_MAX = 16 << 20,
    STORAGE_QUEUE_MAX = 65536,          /* changes */
    STORAGE_QUEUE_BYTES_MAX = 64 << 20, /* and their keys and values */
};

struct host_storage *storage_new(struct host *h);
/* Waits until what is queued is committed and told.  Loops must still be there; afterwards changes
 * are taken only without a `done`. */
void storage_flush(struct host_storage *s);
/* Commits what is queued.  NULL is fine. */
void storage_free(struct host_storage **s);

struct storage_stats {
    bool open; /* false: nothing else means anything */
    uint64_t queued, queued_bytes;
    uint64_t changes, commits, failures; /* since the start; failures: of changes */
    uint64_t file_bytes;                 /* pages in use */
};
void storage_stats_now(struct host *h, struct storage_stats *out);

#endif
