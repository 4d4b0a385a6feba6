/* Inside net: the listener, and what a connection asks of it. */
#ifndef SKEP_NET_LISTEN_IMPL_H
#define SKEP_NET_LISTEN_IMPL_H

#include <stdatomic.h>

#include "base/lock.h"
#include "base/wheel.h"
#include "net/addr.h"
#include "net/listen.h"
#include "net/loop_impl.h"
#include "net/ws_head.h"

struct tls_context;

enum { LISTENER_MAGIC = 0x4c53544e };

struct listener {
    unsigned magic;
    _Atomic uint32_t refs;
    uint64_t shape;                   /* hash of what cannot change while running */
    struct listener *heir, *replaced; /* sharing one socket for a while; main thread */
    char *name;
    char address[128];
    struct addr bound;
    const struct conn_handler *handler;
    void *user;

    /* May change while running. */
    _Atomic uint32_t max_connections, connect_rate, handshake_timeout_ms;
    _Atomic uint32_t connections;
    _Atomic uint64_t accepted, refused_limit, refused_rate, refused_source, refused_descriptors;
    _Atomic uint64_t failed_handshakes;
    enum listen_proxy proxy;
    struct cidr *proxy_sources;
    size_t proxy_source_count;
    bool websocket;
    struct ws_rules ws_rules; /* owned copies */
    size_t ws_max_head;
    struct lock tls_lock;
    struct tls_context *tls; /* under tls_lock; NULL without TLS */

    /* The accepting loop's. */
    int fd, spare_fd;
    unsigned accepts;     /* tried in the last turn that had callers */
    uint64_t accepted_ms; /* when that was */
    struct loop *home;
    struct loop_watch *watch;
    struct wheel_timer rest;
    unsigned next_loop;
    double tokens;
    uint64_t tokens_at_ms;

    unsigned nloops;
    struct loop *loops[];
};

static inline void listener_bump(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* accept.c: the watch's callback. */
void listener_accept(struct loop *loop, int listen_fd, unsigned what, void *arg);

/* What a connection asks.  Any thread. */

bool listener_is_unix(const struct listener *l);
uint32_t listener_handshake_ms(const struct listener *l);
enum listen_proxy listener_proxy(const struct listener *l);
const struct ws_rules *listener_ws_rules(const struct listener *l); /* NULL: no WebSocket */
size_t listener_ws_max_head(const struct listener *l);
/* A reference to the current TLS context, or NULL where TLS is not spoken. */
struct tls_context *listener_tls(struct listener *l);

/* Drops the connection's reference. */
void listener_conn_gone(struct listener *l);
/* One more that died before up(). */
void listener_count_failed(struct listener *l);

#endif
