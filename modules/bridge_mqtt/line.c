#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_AT_ONCE = 64 * 1024, FULL_AT = 256 * 1024 };

static void on_ready(int fd, unsigned what, void *arg);

void line_init(struct line *l, const struct line_calls *calls, void *arg)
{
    *l = (struct line){.calls = calls, .arg = arg, .fd = -1};
}

void line_close(struct line *l)
{
    skep_watch_free(l->watch);
    l->watch = NULL;
    if (l->ssl && l->state == LINE_UP) {
        SSL_shutdown(l->ssl); /* close_notify: what the peer got is whole */
        uint8_t bytes[512];
        int n = BIO_read(l->to_peer, bytes, sizeof bytes);
        if (n > 0 && buf_len(&l->out) == 0 && send(l->fd, bytes, (size_t)n, MSG_NOSIGNAL) < 0)
            errno = 0; /* it is gone already */
    }
    SSL_free(l->ssl); /* and its BIOs */
    l->ssl = NULL;
    l->from_peer = l->to_peer = NULL;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    ws_fini(&l->ws);
    buf_fini(&l->raw_in);
    buf_fini(&l->ws_raw);
    buf_fini(&l->in);
    buf_fini(&l->out);
    l->state = LINE_CLOSED;
    l->paused = l->full = false;
}

static void down(struct line *l, const char *why)
{
    char text[sizeof l->why];

    snprintf(text, sizeof text, "%s", why);
    line_close(l);
    memcpy(l->why, text, sizeof text);
    l->calls->down(l->arg, l->why);
}

/* -- TLS -- */

static const char *tls_trouble(struct line *l, char *text, size_t size)
{
    long verdict = SSL_get_verify_result(l->ssl);
    unsigned long err = ERR_peek_last_error();

    if (verdict != X509_V_OK && l->conf.verify)
        snprintf(text, size, "TLS: its certificate: %s", X509_verify_cert_error_string(verdict));
    else
        snprintf(text, size, "TLS: %s", err ? ERR_reason_error_string(err) : "closed");
    ERR_clear_error();
    return text;
}

static bool is_ip(const char *name)
{
    uint8_t bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static int secure(struct line *l)
{
    const char *name = l->conf.name;

    if (!(l->ssl = SSL_new(l->conf.tls)))
        return -1;
    l->from_peer = BIO_new(BIO_s_mem());
    l->to_peer = BIO_new(BIO_s_mem());
    if (!l->from_peer || !l->to_peer)
        return -1;
    BIO_set_mem_eof_return(l->from_peer, -1);
    SSL_set_bio(l->ssl, l->from_peer, l->to_peer);
    SSL_set_connect_state(l->ssl);
    X509_VERIFY_PARAM *param = SSL_get0_param(l->ssl);
    if (is_ip(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : -1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
                   SSL_set_tlsext_host_name(l->ssl, name) == 1
               ? 0
               : -1;
}

/* What TLS wants to say goes to the socket's bytes. */
static void collect(struct line *l)
{
    size_t pending = BIO_ctrl_pending(l->to_peer);

    if (pending == 0)
        return;
    int n = BIO_read(l->to_peer, buf_room(&l->out, pending), (int)pending);
    if (n > 0)
        buf_grew(&l->out, (size_t)n);
}

/* -- Writing -- */

static void watch_what_matters(struct line *l)
{
    unsigned what = (l->paused ? 0u : SKEP_READABLE) |
                    (buf_len(&l->out) || l->state == LINE_CONNECTING ? SKEP_WRITABLE : 0u);

    if (l->watch && what != l->watched)
        skep_watch_set(l->watch, what);
    l->watched = (uint8_t)what;
}

/* 0, or -1 with l->why. */
static int flush(struct line *l)
{
    while (buf_len(&l->out)) {
        ssize_t n = send(l->fd, buf_data(&l->out), buf_len(&l->out), MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            snprintf(l->why, sizeof l->why, "%s", strerror(errno));
            return -1;
        }
        l->bytes_out += (uint64_t)n;
        buf_drop(&l->out, (size_t)n);
    }
    watch_what_matters(l);
    return 0;
}

static void put_plain(struct line *l, const void *data, size_t len)
{
    if (!l->ssl) {
        buf_put(&l->out, data, len);
        return;
    }
    while (len) { /* into memory: takes everything at once, but in `int`s */
        int n = SSL_write(l->ssl, data, len > 1 << 20 ? 1 << 20 : (int)len);
        if (n <= 0) {
            ERR_clear_error();
            return; /* the line is about to end; reading says so */
        }
        data = (const uint8_t *)data + n;
        len -= (size_t)n;
    }
    collect(l);
}

void line_write(struct line *l, const void *data, size_t len)
{
    if (l->state != LINE_UP || len == 0)
        return;
    if (l->conf.path) {
        struct buf frame = {0};
        ws_put(&frame, data, len);
        put_plain(l, buf_data(&frame), buf_len(&frame));
        buf_fini(&frame);
    } else {
        put_plain(l, data, len);
    }
    if (flush(l)) /* told by the event that is bound to come, not from within the caller */
        shutdown(l->fd, SHUT_RDWR);
}

bool line_full(struct line *l)
{
    l->full = buf_len(&l->out) > FULL_AT;
    return l->full;
}

void line_pause(struct line *l, bool paused)
{
    if (l->paused == paused)
        return;
    l->paused = paused;
    watch_what_matters(l);
}

/* -- Opening -- */

static void is_up(struct line *l)
{
    l->state = LINE_UP;
    l->calls->up(l->arg);
}

static void upgrade(struct line *l)
{
    struct buf request = {0};

    if (!l->conf.path) {
        is_up(l);
        return;
    }
    l->state = LINE_UPGRADING;
    ws_ask(&l->ws, &request, l->conf.name, l->conf.path);
    put_plain(l, buf_data(&request), buf_len(&request));
    buf_fini(&request);
    if (flush(l))
        down(l, l->why);
}

static void handshake(struct line *l)
{
    char text[200];
    int done = SSL_do_handshake(l->ssl);
    int err = SSL_get_error(l->ssl, done);

    collect(l);
    if (done == 1) {
        if (flush(l))
            down(l, l->why);
        else
            upgrade(l);
    } else if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE) {
        if (flush(l))
            down(l, l->why);
    } else {
        tls_trouble(l, text, sizeof text);
        flush(l); /* the alert */
        down(l, text);
    }
}

static void connected(struct line *l)
{
    int err = 0;
    socklen_t len = sizeof err;

    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err) {
        down(l, strerror(err ? err : errno));
        return;
    }
    if (l->conf.tls) {
        l->state = LINE_SECURING;
        if (secure(l))
            down(l, "TLS cannot be set up");
        else
            handshake(l);
    } else {
        upgrade(l);
    }
}

int line_open(struct line *l, struct skep_module *m, const struct line_conf *conf,
              struct skep_str address)
{
    const struct sockaddr *to = (const void *)address.ptr;
    int one = 1;

    l->m = m;
    l->conf = *conf;
    l->ws = (struct ws){0};
    l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        goto fail;
    if (to->sa_family != AF_UNIX)
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(l->fd, to, (socklen_t)address.len) < 0 && errno != EINPROGRESS)
        goto fail;
    l->state = LINE_CONNECTING;
    l->watched = SKEP_READABLE | SKEP_WRITABLE;
    l->watch = skep_watch_new(m, l->fd, l->watched, on_ready, l);
    if (l->watch)
        return 0;
fail:
    snprintf(l->why, sizeof l->why, "%s", strerror(errno));
    line_close(l);
    return -1;
}

void line_adopt(struct line *l, struct skep_module *m)
{
    l->m = m;
    if (l->fd < 0)
        return;
    skep_watch_free(l->watch);
    l->watch = skep_watch_new(m, l->fd, l->watched, on_ready, l);
    if (!l->watch)
        down(l, "no watch for it");
}

/* -- Reading -- */

/* Plain bytes of the peer from raw_in to `to`.  1: it closed TLS.  -1: trouble. */
static int decrypt(struct line *l, struct buf *to)
{
    int n;

    if (buf_len(&l->raw_in)) {
        BIO_write(l->from_peer, buf_data(&l->raw_in), (int)buf_len(&l->raw_in));
        buf_clear(&l->raw_in);
    }
    while ((n = SSL_read(l->ssl, buf_room(to, 16384), 16384)) > 0)
        buf_grew(to, (size_t)n);
    int err = SSL_get_error(l->ssl, n);
    collect(l);
    if (err == SSL_ERROR_ZERO_RETURN)
        return 1;
    return err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* WebSocket frames to MQTT bytes; or the answer to the upgrade. */
static int unframe(struct line *l, struct buf *plain, struct buf *to)
{
    struct buf answers = {0};
    int failed = ws_take(&l->ws, plain, to, &answers);

    if (buf_len(&answers))
        put_plain(l, buf_data(&answers), buf_len(&answers));
    buf_fini(&answers);
    if (failed)
        snprintf(l->why, sizeof l->why, "%s", l->ws.why);
    return failed;
}

static void hand_on(struct line *l)
{
    struct buf bytes = l->in;

    l->in = (struct buf){0}; /* the line may be closed meanwhile */
    if (buf_len(&bytes))
        l->calls->data(l->arg, buf_data(&bytes), buf_len(&bytes));
    if (l->fd < 0 || l->in.ptr) {
        buf_fini(&bytes);
        return;
    }
    buf_clear(&bytes);
    l->in = bytes;
}

/* What has been read from the socket goes up, layer by layer.  Over TLS and WebSocket `plain` is
 * kept in raw_in between, since a frame may not be whole. */
static void digest(struct line *l)
{
    char text[sizeof l->why];
    int ended = 0;
    struct buf *last = l->conf.path ? &l->ws_raw : &l->in;

    if (l->ssl) {
        if (l->state == LINE_SECURING) {
            BIO_write(l->from_peer, buf_data(&l->raw_in), (int)buf_len(&l->raw_in));
            buf_clear(&l->raw_in);
            handshake(l);
            if (l->state == LINE_CLOSED || l->state == LINE_SECURING)
                return;
        }
        if ((ended = decrypt(l, last)) < 0) {
            down(l, tls_trouble(l, text, sizeof text));
            return;
        }
    } else {
        buf_put(last, buf_data(&l->raw_in), buf_len(&l->raw_in));
        buf_clear(&l->raw_in);
    }
    if (l->conf.path && unframe(l, &l->ws_raw, &l->in)) {
        snprintf(text, sizeof text, "%s", l->why);
        flush(l);
        down(l, text);
        return;
    }
    if (l->state == LINE_UPGRADING && l->ws.state == WS_OPEN)
        is_up(l);
    if (l->state == LINE_UP)
        hand_on(l);
    if (l->state != LINE_CLOSED && (ended || flush(l)))
        down(l, ended ? "it closed the connection" : l->why);
}

static void readable(struct line *l)
{
    ssize_t n = recv(l->fd, buf_room(&l->raw_in, READ_AT_ONCE), READ_AT_ONCE, 0);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n <= 0) {
        down(l, n < 0 ? strerror(errno) : "it closed the connection");
        return;
    }
    l->bytes_in += (uint64_t)n;
    buf_grew(&l->raw_in, (size_t)n);
    digest(l);
}

static void on_ready(int fd, unsigned what, void *arg)
{
    struct line *l = arg;
    const struct skep_watch *watch = l->watch;

    if (l->state == LINE_CONNECTING) {
        connected(l);
        return;
    }
    if (what & SKEP_READABLE)
        readable(l);
    if (l->watch != watch || l->fd != fd || !(what & SKEP_WRITABLE))
        return;
    if (flush(l)) {
        down(l, l->why);
    } else if (l->full && buf_len(&l->out) <= FULL_AT / 2) {
        l->full = false;
        l->calls->room(l->arg);
    }
}
