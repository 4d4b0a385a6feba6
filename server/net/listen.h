/* A listener: an address, and how connections that arrive there speak.
 *
 * Sockets are accepted on the first loop and handed out round-robin.  Running out of
 * descriptors never spins: a spare descriptor answers (and closes) the caller, then
 * accepting rests for 100 ms.  Over the connection or rate limit, callers are closed
 * at once.
 *
 * The conf is copied; its strings need to live only during the call.  Files are read
 * in listener_open() and listener_reload_tls(), never on a loop.  Where `err` is given,
 * it receives one line that names the file or option and what is wrong with it. */
#ifndef SKEP_NET_LISTEN_H
#define SKEP_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/str.h"

struct conn_handler;
struct listener;
struct loop;

enum listen_verify { LISTEN_VERIFY_NONE, LISTEN_VERIFY_OPTIONAL, LISTEN_VERIFY_REQUIRE };
enum listen_tls_version { LISTEN_TLS_1_2, LISTEN_TLS_1_3 };
enum listen_proxy { LISTEN_PROXY_OFF, LISTEN_PROXY_V1, LISTEN_PROXY_V2, LISTEN_PROXY_ANY };

struct listen_strings {
    const char *const *items;
    size_t count;
};

struct listen_cert {
    const char *certificate; /* PEM, the chain behind the leaf */
    const char *key;
};

struct listen_tls {
    /* The first is the default; a client naming a host gets the first pair whose
     * certificate is for that host.  An RSA and an ECDSA pair for the same names go
     * together: the client's abilities decide.  May be empty with a psk_file. */
    const struct listen_cert *certs;
    size_t cert_count;
    const char *client_ca_file, *client_ca_dir; /* needed unless verify is NONE */
    const char *crl_file;
    enum listen_verify verify;
    enum listen_tls_version min_version;
    const char *ciphers;        /* TLS 1.2, OpenSSL syntax; NULL: sane default */
    const char *ciphersuites;   /* TLS 1.3; NULL: OpenSSL's */
    const char *curves;         /* NULL: OpenSSL's */
    struct listen_strings alpn; /* offered by us; empty: extension ignored */
    bool tickets;
    const char *psk_file; /* lines identity:hexkey */
    const char *psk_hint;
};

struct listen_conf {
    const char *name;    /* for messages */
    const char *address; /* "192.0.2.1:1883", "[::1]:1883" or "unix:/path" */
    mode_t unix_mode;    /* 0: 0660 */
    uid_t unix_uid;      /* (uid_t)-1: as created */
    gid_t unix_gid;

    bool tls;
    struct listen_tls tls_conf;

    bool websocket;
    const char *ws_path;              /* NULL: "/mqtt" */
    struct listen_strings ws_origins; /* allowed; empty: any */
    size_t ws_max_head;               /* 0: 8192 */

    enum listen_proxy proxy;
    struct listen_strings proxy_sources; /* CIDR blocks that may send the header; empty: none.
                                            From elsewhere connections are refused. */

    uint32_t max_connections;      /* 0: no limit */
    uint32_t connect_rate;         /* a second, bursts up to as many; 0: no limit */
    int backlog;                   /* 0: 4096 (the kernel's somaxconn caps it) */
    uint32_t handshake_timeout_ms; /* accept to up(); 0: 10 s */
    bool keepalive;                /* SO_KEEPALIVE */
    bool v6_only;                  /* "[::]" does not also take IPv4 */

    const struct conn_handler *handler; /* must outlive all connections */
    void *user;                         /* passed to handler->up() */

    /* A running listener on the same address whose socket this one takes over; no caller is
     * turned away meanwhile.  Close the old one afterwards, or the new one to go back. */
    struct listener *replaces;
};

struct listen_stats {
    uint64_t accepted;
    uint64_t refused_limit, refused_rate, refused_source, refused_descriptors;
    uint64_t failed_handshakes; /* TLS, WebSocket, PROXY; timeouts included */
    uint32_t connections;       /* now */
};

/* Main thread, loops open (started or not).  0 or an error with `err` filled in. */
int listener_open(struct listener **out, const struct listen_conf *conf, struct loop *const *loops,
                  unsigned nloops, char *err, size_t errlen);

/* Builds certificates, CA, CRL and PSK table beside the old ones and swaps; established
 * connections go on, new handshakes use the new.  On failure the old ones stay. */
int listener_reload_tls(struct listener *l, const struct listen_conf *conf, char *err,
                        size_t errlen);

/* Is anything different that only a new listener can change: TLS or not, WebSocket, PROXY,
 * their parameters?  Then open one that `replaces` it. */
bool listener_differs(const struct listener *l, const struct listen_conf *conf);

/* Limits of a running listener: max_connections, connect_rate,
 * handshake_timeout_ms are taken from conf, all else is ignored. */
void listener_set_limits(struct listener *l, const struct listen_conf *conf);

/* Checks a TLS configuration without a socket (skep -t). */
int listener_check_tls(const struct listen_conf *conf, char *err, size_t errlen);

/* Stops accepting; its connections live on.  Main thread; returns when the socket is
 * closed (and the Unix path removed), so that the address can be bound again. */
void listener_close(struct listener **l);

/* Any thread. */
void listener_stats(const struct listener *l, struct listen_stats *out);
const char *listener_name(const struct listener *l);
void *listener_user(const struct listener *l);

/* The bound address as text, with the port the system chose for port 0. */
const char *listener_address(const struct listener *l);
uint16_t listener_port(const struct listener *l); /* 0 for a Unix socket */

#endif
