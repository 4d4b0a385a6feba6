/* Changes that are not committed yet, as readers and the writer of storage.c see them.
 *
 * In the order of coming for the writer, and by key for readers.  Not locked. */
#ifndef SKEP_HOST_STORAGE_QUEUE_H
#define SKEP_HOST_STORAGE_QUEUE_H

#include "base/str.h"
#include "host/storage.h"
#include "net/loop.h"

enum { STORAGE_BUCKETS = 4096, STORAGE_PREFIX = 8 };

struct change {
    struct change *next;                       /* queue */
    struct change *next_hashed, **hashed_link; /* newest first */
    struct loop_task task;                     /* the way back, if `done` */
    struct skep_module *module;                /* held, if `done` */
    struct host_place *place;
    void (*done)(void *arg, int error);
    void *arg;
    int error;
    char *name; /* of the instance, when its name is not in the file yet */
    bool deletes;
    size_t key_len; /* with the prefix */
    size_t value_len;
    char bytes[]; /* key, value */
};

struct storage_queue {
    struct change *first, **last;
    struct change *buckets[STORAGE_BUCKETS];
    uint64_t count, bytes;
};

void queue_init(struct storage_queue *q);
bool queue_has_room(const struct storage_queue *q, size_t bytes);
void queue_put(struct storage_queue *q, struct change *c);
/* The newest change of that key, or NULL. */
const struct change *queue_find(const struct storage_queue *q, struct str key);
/* It is committed, or has failed: readers see it no more. */
void queue_settle(struct storage_queue *q, struct change *c);

/* The bytes of the key of a module, in out: their length. */
size_t storage_key(const struct skep_module *m, struct skep_str key,
                   char out[STORAGE_PREFIX + STORAGE_KEY_MAX]);

#endif
