/* Between storage.c (the file and its writer) and api_storage.c. */
#ifndef SKEP_HOST_STORAGE_IMPL_H
#define SKEP_HOST_STORAGE_IMPL_H

#include <lmdb.h>
#include <pthread.h>

#include "host/storage_queue.h"

struct host_storage {
    struct host *host;
    /* Opening, and the map's size: changed with nobody reading. */
    pthread_rwlock_t map;
    MDB_env *env; /* NULL: not asked for yet, or it could not be opened */
    MDB_dbi db;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work, idle;
    struct storage_queue queue;
    bool closing, running, busy;
    pthread_t thread;
    uint64_t changes, commits, failures;
};

/* Opens the file if need be.  0 with the map's lock for reading, or an error without. */
int storage_begin_reading(struct host_storage *s);
/* LMDB's error as the SDK tells it; errno is set. */
int storage_fault(int code);
/* With the lock.  0 also when it runs. */
int storage_start_writer(struct host_storage *s);

#endif
