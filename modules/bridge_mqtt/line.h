/* The line to a broker: TCP or a UNIX socket, TLS and WebSocket on top where wanted.  Everything on
 * one loop, nothing blocks.
 *
 * Events come through calls; within one the line may be closed, but not opened again. */
#ifndef BRIDGE_LINE_H
#define BRIDGE_LINE_H

#include <openssl/ssl.h>
#include <skep/loop.h>

#include "websocket.h"

struct line_calls {
    void (*up)(void *arg);
    void (*data)(void *arg, const uint8_t *data, size_t len);
    void (*down)(void *arg, const char *why);
    void (*room)(void *arg); /* what was to be written has been, after line_full() */
};

struct line_conf {
    SSL_CTX *tls;     /* NULL: plain */
    const char *name; /* what the certificate has to be for, and Host */
    const char *path; /* WebSocket; NULL: none */
    bool verify;
};

enum line_state { LINE_CLOSED, LINE_CONNECTING, LINE_SECURING, LINE_UPGRADING, LINE_UP };

struct line {
    struct skep_module *m;
    const struct line_calls *calls;
    void *arg;
    struct line_conf conf;
    enum line_state state;
    int fd;
    bool paused, full;
    uint8_t watched;
    struct skep_watch *watch;
    SSL *ssl;
    BIO *from_peer, *to_peer;
    struct ws ws;
    struct buf raw_in, ws_raw, in, out; /* from the socket, without TLS, without frames */
    uint64_t bytes_in, bytes_out;
    char why[256];
};

void line_init(struct line *l, const struct line_calls *calls, void *arg);
/* address: a struct sockaddr.  0; or -1 with l->why: then no call comes. */
int line_open(struct line *l, struct skep_module *m, const struct line_conf *conf,
              struct skep_str address);
/* Writes all that can be, keeps the rest. */
void line_write(struct line *l, const void *data, size_t len);
/* More is waiting to be written than should be added to. */
bool line_full(struct line *l);
/* Takes in nothing for now; what came already may still be handed on. */
void line_pause(struct line *l, bool paused);
/* Another instance of the module looks after it from now on. */
void line_adopt(struct line *l, struct skep_module *m);
void line_close(struct line *l);

#endif
