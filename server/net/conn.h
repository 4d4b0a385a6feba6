/* A connection: bytes in, bytes out.  TCP, Unix socket, TLS, WebSocket, PROXY header
 * and all their buffers are hidden behind it.
 *
 * A connection belongs to one loop for life.  The front is told four things through
 * its handler table, always on that loop's thread:
 *
 *   up        the transport is ready: PROXY header read, TLS handshake and WebSocket
 *             upgrade done.  What dies earlier is never seen by the front
 *   data      bytes arrived
 *   writable  output that the socket refused may be tried again
 *   closed    the end; exactly once for every up that returned an owner
 *
 * Input.  data() says how many bytes it used; the rest comes back with more bytes
 * behind it.  An idle connection owns no buffer.  A packet that is announced with
 * conn_expect() is collected (memory grows with the bytes received, not with the
 * announcement) and data() is not called before it is whole.
 *
 * Output.  conn_send() hands everything to the kernel in one writev.  What the kernel
 * does not take is the residue; the connection keeps it (counted pieces by reference,
 * others copied), is "blocked", and must not be given more until conn_flush() says
 * CONN_SENT.
 *
 * Threads.  Output state (residue, blocked, failed) is separate from everything else
 * and guarded by a lock that the FRONT owns (its session lock):
 *
 *   - conn_send() and conn_residue() are called holding that lock.  Where
 *     conn_shareable() is true any thread may call them; elsewhere (TLS) only the
 *     connection's own loop.
 *   - when the socket becomes writable, the loop calls writable() WITHOUT that lock;
 *     the front takes it, calls conn_flush(), and on CONN_SENT goes on sending.
 *   - closed() is the point of detachment: the front takes its lock, forgets the
 *     connection, and afterwards no thread may touch it.  Only then does net make
 *     its last attempt at the residue, and close.
 *   - a send that fails on a foreign thread marks the connection and shuts the
 *     socket down, which wakes the owning loop; closed() follows from there.
 *
 * All other functions are for the connection's own loop, unless they say otherwise. */
#ifndef SKEP_NET_CONN_H
#define SKEP_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/refbuf.h"
#include "base/str.h"

struct conn;
struct listener;
struct loop;

#define CONN_CAUSE_LIST(X)                                                                         \
    X(CONN_PEER_CLOSED, "closed by the peer")                                                      \
    X(CONN_RESET, "reset by the peer")                                                             \
    X(CONN_ERROR, "socket error")                                                                  \
    X(CONN_TLS, "TLS failure")                                                                     \
    X(CONN_PROTOCOL, "WebSocket or PROXY protocol violated")                                       \
    X(CONN_KILLED, "closed here")                                                                  \
    X(CONN_TIMED_OUT, "timed out")                                                                 \
    X(CONN_MEMORY, "out of memory")                                                                \
    X(CONN_SHUTDOWN, "server stopping")

#define CONN_CAUSE_NAME(name, text) name,
enum conn_cause { CONN_CAUSE_LIST(CONN_CAUSE_NAME) };
#undef CONN_CAUSE_NAME

const char *conn_cause_text(enum conn_cause cause);

struct conn_handler {
    /* user is the listener's.  Returns the owner passed to the other calls, or NULL to
     * refuse (closed at once, closed() is not called). */
    void *(*up)(struct conn *c, void *user);

    /* Returns how many of the bytes were used, 0..len.  buf may be written to, and lives
     * until the call returns. */
    size_t (*data)(struct conn *c, void *owner, uint8_t *buf, size_t len);

    /* See "Threads" above.  Called while blocked, and when net has bytes of its own to send
     * (a WebSocket pong); both are settled by conn_flush(). */
    void (*writable)(struct conn *c, void *owner);

    void (*closed)(struct conn *c, void *owner, enum conn_cause cause);
};

/* Input, from inside data() unless said otherwise. */

/* The packet at the first byte left unused is total bytes long: call again when it is whole. */
void conn_expect(struct conn *c, size_t total);

/* Call data() again next turn with the bytes left (len may be 0), although nothing may have
 * arrived: the turn's budget is used up.  Nothing is read from the socket meanwhile. */
void conn_again(struct conn *c);

/* Stop and go on calling data().  What arrives waits in the kernel.  While paused an
 * orderly close by the peer is reported only after resuming, for bytes may precede it;
 * a reset is reported at once. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
bool conn_paused(const struct conn *c);

/* Output. */

enum conn_result {
    CONN_SENT,    /* the kernel has everything */
    CONN_BLOCKED, /* there is a residue; wait for writable() */
    CONN_FAILED,  /* the connection is ending; closed() follows */
};

/* Writes all pieces, in order.  Pieces with an owner are referenced if they have to
 * wait (the caller keeps its own reference); those without are copied.  The pieces
 * are whole MQTT packets; on a WebSocket each becomes a binary message (net/ws_cut.h).
 * Not to be called while blocked. */
enum conn_result conn_send(struct conn *c, const struct out_vec *v, unsigned n);

/* From writable(), on the connection's own loop: tries the residue again; CONN_SENT also
 * when there was none. */
enum conn_result conn_flush(struct conn *c);

/* Any thread: a hint unless the front's lock is held. */
bool conn_blocked(const struct conn *c);

/* Bytes in the residue. */
size_t conn_residue(const struct conn *c);

/* Any thread: may threads other than the owner send?  Fixed from up() on. */
bool conn_shareable(const struct conn *c);

/* The end. */

/* No data() or writable() follows; closed(cause) runs at the end of this turn, then the
 * residue is tried once and the socket closed.  A second kill changes nothing. */
void conn_kill(struct conn *c, enum conn_cause cause);

/* The same, but net keeps the socket up to linger_ms longer (closed() is not delayed):
 * the residue drains, the write side is shut down, input is read and thrown away until
 * the peer closes.  So the peer reads a last packet instead of meeting a reset. */
void conn_kill_later(struct conn *c, enum conn_cause cause, unsigned linger_ms);

bool conn_dying(const struct conn *c);

/* Facts.  Fixed from up() to closed(); any thread inside that span. */

struct loop *conn_loop(const struct conn *c);
void *conn_owner(const struct conn *c);
const struct listener *conn_listener(const struct conn *c); /* NULL for an adopted socket */
int conn_fd(const struct conn *c);                          /* for logs and tests only */

enum { CONN_ADDR_MAX = 64 };

/* Writes "192.0.2.1:4711", "[2001:db8::1]:4711", "unix" or, where the system no longer
 * tells, "unknown"; the address that a PROXY header gave, if one did.  Returns out. */
const char *conn_peer(const struct conn *c, char out[CONN_ADDR_MAX]);
const char *conn_local(const struct conn *c, char out[CONN_ADDR_MAX]);

/* True if the peer is this machine: Unix socket or loopback (by the PROXY header's word,
 * if there was one). */
bool conn_from_here(const struct conn *c);

/* Views live as long as the connection; empty means none. */
struct conn_facts {
    bool is_unix, is_tls, is_websocket, is_proxied;
    struct str tls_version, tls_cipher; /* "TLSv1.3"; of the proxy's client side if it said so */
    struct str tls_server_name;         /* SNI */
    bool cert_verified;                 /* a client certificate was shown and checked */
    struct str cert_cn, cert_subject;   /* common name; RFC 2253 subject */
    struct str psk_identity;
    struct str ws_protocol; /* "mqtt" or "mqttv3.1" */
    struct str ws_origin;
    struct str alpn;
};

void conn_facts(const struct conn *c, struct conn_facts *out);

/* Takes over a connected, non-blocking stream socket on its loop's thread: for tests and
 * outgoing connections.  up() is not called.  0, or ERR_SYSTEM (fd stays the caller's). */
int conn_adopt(struct conn **out, struct loop *l, int fd, const struct conn_handler *handler,
               void *owner);

/* Bytes of struct conn, its event included. */
size_t conn_size(void);

#endif
