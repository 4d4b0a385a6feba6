#include "ctl/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/mem.h"

/* What the PSK callback needs; hangs on the SSL_CTX. */
struct psk {
    char identity[256];
    unsigned char key[64];
    unsigned len;
};

static int psk_index = -1;

static void psk_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp)
{
    if (ptr)
        OPENSSL_clear_free(ptr, sizeof(struct psk));
}

static unsigned psk_client(SSL *ssl, const char *hint, char *identity, unsigned max_identity,
                           unsigned char *key, unsigned max_key)
{
    const struct psk *psk = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), psk_index);

    if (strlen(psk->identity) >= max_identity || psk->len > max_key)
        return 0;
    strcpy(identity, psk->identity);
    memcpy(key, psk->key, psk->len);
    return psk->len;
}

static int psk_setup(SSL_CTX *ctx, const struct link_conf *conf, struct fault *fault)
{
    struct psk *psk;
    size_t len;

    if (!conf->psk_identity)
        return fault_set(fault, "--psk needs --psk-identity");
    if (strlen(conf->psk_identity) >= sizeof psk->identity)
        return fault_set(fault, "--psk-identity is longer than 255 bytes");
    if (psk_index < 0)
        psk_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, psk_free);
    psk = OPENSSL_zalloc(sizeof *psk);
    ASSERT(psk);
    SSL_CTX_set_ex_data(ctx, psk_index, psk);
    strcpy(psk->identity, conf->psk_identity);
    if (!OPENSSL_hexstr2buf_ex(psk->key, sizeof psk->key, &len, conf->psk, '\0') || len == 0)
        return fault_set(fault, "--psk wants up to 64 bytes as hexadecimal digits");
    psk->len = (unsigned)len;
    SSL_CTX_set_psk_client_callback(ctx, psk_client);
    /* The ordinary suites would ask a PSK-only listener for a certificate that it has not. */
    if (!conf->ciphers && !conf->ca_file && !conf->ca_dir)
        SSL_CTX_set_cipher_list(ctx, "PSK");
    return 0;
}

static int versions_setup(SSL_CTX *ctx, const char *version, struct fault *fault)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    if (!version)
        return 0;
    if (strcmp(version, "tlsv1.2") == 0 || strcmp(version, "1.2") == 0)
        return SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) ? 0 : -1;
    if (strcmp(version, "tlsv1.3") == 0 || strcmp(version, "1.3") == 0)
        return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ? 0 : -1;
    return fault_set(fault, "--tls-version: '%s' is neither tlsv1.2 nor tlsv1.3", version);
}

static int reason_fault(struct fault *fault, const char *what, const char *file)
{
    unsigned long err = ERR_peek_last_error();
    const char *reason =
        ERR_SYSTEM_ERROR(err) ? strerror((int)ERR_GET_REASON(err)) : ERR_reason_error_string(err);

    fault_set(fault, "%s %s: %s", what, file, reason ? reason : "not usable");
    ERR_clear_error();
    return -1;
}

static int files_setup(SSL_CTX *ctx, const struct link_conf *conf, struct fault *fault)
{
    const char *key = conf->key_file ? conf->key_file : conf->cert_file;

    if (conf->ca_file && !SSL_CTX_load_verify_file(ctx, conf->ca_file))
        return reason_fault(fault, "--cafile", conf->ca_file);
    if (conf->ca_dir && !SSL_CTX_load_verify_dir(ctx, conf->ca_dir))
        return reason_fault(fault, "--capath", conf->ca_dir);
    if (!conf->ca_file && !conf->ca_dir)
        SSL_CTX_set_default_verify_paths(ctx);
    if (conf->cert_file && SSL_CTX_use_certificate_chain_file(ctx, conf->cert_file) != 1)
        return reason_fault(fault, "--cert", conf->cert_file);
    if (key && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return reason_fault(fault, "--key", key);
    if (key && SSL_CTX_check_private_key(ctx) != 1)
        return fault_set(fault, "--key %s does not belong to --cert %s", key, conf->cert_file);
    return 0;
}

/* ALPN wants each name behind its length. */
static int alpn_setup(SSL_CTX *ctx, const char *name, struct fault *fault)
{
    unsigned char wire[256];
    size_t len = strlen(name);

    if (len == 0 || len > 255)
        return fault_set(fault, "--tls-alpn wants a name of 1 to 255 bytes");
    wire[0] = (unsigned char)len;
    memcpy(wire + 1, name, len);
    return SSL_CTX_set_alpn_protos(ctx, wire, (unsigned)len + 1) == 0 ? 0 : -1;
}

static int ctx_setup(SSL_CTX *ctx, const struct link_conf *conf, struct fault *fault)
{
    if (versions_setup(ctx, conf->tls_version, fault) < 0 || files_setup(ctx, conf, fault) < 0)
        return -1;
    if (conf->alpn && alpn_setup(ctx, conf->alpn, fault) < 0)
        return -1;
    if (conf->ciphers && !SSL_CTX_set_cipher_list(ctx, conf->ciphers) &&
        !SSL_CTX_set_ciphersuites(ctx, conf->ciphers))
        return fault_set(fault, "--ciphers: OpenSSL knows none of '%s'", conf->ciphers);
    if (conf->psk && psk_setup(ctx, conf, fault) < 0)
        return -1;
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_verify(ctx, conf->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return 0;
}

static void name_setup(SSL *ssl, const struct link_conf *conf)
{
    const char *name = conf->server_name ? conf->server_name
                       : conf->host      ? conf->host
                                         : "127.0.0.1";
    unsigned char address[16];
    bool is_address =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;

    if (is_address) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    } else {
        SSL_set_tlsext_host_name(ssl, name);
        SSL_set1_host(ssl, name);
    }
}

SSL *secure_new(const struct link_conf *conf, int fd, struct fault *fault)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    ASSERT(ctx);
    ERR_clear_error();
    if (ctx_setup(ctx, conf, fault) == 0) {
        ssl = SSL_new(ctx);
        ASSERT(ssl);
        name_setup(ssl, conf);
        SSL_set_fd(ssl, fd);
        SSL_set_connect_state(ssl);
    }
    SSL_CTX_free(ctx); /* the SSL holds its own reference */
    return ssl;
}

void secure_free(SSL **ssl)
{
    SSL_free(*ssl);
    *ssl = NULL;
}

static int untrusted_fault(long verify, const struct link_conf *conf, struct fault *fault)
{
    fault_set(fault, "the broker's certificate is not accepted: %s",
              X509_verify_cert_error_string(verify));
    if (verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return fault_hint(fault, "connect by a name in the certificate (-h), or say which one to "
                                 "expect with --server-name");
    return fault_hint(fault, "%s; --insecure takes any certificate, for tests only",
                      conf->ca_file ? "is this the right --cafile?"
                                    : "give the CA that signed it with --cafile");
}

int secure_fault(SSL *ssl, int ret, const struct link_conf *conf, struct fault *fault)
{
    int saved = errno;
    int kind = SSL_get_error(ssl, ret);
    long verify = SSL_get_verify_result(ssl);
    unsigned long err = ERR_peek_error();
    const char *reason = ERR_reason_error_string(err);

    ERR_clear_error();
    if (!conf->insecure && verify != X509_V_OK)
        return untrusted_fault(verify, conf, fault);
    if (kind == SSL_ERROR_SYSCALL && saved != 0)
        return fault_set(fault, "the connection failed: %s", strerror(saved));
    if (kind == SSL_ERROR_SSL && reason) {
        fault_set(fault, "%s", reason);
        if (ERR_GET_REASON(err) == SSL_R_WRONG_VERSION_NUMBER)
            fault_hint(fault, "the other side does not speak TLS; is this the right port?");
        return -1;
    }
    return fault_set(fault, "the broker closed the connection");
}
