/* TLS. */
#include "secure.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

/* Keep the newest ticket; the previous one goes.  Returning 1 takes the reference. */
static int session_seen(SSL *ssl, SSL_SESSION *session)
{
    struct turn *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION_free(t->session);
    t->session = session;
    return 1;
}

int secure_open(struct turn *t)
{
    t->tls = SSL_CTX_new(TLS_client_method());
    if (!t->tls) {
        turn_fail(t, "cannot start TLS");
        return -1;
    }
    SSL_CTX_set_mode(t->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(t->tls, 1);
    /* A broker that closes without close_notify is no error of the measurement. */
    SSL_CTX_set_options(t->tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_app_data(t->tls, t);
    if (t->plan->resume) {
        SSL_CTX_set_session_cache_mode(t->tls, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(t->tls, session_seen);
    }
    if (t->plan->ca) {
        SSL_CTX_set_verify(t->tls, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(t->tls, t->plan->ca, NULL) != 1) {
            turn_fail(t, "%s: not a list of certificates", t->plan->ca);
            return -1;
        }
    }
    return 0;
}

void secure_close(struct turn *t)
{
    SSL_SESSION_free(t->session);
    SSL_CTX_free(t->tls);
    t->session = NULL;
    t->tls = NULL;
}

int secure_start(struct chan *c)
{
    struct turn *t = c->turn;

    c->ssl = SSL_new(t->tls);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
        return -1;
    if (t->plan->ca) {
        X509_VERIFY_PARAM *check = SSL_get0_param(c->ssl);
        if (X509_VERIFY_PARAM_set1_ip_asc(check, t->plan->host) != 1 &&
            X509_VERIFY_PARAM_set1_host(check, t->plan->host, 0) != 1)
            return -1;
    }
    SSL_set_tlsext_host_name(c->ssl, t->plan->host);
    if (t->session) {
        /* A copy: a connection that ends badly marks its session as not to be used again. */
        SSL_SESSION *copy = SSL_SESSION_dup(t->session);
        SSL_set_session(c->ssl, copy);
        SSL_SESSION_free(copy);
    }
    SSL_set_connect_state(c->ssl);
    return 0;
}

int secure_shake(struct chan *c, const char **why)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->ssl);
    if (done == 1)
        return 1;
    int err = SSL_get_error(c->ssl, done);
    if (err == SSL_ERROR_WANT_READ || err == SSL_ERROR_WANT_WRITE)
        return 0;
    *why = ERR_reason_error_string(ERR_peek_last_error());
    if (!*why)
        *why = "closed during the TLS handshake";
    return -1;
}

void secure_drop(struct chan *c)
{
    if (!c->ssl)
        return;
    if (SSL_is_init_finished(c->ssl))
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    c->ssl = NULL;
}

static ssize_t secure_result(struct chan *c, int done)
{
    if (done > 0)
        return done;
    switch (SSL_get_error(c->ssl, done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = ECONNRESET;
        return -1;
    }
}

ssize_t secure_read(struct chan *c, uint8_t *p, size_t n)
{
    ERR_clear_error();
    return secure_result(c, SSL_read(c->ssl, p, n > 1 << 20 ? 1 << 20 : (int)n));
}

ssize_t secure_write(struct chan *c, const uint8_t *p, size_t n)
{
    ERR_clear_error();
    return secure_result(c, SSL_write(c->ssl, p, n > 1 << 20 ? 1 << 20 : (int)n));
}
