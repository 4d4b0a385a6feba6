#include "net/tls_context.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/psk.h"

/* Forward secrecy and authenticated encryption only. */
#define CIPHERS                                                                                    \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
/* Small devices with a pre-shared key often speak nothing better than the last ones. */
#define CIPHERS_PSK                                                                                \
    "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-AES256-GCM-SHA384:"             \
    "ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:"                     \
    "PSK-CHACHA20-POLY1305:PSK-AES128-CCM:PSK-AES256-CCM"

struct tls_context {
    _Atomic uint32_t refs;
    SSL_CTX **certs; /* one a certificate, the first is the default */
    size_t count;
    struct psk_table *psk;
    unsigned char *alpn;
    size_t alpn_len;
};

/* Where an error message goes. */
struct complaint {
    char *text;
    size_t size;
};

const char *tls_reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    if (!reason && code && ERR_SYSTEM_ERROR(code))
        reason = strerror(ERR_GET_REASON(code));
    ERR_clear_error();
    return reason ? reason : "no reason given";
}

static int complain(struct complaint *c, const char *what, const char *file, const char *why)
{
    snprintf(c->text, c->size, "%s '%s': %s", what, file, why);
    return ERR_TLS;
}

static int complain_tls(struct complaint *c, const char *what, const char *file)
{
    return complain(c, what, file, tls_reason());
}

/* OpenSSL words a missing file badly. */
static int check_readable(struct complaint *c, const char *what, const char *file)
{
    FILE *f = fopen(file, "re");
    if (!f)
        return complain(c, what, file, strerror(errno));
    fclose(f);
    return 0;
}

/* Without this OpenSSL would ask on the terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    *(bool *)arg = true;
    return -1;
}

static int load_key(SSL_CTX *ctx, const struct listen_cert *cert, struct complaint *c)
{
    bool encrypted = false;
    int err = check_readable(c, "key", cert->key);

    if (err < 0)
        return err;
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &encrypted);
    int ok = SSL_CTX_use_PrivateKey_file(ctx, cert->key, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (ok == 1)
        return 0;
    if (encrypted) {
        ERR_clear_error();
        return complain(c, "key", cert->key, "is encrypted; store it without a passphrase");
    }
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason != X509_R_KEY_VALUES_MISMATCH && reason != X509_R_KEY_TYPE_MISMATCH)
        return complain_tls(c, "key", cert->key);
    ERR_clear_error();
    snprintf(c->text, c->size, "key '%s' does not belong to certificate '%s'", cert->key,
             cert->certificate);
    return ERR_TLS;
}

static int load_certificate(SSL_CTX *ctx, const struct listen_cert *cert, struct complaint *c)
{
    int err = check_readable(c, "certificate", cert->certificate);
    if (err < 0)
        return err;
    if (SSL_CTX_use_certificate_chain_file(ctx, cert->certificate) != 1)
        return complain_tls(c, "certificate", cert->certificate);
    return load_key(ctx, cert, c); /* which compares it with the certificate */
}

static int set_ciphers(SSL_CTX *ctx, const struct listen_tls *conf, struct complaint *c)
{
    const char *ciphers = conf->ciphers;
    if (!ciphers)
        ciphers = !conf->psk_file    ? CIPHERS
                  : conf->cert_count ? CIPHERS ":" CIPHERS_PSK
                                     : CIPHERS_PSK;
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return complain_tls(c, "ciphers", ciphers);
    if (conf->ciphersuites && SSL_CTX_set_ciphersuites(ctx, conf->ciphersuites) != 1)
        return complain_tls(c, "ciphersuites", conf->ciphersuites);
    if (conf->curves && SSL_CTX_set1_curves_list(ctx, conf->curves) != 1)
        return complain_tls(c, "curves", conf->curves);
    return 0;
}

static void set_switches(SSL_CTX *ctx, const struct listen_tls *conf)
{
    static const unsigned char session_id[] = "skep";
    bool tickets = conf->tickets && !conf->psk_file; /* a resumed session would have lost its
                                                        PSK identity */

    SSL_CTX_set_min_proto_version(ctx, conf->min_version == LISTEN_TLS_1_3 ? TLS1_3_VERSION
                                                                           : TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 (tickets ? 0 : SSL_OP_NO_TICKET));
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, tickets ? 1 : 0);
    SSL_CTX_set_session_id_context(ctx, session_id, sizeof session_id - 1);
    SSL_CTX_set_dh_auto(ctx, 1);
    SSL_CTX_set_quiet_shutdown(ctx, 0);
}

static int make_ctx(SSL_CTX **out, const struct listen_tls *conf, const struct listen_cert *cert,
                    struct complaint *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int err;

    if (!ctx)
        return complain_tls(c, "TLS", "context");
    set_switches(ctx, conf);
    if ((err = set_ciphers(ctx, conf, c)) < 0)
        goto fail;
    if (cert && (err = load_certificate(ctx, cert, c)) < 0)
        goto fail;
    *out = ctx;
    return 0;
fail:
    SSL_CTX_free(ctx);
    return err;
}

/* Client certificates */

static int add_ca_file(X509_STORE *store, STACK_OF(X509_NAME) * names, const char *file,
                       struct complaint *c)
{
    int err = check_readable(c, "client_ca", file);
    if (err < 0)
        return err;
    if (X509_STORE_load_file(store, file) != 1)
        return complain_tls(c, "client_ca", file);
    SSL_add_file_cert_subjects_to_stack(names, file);
    ERR_clear_error();
    return 0;
}

/* All certificate files of a folder, now: OpenSSL's own way would read them during
 * handshakes, on a loop, and want hashed names. */
static int add_ca_dir(X509_STORE *store, STACK_OF(X509_NAME) * names, const char *path,
                      struct complaint *c)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned loaded = 0;
    int err = 0;

    if (!dir)
        return complain(c, "client_ca folder", path, strerror(errno));
    while (err == 0 && (entry = readdir(dir))) {
        char file[4096];
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || stat(file, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        err = add_ca_file(store, names, file, c);
        loaded++;
    }
    closedir(dir);
    if (err == 0 && loaded == 0)
        return complain(c, "client_ca folder", path, "has no certificates");
    return err;
}

static int add_crl(X509_STORE *store, const char *file, struct complaint *c)
{
    int err = check_readable(c, "crl", file);
    if (err < 0)
        return err;
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (!lookup || X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) <= 0)
        return complain_tls(c, "crl", file);
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return 0;
}

static int load_verify(const struct listen_tls *conf, X509_STORE *store,
                       STACK_OF(X509_NAME) * names, struct complaint *c)
{
    int err = 0;
    if (!conf->client_ca_file && !conf->client_ca_dir) {
        snprintf(c->text, c->size,
                 "client certificates are to be verified, but no client_ca says "
                 "by whom they must be signed");
        return ERR_INVALID;
    }
    if (conf->client_ca_file)
        err = add_ca_file(store, names, conf->client_ca_file, c);
    if (err == 0 && conf->client_ca_dir)
        err = add_ca_dir(store, names, conf->client_ca_dir, c);
    if (err == 0 && conf->crl_file)
        err = add_crl(store, conf->crl_file, c);
    return err;
}

static int set_verify(struct tls_context *t, const struct listen_tls *conf, struct complaint *c)
{
    if (conf->verify == LISTEN_VERIFY_NONE)
        return 0;
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    ASSERT(store && names);
    int mode = SSL_VERIFY_PEER |
               (conf->verify == LISTEN_VERIFY_REQUIRE ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

    int err = load_verify(conf, store, names, c);
    for (size_t i = 0; err == 0 && i < t->count; i++) {
        SSL_CTX_set1_cert_store(t->certs[i], store);
        SSL_CTX_set_client_CA_list(t->certs[i], SSL_dup_CA_list(names));
        SSL_CTX_set_verify(t->certs[i], mode, NULL);
    }
    X509_STORE_free(store);
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return err;
}

static int set_alpn(struct tls_context *t, const struct listen_tls *conf, struct complaint *c)
{
    size_t total = 0;
    for (size_t i = 0; i < conf->alpn.count; i++) {
        size_t len = strlen(conf->alpn.items[i]);
        if (len == 0 || len > 255)
            return complain(c, "alpn", conf->alpn.items[i], "a protocol name has 1 to 255 bytes");
        total += 1 + len;
    }
    if (total == 0)
        return 0;
    t->alpn = xmalloc(total);
    for (size_t i = 0; i < conf->alpn.count; i++) {
        size_t len = strlen(conf->alpn.items[i]);
        t->alpn[t->alpn_len++] = (unsigned char)len;
        memcpy(t->alpn + t->alpn_len, conf->alpn.items[i], len);
        t->alpn_len += len;
    }
    for (size_t i = 0; i < t->count; i++) /* asked of the one the server name led to */
        SSL_CTX_set_alpn_select_cb(t->certs[i], tls_on_alpn, NULL);
    return 0;
}

static int set_psk(struct tls_context *t, const struct listen_tls *conf, struct complaint *c)
{
    if (!conf->psk_file)
        return 0;
    int err = psk_table_new(&t->psk, conf->psk_file, c->text, c->size);
    if (err < 0)
        return err;
    SSL_CTX_set_psk_server_callback(t->certs[0], tls_on_psk);
    if (conf->psk_hint && SSL_CTX_use_psk_identity_hint(t->certs[0], conf->psk_hint) != 1)
        return complain_tls(c, "psk_hint", conf->psk_hint);
    return 0;
}

/* The names a certificate is for, as bytes to compare; falls back to the subject. */
static bool same_names(const X509 *a, const X509 *b)
{
    int i = X509_get_ext_by_NID(a, NID_subject_alt_name, -1);
    int j = X509_get_ext_by_NID(b, NID_subject_alt_name, -1);

    if (i < 0 || j < 0)
        return i == j && X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)) == 0;
    return ASN1_OCTET_STRING_cmp(X509_EXTENSION_get_data(X509_get_ext(a, i)),
                                 X509_EXTENSION_get_data(X509_get_ext(b, j))) == 0;
}

/* An RSA and an ECDSA certificate for the same names belong into one context: OpenSSL then
 * takes the one that the client can check.  The context they share, or NULL. */
static SSL_CTX *find_twin(const struct tls_context *t, SSL_CTX *fresh)
{
    X509 *cert = SSL_CTX_get0_certificate(fresh);
    int type = EVP_PKEY_get_base_id(X509_get0_pubkey(cert));

    for (size_t i = 0; i < t->count; i++) {
        X509 *other = SSL_CTX_get0_certificate(t->certs[i]);
        if (type != EVP_PKEY_get_base_id(X509_get0_pubkey(other)) && same_names(cert, other))
            return t->certs[i];
    }
    return NULL;
}

static int add_certificate(struct tls_context *t, const struct listen_tls *conf,
                           const struct listen_cert *cert, struct complaint *c)
{
    SSL_CTX *fresh, *twin;
    int err = make_ctx(&fresh, conf, cert, c);

    if (err < 0)
        return err;
    if (cert && (twin = find_twin(t, fresh))) {
        SSL_CTX_free(fresh);
        return load_certificate(twin, cert, c);
    }
    t->certs[t->count++] = fresh;
    return 0;
}

static int make_all(struct tls_context *t, const struct listen_tls *conf, struct complaint *c)
{
    size_t wanted = conf->cert_count ? conf->cert_count : 1;
    int err;

    if (conf->cert_count == 0 && !conf->psk_file) {
        snprintf(c->text, c->size, "TLS needs a certificate and key, or a psk_file");
        return ERR_INVALID;
    }
    t->certs = xcalloc(wanted, sizeof(SSL_CTX *));
    for (size_t i = 0; i < wanted; i++) {
        if ((err = add_certificate(t, conf, conf->cert_count ? &conf->certs[i] : NULL, c)) < 0)
            return err;
    }
    if ((err = set_verify(t, conf, c)) < 0 || (err = set_alpn(t, conf, c)) < 0)
        return err;
    SSL_CTX_set_tlsext_servername_callback(t->certs[0], tls_on_server_name);
    return set_psk(t, conf, c);
}

int tls_context_new(struct tls_context **out, const struct listen_tls *conf, char *err,
                    size_t errlen)
{
    struct tls_context *t = xcalloc(1, sizeof *t);
    struct complaint complaint = {err, errlen};

    atomic_store(&t->refs, 1);
    ERR_clear_error();
    int result = make_all(t, conf, &complaint);
    ERR_clear_error();
    if (result < 0) {
        tls_context_unref(&t);
        return result;
    }
    *out = t;
    return 0;
}

struct tls_context *tls_context_ref(struct tls_context *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_context_unref(struct tls_context **tp)
{
    struct tls_context *t = *tp;
    *tp = NULL;
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    for (size_t i = 0; i < t->count; i++)
        SSL_CTX_free(t->certs[i]);
    free(t->certs);
    psk_table_free(&t->psk);
    free(t->alpn);
    free(t);
}

SSL_CTX *tls_context_default(const struct tls_context *t)
{
    return t->certs[0];
}

/* An exact name goes before a wildcard, and an earlier certificate before a later one. */
SSL_CTX *tls_context_for_name(const struct tls_context *t, const char *name)
{
    static const unsigned rounds[] = {X509_CHECK_FLAG_NO_WILDCARDS, 0};

    for (size_t round = 0; round < ARRAY_LEN(rounds) && t->count > 1; round++) {
        for (size_t i = 0; i < t->count; i++) {
            X509 *cert = SSL_CTX_get0_certificate(t->certs[i]);
            if (cert && X509_check_host(cert, name, 0, rounds[round], NULL) == 1)
                return t->certs[i];
        }
    }
    return NULL;
}

const struct psk_table *tls_context_psk(const struct tls_context *t)
{
    return t->psk;
}

struct str tls_context_alpn(const struct tls_context *t)
{
    return (struct str){(const char *)t->alpn, t->alpn_len};
}
