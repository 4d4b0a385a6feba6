/* Shared by fold.c (records in) and fold_apply.c (changes out). */
#ifndef SKEP_STORE_FOLD_IMPL_H
#define SKEP_STORE_FOLD_IMPL_H

#include "base/arena.h"
#include "store/fold.h"

/* A message as the log has it. */
struct fold_message {
    uint64_t lsn;
    struct str bytes; /* as record_message_put() made it */
    uint32_t refs;    /* entries of this fold that hold it */
    bool stored;      /* in this transaction */
};

struct fold_session {
    struct fold_session *chain;
    uint64_t number;
    uint64_t tail;
    bool begun; /* a SESSION record is in this stretch */
    bool ended;
    /* While applying: */
    bool known;     /* begun, or in the tables */
    int64_t queued; /* so many entries more than before */
};

/* One queue entry. */
struct fold_entry {
    struct fold_entry *chain;
    struct fold_session *session;
    uint64_t counter;
    struct fold_message *message; /* NULL: it came before this stretch, or is yet to come */
    struct record_target target;
    bool done, released;
    bool over; /* done, and its message is in this stretch too: only marks may be left of it */
};

/* Any other key: put, or delete where value.ptr is NULL. */
struct fold_change {
    struct fold_change *chain;
    struct fold_session *session; /* NULL: of none */
    enum table table;
    struct str key, value;
};

struct fold_map {
    void **buckets;
    size_t count, cap;
};

struct fold {
    struct arena arena;
    struct fold_map sessions, entries, changes;
    struct fold_entry *free_entries;
    uint64_t last_number;
    struct moment moment; /* the newest COMMIT's */
    struct fold_stats stats;
};

#endif
