/* A session's queue as the tables hold it: entries in the order of their counters. */
#ifndef SKEP_STORE_QUEUE_H
#define SKEP_STORE_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "store/load.h"
#include "store/tables.h"

/* Reads entries of one transaction; the message that several share is looked up once for those
 * that follow one another. */
struct queue_reader {
    struct tables_txn *txn;
    uint64_t shared; /* whose bytes `message` has; 0: none */
    struct record_message message;
};

/* 1: *out is the entry with this key and value; 0: an ACK that waits for its message;
 * ERR_DAMAGED.  Views live as long as the transaction. */
int queue_entry(struct queue_reader *q, struct str key, struct str value, struct load_entry *out);

#endif
