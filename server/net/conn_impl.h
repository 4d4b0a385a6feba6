/* Inside net: the connection and the layers above its socket.
 *
 * Phases, each passed at most once and only downward:
 *
 *     PROXY ──► TLS ──► UPGRADE ──► OPEN ──► LINGER ──► gone
 *       └────────┴─────────┴──────────┴───────────────────▲
 *
 * A plain connection starts OPEN and has no layer.  Lingering connections take on a
 * layer for its timer. */
#ifndef SKEP_NET_CONN_IMPL_H
#define SKEP_NET_CONN_IMPL_H

#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "base/wheel.h"
#include "net/conn.h"
#include "net/listen_impl.h"
#include "net/loop_impl.h"

struct proxied;
struct tls;
struct ws;

enum conn_phase { PHASE_PROXY, PHASE_TLS, PHASE_UPGRADE, PHASE_OPEN, PHASE_LINGER };

/* Owner's flags. */
enum {
    CONN_READY = 1 << 0,    /* in loop->ready or loop->busy */
    CONN_READABLE = 1 << 1, /* the kernel may hold bytes */
    CONN_WRITABLE = 1 << 2, /* the socket said so since the last run */
    CONN_HANGUP = 1 << 3,   /* the peer closed: read until 0 */
    CONN_PAUSED = 1 << 4,
    CONN_MORE = 1 << 5, /* data() asked for another turn */
    CONN_DYING = 1 << 6,
    CONN_UP = 1 << 7, /* the front knows it: closed() is owed */
    CONN_UNIX = 1 << 8,
    CONN_LATER = 1 << 9,    /* linger when reaped */
    CONN_BROKEN = 1 << 10,  /* the socket is beyond writing */
    CONN_SUSPECT = 1 << 11, /* its last read was short: see sweep.c */
};

/* Bytes that data() left, waiting for more. */
struct inbuf {
    size_t len, cap;
    size_t expect; /* data() is not called below this */
    uint8_t bytes[];
};

/* What the kernel has not taken. */
struct residue {
    unsigned pos, count; /* pieces[pos] is the next, the first `skip` bytes of it are out */
    size_t skip;
    size_t bytes;            /* left in all pieces */
    struct out_vec pieces[]; /* bytes of those without an owner follow the array */
};

/* What only some connections need. */
struct layer {
    struct wheel_timer timer; /* handshake or linger deadline */
    struct conn *conn;
    unsigned linger_ms;
    struct proxied *proxied;
    struct tls *tls;
    struct ws *ws;
};

struct conn {
    struct event ev;
    unsigned magic;
    uint16_t flags;
    uint8_t phase;
    uint8_t cause;
    uintptr_t origin; /* a counted listener, or for an adopted socket its handler, plus 1 */
    void *owner;
    struct inbuf *in;
    struct layer *layer;
    /* Guarded by the front's lock, see conn.h. */
    struct residue *out;
    _Atomic bool blocked;
    bool failed;
    /* The owner's again. */
    uint8_t loop_index;
    uint32_t slot;
};

enum { CONN_MAGIC = 0x434f4e4e };

static inline int conn_socket(const struct conn *c)
{
    return c->ev.ev_fd;
}

static inline struct listener *conn_origin(const struct conn *c)
{
    return c->origin & 1 ? NULL : (struct listener *)c->origin;
}

static inline const struct conn_handler *conn_handler_of(const struct conn *c)
{
    const struct listener *l = conn_origin(c);
    return l ? l->handler : (const struct conn_handler *)(c->origin - 1);
}

static inline struct loop *conn_home(const struct conn *c)
{
    return loop_at(c->loop_index);
}

/* Where in a run of pieces one has got to: `skip` bytes of pieces[pos] are done with. */
struct cursor {
    unsigned pos;
    size_t skip;
    size_t sent; /* bytes in all */
};

/* conn.c */

/* Makes a connection on its loop's thread and starts its first phase.  Takes over fd and
 * one reference of the listener, also on failure. */
void conn_accept(struct loop *l, struct listener *listener, int fd);
void conn_make_ready(struct conn *c);
struct layer *conn_layer(struct conn *c); /* allocated when first asked for */

/* phase.c */

/* What stands between the socket and the front on this listener; calls up() if nothing. */
void phase_begin(struct conn *c);
/* The current phase is over: the next one begins, or up() is called. */
void phase_next(struct conn *c);
/* The peer cannot be served.  It gets what was sent so far before the close; the reason
 * goes to the log. */
void phase_fail(struct conn *c, enum conn_cause cause, const char *reason);
/* One read for a connection with layers, through all of them. */
void phase_read(struct conn *c);
/* Bytes as they were before TLS / after it.  LOOP_HEADROOM writable bytes before buf. */
void phase_raw_input(struct conn *c, uint8_t *buf, size_t len);
void phase_app_input(struct conn *c, uint8_t *buf, size_t len);
/* Says goodbye on each layer, once the front has let go. */
void phase_goodbye(struct conn *c);
void phase_free(struct conn *c);

/* input.c */

/* One slice of input: at most one read of the socket.  Ends with data() or a phase step. */
void input_run(struct conn *c);
/* Application bytes for data().  buf has LOOP_HEADROOM writable bytes before it. */
void input_deliver(struct conn *c, uint8_t *buf, size_t len);
void input_free(struct conn *c);
/* One recv, with errors and end of file turned into a kill; 0 when there was nothing. */
size_t input_recv(struct conn *c, uint8_t *buf, size_t cap);

/* sweep.c */
void sweep_mark(struct conn *c);
void sweep_unmark(struct conn *c);

/* output.c: the socket's end of it; `raw` means below TLS and WebSocket. */

enum conn_result output_raw(struct conn *c, const struct out_vec *v, unsigned n);
enum conn_result output_flush_raw(struct conn *c);
/* What a WebSocket frame goes through: TLS or nothing. */
enum conn_result output_below_ws(struct conn *c, const struct out_vec *v, unsigned n);
/* Marks the connection beyond use and wakes its owner. */
enum conn_result output_fail(struct conn *c);

/* What is behind the cursor: counted pieces by reference, others copied.  NULL without
 * memory. */
struct residue *residue_new(const struct out_vec *v, unsigned n, const struct cursor *at);
/* Drops references of pieces that are done with. */
void residue_advance(struct residue *r, const struct cursor *at);
void residue_free(struct residue **r);
void cursor_advance(struct cursor *at, const struct out_vec *v, unsigned n, size_t bytes);

#endif
