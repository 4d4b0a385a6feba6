/* A client's TLS, as configured. */
#include <openssl/err.h>
#include <stdio.h>

#include "conf.h"

static int password_for_key(char *buf, int size, int writing, void *arg)
{
    const struct skep_secret *secret = arg;
    int len = (int)secret->value.len;

    if (len == 0 || len > size)
        return 0;
    memcpy(buf, secret->value.ptr, (size_t)len);
    return len;
}

static void complain(const struct connection_conf *c, struct skep_report *report, const char *what,
                     const char *file)
{
    unsigned long err = ERR_peek_last_error();

    skep_report(report, &c->tls.block.place, NULL, "%s%s%s: %s", what, file ? " " : "",
                file ? file : "", err ? ERR_reason_error_string(err) : "OpenSSL refuses it");
    ERR_clear_error();
}

static int trust(SSL_CTX *ctx, const struct connection_conf *c, struct skep_report *report)
{
    int ok = c->tls.ca ? SSL_CTX_load_verify_locations(ctx, c->tls.ca, NULL)
                       : SSL_CTX_set_default_verify_paths(ctx);

    if (ok != 1)
        complain(c, report, "the authorities cannot be read:", c->tls.ca);
    SSL_CTX_set_verify(ctx, c->tls.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return ok == 1 ? 0 : -1;
}

static int identify(SSL_CTX *ctx, const struct connection_conf *c, struct skep_report *report)
{
    const struct tls_conf *t = &c->tls;

    if (!t->certificate != !t->key) {
        skep_report(report, &t->block.place, NULL, "a certificate and its key go together");
        return -1;
    }
    if (!t->certificate)
        return 0;
    SSL_CTX_set_default_passwd_cb(ctx, password_for_key);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, (void *)&t->key_password);
    int ok = 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, t->certificate) != 1)
        complain(c, report, "the certificate cannot be read:", t->certificate);
    else if (SSL_CTX_use_PrivateKey_file(ctx, t->key, SSL_FILETYPE_PEM) != 1)
        complain(c, report, "the key cannot be read:", t->key);
    else if (SSL_CTX_check_private_key(ctx) != 1)
        complain(c, report, "the key does not fit the certificate", NULL);
    else
        ok = 1;
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    return ok ? 0 : -1;
}

SSL_CTX *conf_tls(const struct connection_conf *c, struct skep_report *report)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (!ctx) {
        complain(c, report, "TLS", NULL);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    if (trust(ctx, c, report) || identify(ctx, c, report)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}
