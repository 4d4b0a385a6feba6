/* An HTTP or HTTPS server of the tests' own: a thread for each connection, and answers by path.
 *
 *   /ok         200, "hello", a header of its own, the connection stays
 *   /echo       200, the request's head and body
 *   /wait       200 when the gate is opened
 *   /dead       no answer until the peer is closed
 *   /half       announces 100 bytes, sends 10, closes
 *   /garbage    no HTTP at all
 *   /huge       two MiB
 *   /headers    a head of 100 KiB
 *   /status/N   that status
 *   /to/PATH    302 to PATH
 *   /to-file    302 to a file: URL
 *   /loop       302 to itself
 *   /close      200, and closes the connection behind it */
#ifndef SKEP_TESTS_HTTP_PEER_H
#define SKEP_TESTS_HTTP_PEER_H

#include "host_fixture.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEER_CONNECTIONS = 4096 };

struct http_peer {
    int fd;
    unsigned port;
    SSL_CTX *tls;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, closing;
    pthread_t threads[PEER_CONNECTIONS];
    int fds[PEER_CONNECTIONS];
    unsigned connections; /* accepted so far */
    _Atomic unsigned requests, answering, most_at_once, waiting;
};

struct peer_line {
    struct http_peer *peer;
    unsigned at;
    int fd;
    SSL *ssl;
    char in[65536];
    size_t len;
};

static inline ssize_t line_read(struct peer_line *l, char *to, size_t len)
{
    return l->ssl ? SSL_read(l->ssl, to, (int)len) : recv(l->fd, to, len, 0);
}

static inline bool line_write(struct peer_line *l, const char *from, size_t len)
{
    while (len > 0) {
        ssize_t n =
            l->ssl ? SSL_write(l->ssl, from, (int)len) : send(l->fd, from, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        from += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool answer(struct peer_line *l, unsigned status, const char *more, const char *body,
                          size_t len)
{
    char head[1024];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %u Whatever\r\nX-Bee: first\r\nx-bee:  honey \r\n%s"
                     "Content-Length: %zu\r\n\r\n",
                     status, more, len);
    return line_write(l, head, (size_t)n) && line_write(l, body, len);
}

/* Until the gate opens (or the peer closes); the count of those that wait is what tests look at. */
static inline void wait_at_gate(struct http_peer *p, bool for_ever)
{
    pthread_mutex_lock(&p->lock);
    p->waiting++;
    while (!p->closing && (for_ever || !p->open))
        pthread_cond_wait(&p->changed, &p->lock);
    p->waiting--;
    pthread_mutex_unlock(&p->lock);
}

static inline bool send_redirect(struct peer_line *l, const char *to)
{
    char header[256];
    snprintf(header, sizeof header, "Location: %s\r\n", to);
    return answer(l, 302, header, "", 0);
}

static inline bool send_much(struct peer_line *l)
{
    size_t len = 2 << 20;
    char *much = xmalloc(len);
    memset(much, 'x', len);
    bool went = answer(l, 200, "", much, len);
    free(much);
    return went;
}

static inline bool send_long_head(struct peer_line *l)
{
    bool went = line_write(l, "HTTP/1.1 200 OK\r\n", 17);
    for (unsigned i = 0; went && i < 100; i++) {
        char header[1100];
        int n = snprintf(header, sizeof header, "X-%u: %01000u\r\n", i, i);
        went = line_write(l, header, (size_t)n);
    }
    return went && line_write(l, "Content-Length: 0\r\n\r\n", 21);
}

static inline bool respond(struct peer_line *l, const char *path, size_t whole)
{
    struct http_peer *p = l->peer;

    if (strcmp(path, "/echo") == 0)
        return answer(l, 200, "", l->in, whole);
    if (strcmp(path, "/wait") == 0)
        wait_at_gate(p, false);
    if (strcmp(path, "/dead") == 0) {
        wait_at_gate(p, true);
        return false;
    }
    if (strcmp(path, "/half") == 0) {
        line_write(l, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", 50);
        return false;
    }
    if (strcmp(path, "/garbage") == 0) {
        line_write(l, "MQTT is not HTTP\r\n\r\n", 20);
        return false;
    }
    if (strcmp(path, "/huge") == 0)
        return send_much(l);
    if (strcmp(path, "/headers") == 0)
        return send_long_head(l);
    if (strncmp(path, "/status/", 8) == 0)
        return answer(l, (unsigned)atoi(path + 8), "", "no", 2);
    if (strncmp(path, "/to/", 4) == 0)
        return send_redirect(l, path + 3);
    if (strcmp(path, "/to-file") == 0)
        return send_redirect(l, "file:///etc/hostname");
    if (strcmp(path, "/loop") == 0)
        return send_redirect(l, "/loop");
    bool went = answer(l, 200, "", "hello", 5);
    return went && strcmp(path, "/close") != 0;
}

/* Length of the request that is whole in `in`; 0: not yet. */
static inline size_t whole_request(const struct peer_line *l)
{
    const char *end = memmem(l->in, l->len, "\r\n\r\n", 4);
    const char *length = memmem(l->in, l->len, "Content-Length: ", 16);

    if (!end)
        return 0;
    size_t head = (size_t)(end - l->in) + 4;
    size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return l->len >= head + body ? head + body : 0;
}

static inline void note_most(struct http_peer *p, unsigned now)
{
    unsigned most = p->most_at_once;
    while (now > most && !atomic_compare_exchange_weak(&p->most_at_once, &most, now))
        ;
}

static inline bool serve_one(struct peer_line *l, size_t whole)
{
    char path[256] = "";

    sscanf(l->in, "%*s %255[^ ?]", path);
    l->peer->requests++;
    note_most(l->peer, ++l->peer->answering);
    bool on = respond(l, path, whole);
    l->peer->answering--;
    memmove(l->in, l->in + whole, l->len - whole);
    l->len -= whole;
    return on;
}

static inline void *line_main(void *arg)
{
    struct peer_line *l = arg;
    bool on = !l->ssl || SSL_accept(l->ssl) == 1;

    while (on) {
        size_t whole = whole_request(l);
        if (whole > 0) {
            on = serve_one(l, whole);
            continue;
        }
        ssize_t n = line_read(l, l->in + l->len, sizeof l->in - 1 - l->len);
        on = n > 0;
        if (on) {
            l->len += (size_t)n;
            l->in[l->len] = '\0';
        }
    }
    if (l->ssl) {
        SSL_shutdown(l->ssl);
        SSL_free(l->ssl);
    }
    pthread_mutex_lock(&l->peer->lock);
    l->peer->fds[l->at] = -1;
    close(l->fd);
    pthread_mutex_unlock(&l->peer->lock);
    free(l);
    return NULL;
}

static inline void *peer_main(void *arg)
{
    struct http_peer *p = arg;
    int fd;

    while ((fd = accept(p->fd, NULL, NULL)) >= 0) {
        struct peer_line *l = xcalloc(1, sizeof *l);
        pthread_mutex_lock(&p->lock);
        assert_true(p->connections < PEER_CONNECTIONS);
        *l = (struct peer_line){.peer = p, .fd = fd, .at = p->connections++};
        if (p->tls) {
            l->ssl = SSL_new(p->tls);
            SSL_set_fd(l->ssl, fd);
        }
        p->fds[l->at] = fd;
        pthread_create(&p->threads[l->at], NULL, line_main, l);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

/* cert NULL: plain HTTP; client_ca: certificates of clients are asked for and checked. */
static inline struct http_peer *peer_open(const char *cert, const char *key, const char *client_ca)
{
    struct http_peer *p = xcalloc(1, sizeof *p);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;

    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (cert) {
        p->tls = SSL_CTX_new(TLS_server_method());
        assert_int_equal(SSL_CTX_use_certificate_chain_file(p->tls, cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(p->tls, key, SSL_FILETYPE_PEM), 1);
    }
    if (client_ca) {
        assert_int_equal(SSL_CTX_load_verify_locations(p->tls, client_ca, NULL), 1);
        SSL_CTX_set_verify(p->tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(p->fd, 1024), 0);
    assert_int_equal(getsockname(p->fd, (struct sockaddr *)&at, &len), 0);
    p->port = ntohs(at.sin_port);
    pthread_create(&p->thread, NULL, peer_main, p);
    return p;
}

static inline void peer_gate(struct http_peer *p, bool open)
{
    pthread_mutex_lock(&p->lock);
    p->open = open;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static inline unsigned peer_connections(struct http_peer *p)
{
    pthread_mutex_lock(&p->lock);
    unsigned count = p->connections;
    pthread_mutex_unlock(&p->lock);
    return count;
}

static inline void peer_close(struct http_peer *p)
{
    shutdown(p->fd, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->changed);
    for (unsigned i = 0; i < p->connections; i++) {
        if (p->fds[i] >= 0)
            shutdown(p->fds[i], SHUT_RDWR);
    }
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->connections; i++)
        pthread_join(p->threads[i], NULL);
    close(p->fd);
    SSL_CTX_free(p->tls);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

#endif
