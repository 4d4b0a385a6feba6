/* One client connection of the generator: TCP, then TLS, WebSocket and CONNECT as the plan says.
 *
 *     CLOSED -> CONNECTING -> SECURING -> UPGRADING -> GREETING -> UP -> CLOSED
 *
 * States the plan has no use for are skipped.  From UP on the owner gets whole reads and walks the
 * frames itself; what it does not consume is kept for the next read.  An idle connection owns no
 * buffer.  Closing is safe from within any callback: the struct belongs to the scenario.
 */
#ifndef SKEP_BENCH_CHAN_H
#define SKEP_BENCH_CHAN_H

#include "turn.h"
#include "wire.h"

enum chan_state {
    CHAN_CLOSED,
    CHAN_CONNECTING,
    CHAN_SECURING,
    CHAN_UPGRADING,
    CHAN_GREETING,
    CHAN_UP,
};

struct chan;

struct chan_owner {
    void (*up)(struct chan *c); /* CONNACK accepted; may be NULL */
    /* Handle what is whole in p[0..n) and return how much that was. */
    size_t (*bytes)(struct chan *c, const uint8_t *p, size_t n);
    /* Closed by the peer or by an error; NULL: that fails the run. */
    void (*down)(struct chan *c, const char *why);
};

struct chan {
    struct turn *turn;
    const struct chan_owner *owner;
    void *scenario;
    const char *greeting; /* relay only: the line sent instead of CONNECT */
    bool kept;            /* the session outlives the connection, and may be there already */
    SSL *ssl;
    int fd;
    uint32_t index;
    enum chan_state state;
    bool resumed;             /* CONNACK said that the session was there */
    uint16_t receive_maximum; /* the broker's, 65535 when it named none */
    uint8_t *rest, *out;      /* unparsed input, unsent output */
    size_t rest_len, out_len, out_at, out_cap;
    uint8_t ws_head[14];
    uint8_t ws_have; /* bytes of a WebSocket header seen so far */
    bool ws_skip;    /* the current frame is a ping or pong: its payload is not MQTT */
    uint64_t ws_left;
};

/* Begin to connect.  `c` must be zeroed or closed, but for greeting and kept; index goes into the
 * client id.
 * Failures arrive at owner->down or fail the turn. */
void chan_open(struct chan *c, struct turn *t, const struct chan_owner *owner, void *scenario,
               uint32_t index);

/* Send all of p[0..n), copying what the socket does not take now. */
void chan_send(struct chan *c, const uint8_t *p, size_t n);

/* DISCONNECT if up, then close: whatever is unsent is lost. */
void chan_leave(struct chan *c);
void chan_close(struct chan *c);

/* For turn.c. */
void chan_event(struct chan *c, uint32_t events);

/* Open all of `chans`, some at a time, and run until all are up.  False: the turn has failed. */
bool chan_open_all(struct chan *chans, size_t n, struct turn *t, const struct chan_owner *owner,
                   void *scenario, uint32_t first_index);

#endif
