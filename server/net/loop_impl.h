/* Inside net: what the loop, its connections and its listeners share. */
#ifndef SKEP_NET_LOOP_IMPL_H
#define SKEP_NET_LOOP_IMPL_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/qsbr.h"
#include "base/wheel.h"
#include "net/loop.h"

struct conn;
struct tls_io;

/* In front of the read buffer: room for a short unparsed remainder, so that it and what
 * follows are contiguous without moving the new bytes. */
enum { LOOP_HEADROOM = 256 };

/* net's wheel timers. */
enum { LOOP_WHEEL_CONN = LOOP_WHEEL_KINDS, LOOP_WHEEL_LISTENER, LOOP_WHEEL_SWEEP };

/* Pointers to connections; grows, never shrinks below what one burst needed. */
struct conn_list {
    struct conn **items;
    unsigned count, cap;
};

/* Written by one thread, read by any. */
struct loop_counters {
    _Atomic uint64_t turns, reads, bytes_in, writes, bytes_out, connections, handshakes;
};

struct loop {
    unsigned magic;
    unsigned index;
    struct event_base *base;
    struct loop_hooks hooks;
    void *user;
    uint64_t now_ms, wall_ms;

    struct conn_list ready; /* to be run in the coming turn */
    struct conn_list busy;  /* being run in this one */
    struct conn_list dead;  /* to be reaped at the end of this one */
    struct conn_list conns; /* all; conn->slot is the index */
    struct loop_watch *fired;
    bool again;

    uint8_t *buffer;       /* LOOP_HEADROOM + LOOP_READ_SIZE */
    struct tls_io *tls;    /* shared scratch of TLS connections; NULL until the first */
    uint64_t handshake_ns; /* spent on TLS handshakes in this turn */

    /* Noted by data() through conn_expect() and conn_again(), read when it returns. */
    size_t expect;
    bool more;

    struct wheel_timer sweep;
    unsigned sweep_at; /* where the next slice begins */
    unsigned suspects; /* connections marked */

    struct event tick;
    uint64_t tick_due_ms; /* what the tick is armed for; WHEEL_NEVER */
    struct wheel wheel;
    struct qsbr_slot qsbr;
    struct loop_counters counters;

    pthread_t thread;
    _Atomic int cpu_clock; /* of the thread; 0: none */
    bool started;

    /* Touched by other threads. */
    _Alignas(64) _Atomic(struct loop_task *) inbox; /* newest first */
    _Atomic bool asleep;
    _Atomic bool stopping;
    int wake_fd;
    struct event wake;
};

static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

struct loop *loop_at(unsigned index);
void conn_list_push(struct conn_list *list, struct conn *c);

/* conn.c, called by the loop. */
void conn_run(struct conn *c);
void conn_reap(struct conn *c);
void conn_abandon(struct conn *c); /* at loop_free: closed(), then gone without lingering */
void conn_timer_fired(void *arg, struct wheel_timer *timer);

/* watch.c */
void watch_run_fired(struct loop *l);

/* sweep.c */
void sweep_fired(void *arg, struct wheel_timer *timer);

/* listen.c */
void listener_timer_fired(void *arg, struct wheel_timer *timer);

/* tls.c */
void tls_io_free(struct tls_io **io);

#endif
