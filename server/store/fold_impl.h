/* Shared by fold.c (records in), fold_apply.c (changes out) and fold_queue.c (of queues). */
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

/* A fold on its way into the tables. */
struct applying {
    struct fold *fold;
    struct tables_txn *txn;
    const _Atomic unsigned *pause_us;
    unsigned changes;
    int64_t marks;  /* so many QUEUE_DONE more than before */
    uint8_t *value; /* scratch */
    size_t value_cap;
};

/* -- fold_queue.c -- */

struct table_key fold_number_key(uint64_t number);

/* Puts a message that several entries share, with their number. */
int fold_message_store(struct applying *a, struct fold_message *m);
/* One entry fewer has it. */
int fold_message_unref(struct applying *a, uint64_t lsn);

/* Of an entry's value: an enum queue_kind; the message it shares, or 0. */
unsigned fold_queue_kind(struct str value);
uint64_t fold_shared_message(struct str value);

/* Nothing for one of a session that has ended or never was. */
int fold_entry_apply(struct applying *a, struct fold_entry *e);

#endif
