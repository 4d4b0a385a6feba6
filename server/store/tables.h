/* What a checkpoint leaves: sorted tables in LMDB, every value with a checksum over its table,
 * key and bytes.
 *
 *     sessions   number, part             -> see fold.h
 *     subs       number, filter           -> identifier, options, filter
 *     received   number, packet id        -> nothing
 *     queue      number, counter          -> state, message or its place
 *     messages   lsn, 0 | lsn, 1          -> message | how many queue entries share it
 *     retained   topic                    -> message
 *     meta       name                     -> number
 *
 * Numbers in keys are big-endian, so that they sort.  A filter or topic longer than a key may
 * be is represented by its SHA-256 (the value has it whole).
 *
 * One writing transaction at a time; reading ones see the tables as they were when they began.
 * Errors: ERR_NOT_FOUND, ERR_DAMAGED, ERR_SYSTEM; ERR_AGAIN when a transaction has outgrown the
 * map: it was aborted, the map was enlarged, begin anew.  tables_why() has the words for the thread
 * that it happened to. */
#ifndef SKEP_STORE_TABLES_H
#define SKEP_STORE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "store/moment.h"

enum table {
    TABLE_META,
    TABLE_SESSIONS,
    TABLE_SUBS,
    TABLE_RECEIVED,
    TABLE_QUEUE,
    TABLE_MESSAGES,
    TABLE_RETAINED,
    TABLES
};

#define TABLES_META_BACKUP "backup" /* 1: there need be no log beside these tables */

enum { TABLES_VERSION = 2, TABLES_KEY_MAX = 500, TABLES_MAP_FIRST = 256 << 20 };

struct tables;
struct tables_txn;

/* path: a file, made if it is not there.  ERR_DENIED: another version's. */
int tables_open(struct tables **out, const char *path, size_t map_bytes, char *why,
                size_t why_size);
void tables_close(struct tables **t);
/* "" when the last transaction that this thread began had no error of LMDB's or the checksums'. */
const char *tables_why(void);

/* Ended by exactly one of commit and abort.  A reading one may be used by one thread. */
int tables_begin(struct tables *t, bool writing, struct tables_txn **out);
int tables_commit(struct tables_txn **txn);
void tables_abort(struct tables_txn **txn);

/* *value is valid until the transaction next writes or ends. */
int tables_get(struct tables_txn *txn, enum table table, struct str key, struct str *value);
int tables_put(struct tables_txn *txn, enum table table, struct str key, struct str value);
/* ERR_EXISTS, with what is there in *there, instead of replacing it. */
int tables_add(struct tables_txn *txn, enum table table, struct str key, struct str value,
               struct str *there);
/* No error when it was not there. */
int tables_delete(struct tables_txn *txn, enum table table, struct str key);

/* Calls each for every key that begins with prefix, in order; a result but 0 ends the walk and is
 * returned.  *remove (false at first): set it to delete this one. */
typedef int tables_each_fn(void *arg, struct str key, struct str value, bool *remove);
int tables_each(struct tables_txn *txn, enum table table, struct str prefix, tables_each_fn *each,
                void *arg);
/* The same, but only from the key `from`, which begins with prefix, on. */
int tables_each_from(struct tables_txn *txn, enum table table, struct str prefix, struct str from,
                     tables_each_fn *each, void *arg);

/* Numbers by name; 0 when there is none. */
int tables_meta_get(struct tables_txn *txn, const char *name, uint64_t *value);
int tables_meta_put(struct tables_txn *txn, const char *name, uint64_t value);
/* In a transaction of its own. */
int tables_meta_set(struct tables *t, const char *name, uint64_t value);
/* The newest moment that is known of the store. */
int tables_moment_get(struct tables_txn *txn, struct moment *moment);
int tables_moment_put(struct tables_txn *txn, struct moment moment);

/* A consistent, compact copy to a file that must not exist, while others read and write. */
int tables_copy(struct tables *t, const char *path);

/* -- Keys -- */

struct table_key {
    uint8_t bytes[TABLES_KEY_MAX];
    size_t len;
};

static inline struct str key_str(const struct table_key *k)
{
    return (struct str){(const char *)k->bytes, k->len};
}

void key_u64(struct table_key *k, uint64_t v);
void key_u16(struct table_key *k, uint16_t v);
void key_u8(struct table_key *k, uint8_t v);
/* Behind at most one number. */
void key_text(struct table_key *k, struct str text);
uint64_t key_get_u64(struct str key, size_t at);

#endif
