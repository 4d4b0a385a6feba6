/* The way to a broker: a stream of bytes over TCP or a Unix socket, bare, inside TLS, inside
 * WebSocket frames or inside both.  The socket does not block; whoever waits polls.
 *
 * Opening does block (resolving, connecting, both handshakes), up to the timeout.  One thread. */
#ifndef SKEP_CTL_LINK_H
#define SKEP_CTL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/arg.h"
#include "ctl/bytes.h"
#include "ctl/fault.h"

struct link;

/* All strings are borrowed until link_open returns; NULL is "not given". */
struct link_conf {
    const char *host; /* default 127.0.0.1 */
    uint32_t port;    /* 0: the customary one for the kind of link */
    const char *unix_path;
    const char *bind_host;
    uint32_t timeout_ms;

    bool tls;
    bool insecure; /* take any certificate */
    const char *ca_file, *ca_dir;
    const char *cert_file, *key_file;
    const char *ciphers, *tls_version, *alpn, *server_name;
    const char *psk, *psk_identity; /* key in hexadecimal */

    bool websocket;
    const char *ws_path;        /* default /mqtt */
    const char *ws_protocol;    /* default mqtt */
    struct arg_list ws_headers; /* "Name: value" */
};

/* Whether anything in the conf asks for TLS; the port that will be used; "host:port" or path. */
bool link_conf_secure(const struct link_conf *conf);
unsigned link_conf_port(const struct link_conf *conf);
void link_conf_name(const struct link_conf *conf, char *out, size_t size);

int link_open(struct link **out, const struct link_conf *conf, struct fault *fault);
void link_free(struct link **l);

/* Appends what has arrived to `in`.  Returns the bytes added, 0 when nothing is there now, or
 * -1 when the link is gone (fault says how). */
long link_read(struct link *l, struct bytes *in, struct fault *fault);

/* Queues bytes, then sends what the socket takes.  link_unsent is what is left. */
void link_write(struct link *l, const void *data, size_t len);
int link_flush(struct link *l, struct fault *fault);
size_t link_unsent(const struct link *l);

/* Waits until the link can make progress, or `extra_fd` (-1: none) is readable, or the time is
 * over (-1: for ever).  Returns bits of LINK_READY, LINK_EXTRA; 0 on timeout or a signal. */
enum { LINK_READY = 1, LINK_EXTRA = 2 };
int link_wait(struct link *l, int extra_fd, int timeout_ms);

/* Says goodbye (WebSocket close, TLS close_notify, FIN) and waits a moment for the peer to close,
 * so that nothing sent is lost to a reset. */
void link_finish(struct link *l, unsigned wait_ms);

#endif
