/* Certificates made on the spot, and a TLS client turned together with the loop. */
#ifndef SKEP_TESTS_TLS_FIXTURE_H
#define SKEP_TESTS_TLS_FIXTURE_H

#include "net_fixture.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

struct identity {
    X509 *cert;
    EVP_PKEY *key;
    char cert_path[128], key_path[128];
};

static inline void set_name(X509_NAME *name, const char *cn)
{
    X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Skep, Ltd", -1, -1,
                               0);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
}

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    X509_add_ext(cert, e, -1);
    X509_EXTENSION_free(e);
}

/* Takes over the key.  issuer NULL: a CA that signs itself.  names: "DNS:a,DNS:b" or NULL. */
static inline struct identity identity_with_key(const char *dir, const char *file, const char *cn,
                                                const char *names, const struct identity *issuer,
                                                EVP_PKEY *key)
{
    static long serial = 1000;
    struct identity id = {.cert = X509_new(), .key = key};

    X509_set_version(id.cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(id.cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(id.cert), 86400);
    X509_set_pubkey(id.cert, id.key);
    set_name(X509_get_subject_name(id.cert), cn);
    X509 *by = issuer ? issuer->cert : id.cert;
    X509_set_issuer_name(id.cert, X509_get_subject_name(by));
    add_extension(id.cert, by, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (!issuer)
        add_extension(id.cert, by, NID_key_usage, "critical,keyCertSign,cRLSign");
    if (names)
        add_extension(id.cert, by, NID_subject_alt_name, names);
    assert_true(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()) > 0);

    snprintf(id.cert_path, sizeof id.cert_path, "%s/%s.pem", dir, file);
    snprintf(id.key_path, sizeof id.key_path, "%s/%s.key", dir, file);
    FILE *f = fopen(id.cert_path, "w");
    PEM_write_X509(f, id.cert);
    fclose(f);
    f = fopen(id.key_path, "w");
    PEM_write_PrivateKey(f, id.key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    return id;
}

static inline struct identity identity_new(const char *dir, const char *file, const char *cn,
                                           const char *names, const struct identity *issuer)
{
    return identity_with_key(dir, file, cn, names, issuer, EVP_EC_gen("P-256"));
}

static inline void identity_free(struct identity *id)
{
    unlink(id->cert_path);
    unlink(id->key_path);
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    *id = (struct identity){0};
}

/* revoked NULL: an empty list. */
static inline void write_crl(const char *path, const struct identity *ca,
                             const struct identity *revoked)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *later = X509_gmtime_adj(NULL, 86400);
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca->cert));
    X509_CRL_set1_lastUpdate(crl, now);
    X509_CRL_set1_nextUpdate(crl, later);
    if (revoked) {
        X509_REVOKED *r = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(revoked->cert));
        X509_REVOKED_set_revocationDate(r, now);
        X509_CRL_add0_revoked(crl, r);
    }
    X509_CRL_sort(crl);
    assert_true(X509_CRL_sign(crl, ca->key, EVP_sha256()) > 0);
    FILE *f = fopen(path, "w");
    PEM_write_X509_CRL(f, crl);
    fclose(f);
    ASN1_TIME_free(now);
    ASN1_TIME_free(later);
    X509_CRL_free(crl);
}

/* A client on a non-blocking socket. */
struct tls_client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static inline struct tls_client tls_client_new(uint16_t port)
{
    struct tls_client c = {.ctx = SSL_CTX_new(TLS_client_method())};
    assert_non_null(c.ctx);
    c.fd = client_connect(port);
    assert_return_code(fcntl(c.fd, F_SETFL, O_NONBLOCK), errno);
    return c;
}

static inline void tls_client_begin(struct tls_client *c)
{
    if (c->ssl)
        return;
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_connect_state(c->ssl);
}

static inline bool would_block(struct tls_client *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Runs the handshake to its end.  True if the client is content; in TLS 1.3 the server's
 * refusal shows only in tls_client_read(). */
static inline bool tls_client_connect(struct tls_client *c, struct loop *l)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    tls_client_begin(c);
    for (;;) {
        int result = SSL_do_handshake(c->ssl);
        if (result == 1)
            return true;
        if (!would_block(c, result))
            return false;
        assert_true(clock_mono_ms() < end);
        loop_turn(l, 1);
    }
}

/* Reads len bytes; false if the connection ended instead. */
static inline bool tls_client_read(struct tls_client *c, struct loop *l, void *buf, size_t len)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    size_t have = 0;
    while (have < len) {
        size_t got = 0;
        int result = SSL_read_ex(c->ssl, (char *)buf + have, len - have, &got);
        have += got;
        if (result != 1) {
            if (!would_block(c, result))
                return false;
            loop_turn(l, 1);
        }
        assert_true(clock_mono_ms() < end);
    }
    return true;
}

static inline void tls_client_write(struct tls_client *c, struct loop *l, const void *buf,
                                    size_t len)
{
    uint64_t end = clock_mono_ms() + DEADLINE_MS;
    size_t done = 0;
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (done < len) {
        size_t n = 0;
        int result = SSL_write_ex(c->ssl, (const char *)buf + done, len - done, &n);
        done += n;
        if (result != 1) {
            assert_true(would_block(c, result));
            loop_turn(l, 1);
        }
        assert_true(clock_mono_ms() < end);
    }
}

static inline void tls_client_free(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct tls_client){.fd = -1};
    ERR_clear_error();
}

#endif
