/* A library that stands between the broker and its disk (LD_PRELOAD): it ends the process at a
 * chosen call, lets calls fail, cuts writes short, slows syncs, and writes down what was done.
 *
 * Only files below SHIM_DIR are watched.  What it does is told by the environment:
 *
 *   SHIM_DIR=PATH                        the store's folder, an absolute path
 *   SHIM_KILL=WHEN:OP:FILE:N             SIGKILL at the Nth such call
 *   SHIM_FAIL=ERROR:OP:FILE:N:FLAG       from the Nth on, as long as the file FLAG is there
 *   SHIM_ARM=PATH                        nothing is counted before this file is there
 *   SHIM_DELAY_MS=N                      every sync takes that much longer
 *   SHIM_SHORT=N                         a write to the log takes N bytes at most
 *   SHIM_TRACE=PATH                      writes, syncs, names and what was sent, for the power cut
 *
 *   WHEN   before, after, torn (half of the bytes are written)
 *   OP     write, sync, rename, unlink, create, record-T (a write that holds a record of type T)
 *   FILE   log, state (LMDB's), meta (the write that ends LMDB's commit; also counts as state), any
 *   ERROR  EIO, ENOSPC
 *
 * Shares no line with the broker: what it knows of the log's layout is written down here again. */
#ifndef CRASH_SHIM_H
#define CRASH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* The next one of that name: libc's, or the sanitizer's. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define EXPORT __attribute__((visibility("default")))

enum shim_op { OP_WRITE, OP_SYNC, OP_RENAME, OP_UNLINK, OP_CREATE, OPS };
enum shim_class { CLASS_NONE, CLASS_LOG, CLASS_STATE, CLASS_META };

/* -- names.c: which descriptor is which file, and the calls about names.  Any thread. -- */

struct watched {
    enum shim_class class;
    uint32_t file; /* its number in the trace */
    bool folder, dsync;
};

/* CLASS_NONE and no folder: a file that is not watched. */
struct watched watched(int fd);

/* -- point.c: when to do what.  Any thread. -- */

void point_init(void);

enum point_verdict {
    POINT_PASS,
    POINT_KILL_AFTER,
    POINT_TEAR, /* write half, then point_kill() */
    POINT_FAIL, /* with errno, which is set */
};

/* A call is about to be made.  `types`: bits of the records that it writes.  Does not return
 * when the process is to end before it. */
enum point_verdict point_enter(enum shim_op op, enum shim_class class, uint32_t types);

_Noreturn void point_kill(void);

/* Milliseconds each sync is to take longer; bytes a write to the log may take, 0: all. */
unsigned point_delay_ms(void);
size_t point_short(void);

/* -- trace.c: what was done.  Any thread. -- */

/* As they stand in the trace: struct trace_event, then `len` bytes (SENT: none), padded to 8. */
enum trace_kind {
    TRACE_CREATED = 1, /* file, name */
    TRACE_FOUND,       /* file, name: it was there before the trace began */
    TRACE_WRITE,       /* file, at, bytes; about to be written */
    TRACE_SYNCED,      /* file; what was written before event `at` is on the disk */
    TRACE_SIZE,        /* file, at: the new size */
    TRACE_RENAME,      /* "from\0to" */
    TRACE_UNLINK,      /* name */
    TRACE_DIR_SYNCED,  /* names changed before event `at` are on the disk */
    TRACE_ACCEPTED,    /* file: the peer's port */
    TRACE_SENT,        /* file: the peer's port, len: bytes; not before event `at` */
};

struct trace_event {
    uint32_t kind, file;
    uint64_t at, len;
};

void trace_init(void);
bool trace_on(void);
/* Events so far: the number of the next one. */
uint64_t trace_now(void);
void trace_put(enum trace_kind kind, uint32_t file, uint64_t at, const struct iovec *vec,
               int count);
void trace_sent(uint32_t port, uint64_t began, uint64_t len);

#endif
