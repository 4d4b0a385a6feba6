#include "ctl/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ctl/secure.h"
#include "ctl/websocket.h"

enum { READ_SIZE = 65536 };

/* raw is what came off the socket (or out of TLS) and is not yet unframed; unsent what waits to
 * go in.  Without WebSocket, raw is not used. */
struct link {
    const struct link_conf *conf; /* only while opening */
    int fd;
    SSL *ssl;
    bool websocket;
    bool tls_wants_write; /* a read or handshake waits for the socket to take bytes */
    struct bytes raw, unsent;
    struct link_conf hints; /* the booleans and names that errors mention */
};

bool link_conf_secure(const struct link_conf *conf)
{
    return conf->tls || conf->insecure || conf->ca_file || conf->ca_dir || conf->cert_file ||
           conf->psk;
}

unsigned link_conf_port(const struct link_conf *conf)
{
    if (conf->port)
        return conf->port;
    if (conf->websocket)
        return link_conf_secure(conf) ? 8084 : 8083;
    return link_conf_secure(conf) ? 8883 : 1883;
}

void link_conf_name(const struct link_conf *conf, char *out, size_t size)
{
    const char *host = conf->host ? conf->host : "127.0.0.1";

    if (conf->unix_path)
        snprintf(out, size, "%s", conf->unix_path);
    else
        snprintf(out, size, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, link_conf_port(conf));
}

/* -- Sockets -- */

static int left_ms(uint64_t deadline)
{
    uint64_t now = clock_mono_ms();

    return now >= deadline ? 0 : (int)(deadline - now);
}

/* Waits for events on fd until the deadline.  1, or 0 when it passed. */
static int fd_wait(int fd, short events, uint64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&p, 1, left_ms(deadline));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* connect() with a deadline.  0, or -1 with errno. */
static int fd_connect(int fd, const struct sockaddr *addr, socklen_t len, uint64_t deadline)
{
    int err = 0;
    socklen_t size = sizeof err;

    if (connect(fd, addr, len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -1;
    if (!fd_wait(fd, POLLOUT, deadline)) {
        errno = ETIMEDOUT;
        return -1;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
    errno = err;
    return err ? -1 : 0;
}

static int fd_bind(int fd, const char *host, int family)
{
    struct addrinfo want = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found;
    int err;

    if (getaddrinfo(host, NULL, &want, &found) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    err = bind(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return err;
}

static int open_address(const struct link_conf *conf, const struct addrinfo *a, uint64_t deadline)
{
    int one = 1, saved;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((!conf->bind_host || fd_bind(fd, conf->bind_host, a->ai_family) == 0) &&
        fd_connect(fd, a->ai_addr, a->ai_addrlen, deadline) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int connect_fault(const struct link_conf *conf, struct fault *fault)
{
    char name[300];
    int err = errno;

    link_conf_name(conf, name, sizeof name);
    fault_set(fault, "cannot connect to %s: %s", name, strerror(err));
    if (err == ECONNREFUSED || err == ENOENT)
        fault_hint(fault, "is a broker listening there?  %s choose another",
                   conf->unix_path ? "--unix lets you" : "-h and -p");
    return -1;
}

static int open_tcp(const struct link_conf *conf, uint64_t deadline, struct fault *fault)
{
    struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    const char *host = conf->host ? conf->host : "127.0.0.1";
    char port[12];
    int fd = -1, err;

    snprintf(port, sizeof port, "%u", link_conf_port(conf));
    err = getaddrinfo(host, port, &want, &found);
    if (err != 0) {
        fault_set(fault, "cannot find the address of '%s': %s", host, gai_strerror(err));
        return fault_hint(fault, "check the spelling of -h, and the network");
    }
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = open_address(conf, a, deadline);
    if (fd < 0)
        connect_fault(conf, fault);
    freeaddrinfo(found);
    return fd;
}

static int open_unix(const struct link_conf *conf, uint64_t deadline, struct fault *fault)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(conf->unix_path) >= sizeof addr.sun_path)
        return fault_set(fault, "--unix: the path has more than %zu bytes",
                         sizeof addr.sun_path - 1);
    strcpy(addr.sun_path, conf->unix_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && fd_connect(fd, (struct sockaddr *)&addr, (socklen_t)sizeof addr, deadline) == 0)
        return fd;
    connect_fault(conf, fault);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* -- Handshakes -- */

static int open_secure(struct link *l, uint64_t deadline, struct fault *fault)
{
    l->ssl = secure_new(l->conf, l->fd, fault);
    if (!l->ssl)
        return -1;
    for (;;) {
        int ret, kind;

        errno = 0;
        ret = SSL_do_handshake(l->ssl);
        if (ret == 1)
            return 0;
        kind = SSL_get_error(l->ssl, ret);
        if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
            return secure_fault(l->ssl, ret, l->conf, fault);
        if (!fd_wait(l->fd, kind == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
            return fault_set(fault, "the TLS handshake got no answer in time");
    }
}

static long stream_read(struct link *l, struct bytes *into, struct fault *fault);
static int stream_flush(struct link *l, struct fault *fault);

static int open_websocket(struct link *l, uint64_t deadline, struct fault *fault)
{
    char key[WEBSOCKET_KEY_SIZE];
    int done = 0;

    websocket_ask(&l->unsent, l->conf, key);
    while (done == 0) {
        if (stream_flush(l, fault) < 0 || stream_read(l, &l->raw, fault) < 0)
            return -1;
        done = websocket_answer(&l->raw, key, fault);
        if (done != 0)
            break;
        if (left_ms(deadline) == 0)
            return fault_set(fault, "the WebSocket upgrade got no answer in time");
        link_wait(l, -1, left_ms(deadline));
    }
    l->websocket = done > 0;
    return done > 0 ? 0 : -1;
}

/* Says which handshake failed, and where there is no better advice, what to look at. */
static void shake_fault(const struct link_conf *conf, const char *which, struct fault *fault)
{
    struct fault inner = *fault;
    char name[200];

    link_conf_name(conf, name, sizeof name);
    fault_set(fault, "%s handshake with %s: %.200s", which, name, inner.text);
    if (inner.hint[0])
        fault_hint(fault, "%s", inner.hint);
    else
        fault_hint(fault, "does this port speak %s?", which);
}

int link_open(struct link **out, const struct link_conf *conf, struct fault *fault)
{
    struct link *l = xcalloc(1, sizeof *l);
    uint64_t deadline = clock_mono_ms() + conf->timeout_ms;

    l->conf = conf;
    l->hints.insecure = conf->insecure;
    l->fd = conf->unix_path ? open_unix(conf, deadline, fault) : open_tcp(conf, deadline, fault);
    if (l->fd < 0)
        goto fail;
    if (link_conf_secure(conf) && open_secure(l, deadline, fault) < 0) {
        shake_fault(conf, "TLS", fault);
        goto fail;
    }
    if (conf->websocket && open_websocket(l, deadline, fault) < 0) {
        shake_fault(conf, "WebSocket", fault);
        goto fail;
    }
    l->conf = NULL;
    *out = l;
    return 0;
fail:
    link_free(&l);
    return -1;
}

void link_free(struct link **lp)
{
    struct link *l = *lp;

    if (!l)
        return;
    secure_free(&l->ssl);
    if (l->fd >= 0)
        close(l->fd);
    bytes_fini(&l->raw);
    bytes_fini(&l->unsent);
    free(l);
    *lp = NULL;
}

/* -- Bytes -- */

static long tls_read(struct link *l, uint8_t *room, size_t size, struct fault *fault)
{
    int n, kind;

    errno = 0;
    n = SSL_read(l->ssl, room, (int)size);
    if (n > 0)
        return n;
    kind = SSL_get_error(l->ssl, n);
    l->tls_wants_write = kind == SSL_ERROR_WANT_WRITE;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return 0;
    return secure_fault(l->ssl, n, &l->hints, fault);
}

static long socket_read(const struct link *l, uint8_t *room, size_t size, struct fault *fault)
{
    ssize_t n = recv(l->fd, room, size, 0);

    if (n > 0)
        return n;
    if (n == 0)
        return fault_set(fault, "the broker closed the connection");
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    return fault_set(fault, "the connection failed: %s", strerror(errno));
}

/* Below WebSocket: one read from the socket or out of TLS. */
static long stream_read(struct link *l, struct bytes *into, struct fault *fault)
{
    uint8_t *room = bytes_room(into, READ_SIZE);
    long n = l->ssl ? tls_read(l, room, READ_SIZE, fault) : socket_read(l, room, READ_SIZE, fault);

    if (n > 0)
        into->len += (size_t)n;
    return n;
}

long link_read(struct link *l, struct bytes *in, struct fault *fault)
{
    size_t before = in->len;
    long n;

    if (!l->websocket)
        return stream_read(l, in, fault);
    n = stream_read(l, &l->raw, fault);
    if (n < 0 && l->raw.len == 0)
        return -1;
    if (websocket_take(&l->raw, in, &l->unsent, fault) < 0) {
        struct fault ignored;

        stream_flush(l, &ignored);
        return -1;
    }
    return n < 0 ? -1 : (long)(in->len - before);
}

static int stream_flush(struct link *l, struct fault *fault)
{
    while (l->unsent.len > 0) {
        long n;

        errno = 0;
        if (l->ssl) {
            int size = l->unsent.len > READ_SIZE ? READ_SIZE : (int)l->unsent.len;
            int kind;

            n = SSL_write(l->ssl, l->unsent.ptr, size);
            kind = n > 0 ? 0 : SSL_get_error(l->ssl, (int)n);
            if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
                return 0;
            if (n <= 0)
                return secure_fault(l->ssl, (int)n, &l->hints, fault);
        } else {
            n = send(l->fd, l->unsent.ptr, l->unsent.len, MSG_NOSIGNAL);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
            if (n < 0)
                return fault_set(fault, "the connection failed: %s", strerror(errno));
        }
        bytes_take(&l->unsent, (size_t)n);
    }
    return 0;
}

void link_write(struct link *l, const void *data, size_t len)
{
    if (l->websocket)
        websocket_put(&l->unsent, WEBSOCKET_BINARY, data, len);
    else
        bytes_add(&l->unsent, data, len);
}

int link_flush(struct link *l, struct fault *fault)
{
    return stream_flush(l, fault);
}

size_t link_unsent(const struct link *l)
{
    return l->unsent.len;
}

int link_wait(struct link *l, int extra_fd, int timeout_ms)
{
    struct pollfd p[2] = {
        {.fd = l->fd, .events = POLLIN},
        {.fd = extra_fd, .events = POLLIN}, /* poll skips a negative descriptor */
    };
    int ready = 0;

    if (l->unsent.len > 0 || l->tls_wants_write)
        p[0].events |= POLLOUT;
    if (l->ssl && SSL_pending(l->ssl) > 0)
        timeout_ms = 0;
    if (poll(p, 2, timeout_ms) > 0) {
        ready |= p[0].revents ? LINK_READY : 0;
        ready |= p[1].revents ? LINK_EXTRA : 0;
    }
    if (l->ssl && SSL_pending(l->ssl) > 0)
        ready |= LINK_READY;
    return ready;
}

void link_finish(struct link *l, unsigned wait_ms)
{
    uint64_t deadline = clock_mono_ms() + wait_ms;
    struct bytes rest = {0};
    struct fault ignored;
    bool down = false;

    if (l->websocket)
        websocket_put(&l->unsent, WEBSOCKET_CLOSE, "\x03\xe8", 2); /* 1000: normal */
    while (left_ms(deadline) > 0) {
        if (stream_flush(l, &ignored) < 0)
            break;
        if (l->unsent.len == 0 && !down) {
            if (l->ssl)
                SSL_shutdown(l->ssl);
            /* TLS and WebSocket say goodbye themselves; the FIN would cut their answers off. */
            if (!l->ssl && !l->websocket)
                shutdown(l->fd, SHUT_WR);
            down = true;
        }
        if (stream_read(l, &rest, &ignored) < 0)
            break;
        rest.len = 0;
        link_wait(l, -1, left_ms(deadline));
    }
    bytes_fini(&rest);
}
