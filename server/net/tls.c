#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/psk.h"
#include "net/tls_context.h"

enum {
    RECORD_HANDSHAKE = 22, /* the first byte a client sends */
    RECORD_MAX = 16384,
    READ_SIZE = 49152, /* cipher bytes a read: with a record that was begun
                          earlier, their plain text fits PLAIN_SIZE */
    PLAIN_SIZE = READ_SIZE + 2 * RECORD_MAX,
    FLUSH_AT = 65536, /* cipher bytes gathered before they are sent */
    OWN_QUEUED_MAX = 4096,
    TURN_HANDSHAKE_NS = 2000 * 1000, /* spent on handshakes in one turn, and one more step */
};

struct tls {
    SSL *ssl;
    struct tls_context *ctx;
    struct residue *pending; /* plain text behind the socket's residue */
    char *cn, *subject, *psk_identity;
    size_t cn_len;
    uint32_t own_queued; /* bytes of alerts and key updates behind a residue */
    bool established, verified;
};

/* Shared by the TLS connections of a loop, one at a time. */
struct tls_io {
    BIO *bio;
    struct tls *current;
    const uint8_t *in; /* cipher bytes OpenSSL has not taken yet */
    size_t in_len;
    uint8_t *out; /* cipher bytes not sent yet */
    size_t out_len, out_cap;
    uint8_t plain[LOOP_HEADROOM + PLAIN_SIZE];
    uint8_t record[RECORD_MAX];
};

/* The BIO */

static int bio_read(BIO *bio, char *buf, size_t len, size_t *got)
{
    struct tls_io *io = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (io->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (len > io->in_len)
        len = io->in_len;
    memcpy(buf, io->in, len);
    io->in += len;
    io->in_len -= len;
    *got = len;
    return 1;
}

static int bio_write(BIO *bio, const char *buf, size_t len, size_t *written)
{
    struct tls_io *io = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (io->out_len + len > io->out_cap) {
        io->out_cap = 2 * (io->out_len + len);
        io->out = xrealloc(io->out, io->out_cap);
    }
    memcpy(io->out + io->out_len, buf, len);
    io->out_len += len;
    *written = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int cmd, long number, void *arg)
{
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "skep loop");
    ASSERT(method);
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

static struct tls_io *tls_io_of(struct loop *l)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!l->tls) {
        pthread_once(&once, make_method);
        struct tls_io *io = xcalloc(1, sizeof *io);
        io->bio = BIO_new(method);
        ASSERT(io->bio);
        BIO_set_data(io->bio, io);
        BIO_set_init(io->bio, 1);
        l->tls = io;
    }
    return l->tls;
}

void tls_io_free(struct tls_io **iop)
{
    struct tls_io *io = *iop;
    if (!io)
        return;
    *iop = NULL;
    BIO_free(io->bio);
    free(io->out);
    free(io);
}

/* Makes c the one that the BIO and the callbacks work for. */
static struct tls_io *enter(struct conn *c)
{
    struct tls_io *io = tls_io_of(conn_home(c));
    io->current = c->layer->tls;
    ERR_clear_error();
    return io;
}

/* Callbacks of OpenSSL during a handshake */

static struct tls_io *io_of(SSL *ssl)
{
    return BIO_get_data(SSL_get_rbio(ssl));
}

int tls_on_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX *ctx = tls_context_for_name(io_of(ssl)->current->ctx, name);
    if (ctx)
        SSL_set_SSL_CTX(ssl, ctx);
    return SSL_TLSEXT_ERR_OK;
}

int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                unsigned inlen, void *arg)
{
    struct str ours = tls_context_alpn(io_of(ssl)->current->ctx);
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, outlen, (const unsigned char *)ours.ptr, (unsigned)ours.len,
                              in, inlen) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

unsigned tls_on_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned most)
{
    struct tls *t = io_of(ssl)->current;
    struct str found = psk_find(tls_context_psk(t->ctx), str_of(identity));

    if (found.len == 0 || found.len > most)
        return 0;
    free(t->psk_identity);
    t->psk_identity = str_dup(str_of(identity));
    memcpy(key, found.ptr, found.len);
    return (unsigned)found.len;
}

/* Life */

void tls_begin(struct conn *c, struct tls_context *ctx)
{
    struct tls *t = xcalloc(1, sizeof *t);

    t->ctx = ctx;
    conn_layer(c)->tls = t;
}

/* OpenSSL's 9 KB are spent only on a peer that begins to speak TLS. */
static bool make_ssl(struct conn *c, struct tls_io *io, uint8_t first)
{
    struct tls *t = c->layer->tls;

    if (first != RECORD_HANDSHAKE) {
        phase_fail(c, CONN_TLS, "the peer does not speak TLS");
        return false;
    }
    t->ssl = SSL_new(tls_context_default(t->ctx));
    if (!t->ssl) {
        phase_fail(c, CONN_MEMORY, tls_reason());
        return false;
    }
    BIO_up_ref(io->bio);
    SSL_set_bio(t->ssl, io->bio, io->bio);
    SSL_set_accept_state(t->ssl);
    return true;
}

void tls_free(struct conn *c)
{
    struct tls *t = c->layer->tls;
    if (!t)
        return;
    c->layer->tls = NULL;
    SSL_free(t->ssl);
    tls_context_unref(&t->ctx);
    residue_free(&t->pending);
    free(t->cn);
    free(t->subject);
    free(t->psk_identity);
    free(t);
}

/* Puts bytes of the protocol's own (an alert, a key update) behind what the socket has not
 * taken.  A peer that asks for many and reads none is given up. */
static enum conn_result queue_own(struct conn *c, const struct out_vec *own)
{
    struct residue *old = c->out;
    struct cursor at = {.skip = old->skip};
    unsigned n = old->count - old->pos;

    c->layer->tls->own_queued += own->len;
    if (c->layer->tls->own_queued > OWN_QUEUED_MAX)
        return output_fail(c);
    struct out_vec *all = xmalloc((n + 1) * sizeof *all);
    memcpy(all, old->pieces + old->pos, n * sizeof *all);
    all[n] = *own;
    struct residue *joined = residue_new(all, n + 1, &at);
    free(all);
    if (!joined)
        return output_fail(c);
    residue_free(&c->out);
    c->out = joined;
    return CONN_BLOCKED;
}

/* Sends what OpenSSL wrote by itself or was made to write. */
static enum conn_result send_gathered(struct conn *c, struct tls_io *io)
{
    struct out_vec v = {io->out, io->out_len, NULL};

    io->out_len = 0;
    if (v.len == 0)
        return c->out ? CONN_BLOCKED : CONN_SENT;
    if (c->out)
        return queue_own(c, &v);
    c->layer->tls->own_queued = 0;
    return output_raw(c, &v, 1);
}

/* The handshake */

static char *asn1_text(const ASN1_STRING *s, size_t *len)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    if (n < 0)
        return NULL;
    char *copy = str_dup((struct str){(char *)utf8, (size_t)n});
    OPENSSL_free(utf8);
    *len = (size_t)n;
    return copy;
}

static char *subject_text(X509_NAME *name)
{
    BIO *mem = BIO_new(BIO_s_mem());
    char *text = NULL, *copy = NULL;

    if (mem && X509_NAME_print_ex(mem, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long len = BIO_get_mem_data(mem, &text);
        copy = str_dup((struct str){text, (size_t)len});
    }
    BIO_free(mem);
    return copy;
}

static void note_certificate(struct tls *t)
{
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK)
        return;
    X509_NAME *name = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at >= 0)
        t->cn = asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), &t->cn_len);
    t->subject = subject_text(name);
    t->verified = true;
}

/* A client may offer an identity and then be let in by certificate: keep the identity only
 * if its key was used.  (Contexts with pre-shared keys issue no tickets, so in TLS 1.3 a
 * resumed session is one by pre-shared key.) */
static void note_psk(struct tls *t)
{
    if (!t->psk_identity)
        return;
    int exchange = SSL_CIPHER_get_kx_nid(SSL_get_current_cipher(t->ssl));
    bool used = SSL_version(t->ssl) >= TLS1_3_VERSION
                    ? SSL_session_reused(t->ssl)
                    : exchange == NID_kx_psk || exchange == NID_kx_ecdhe_psk ||
                          exchange == NID_kx_dhe_psk || exchange == NID_kx_rsa_psk;
    if (!used) {
        free(t->psk_identity);
        t->psk_identity = NULL;
    }
}

static const char *why(struct tls *t)
{
    long verify = SSL_get_verify_result(t->ssl);
    if (verify != X509_V_OK) {
        ERR_clear_error();
        return X509_verify_cert_error_string(verify);
    }
    return tls_reason();
}

/* Only the first step waits, the dear one.  Whoever has got that far is brought to the end:
 * otherwise in a storm nobody would be done before everybody has begun. */
bool tls_must_wait(const struct conn *c)
{
    return !c->layer->tls->ssl && conn_home(c)->handshake_ns >= TURN_HANDSHAKE_NS;
}

/* True once established. */
static bool handshake(struct conn *c, struct tls_io *io)
{
    struct tls *t = c->layer->tls;
    struct loop *l = conn_home(c);
    uint64_t start_ns = clock_mono_ns();
    int result = SSL_do_handshake(t->ssl);
    int error = result == 1 ? 0 : SSL_get_error(t->ssl, result);

    l->handshake_ns += clock_mono_ns() - start_ns;
    send_gathered(c, io);
    if (result == 1) {
        t->established = true;
        note_certificate(t);
        note_psk(t);
        counter_add(&l->counters.handshakes, 1);
        return true;
    }
    if (error != SSL_ERROR_WANT_READ)
        phase_fail(c, CONN_TLS, why(t));
    return false;
}

/* Input */

/* Decrypts all that the BIO holds into io->plain; how it ended is OpenSSL's error. */
static size_t decrypt(struct tls *t, struct tls_io *io, int *error)
{
    size_t len = 0;
    for (;;) {
        size_t got;
        ASSERT(len < PLAIN_SIZE);
        int result = SSL_read_ex(t->ssl, io->plain + LOOP_HEADROOM + len, PLAIN_SIZE - len, &got);
        if (result != 1) {
            *error = SSL_get_error(t->ssl, result);
            return len;
        }
        len += got;
    }
}

void tls_input(struct conn *c, uint8_t *buf, size_t len)
{
    struct tls *t = c->layer->tls;
    struct tls_io *io = enter(c);
    int error;

    if (!t->ssl && !make_ssl(c, io, buf[0]))
        return;
    io->in = buf;
    io->in_len = len;
    if (!t->established) {
        if (!handshake(c, io))
            return;
        phase_next(c);
        if (c->flags & CONN_DYING)
            return;
        io->current = t;
    }
    size_t plain = decrypt(t, io, &error);
    send_gathered(c, io);
    if (plain > 0)
        phase_app_input(c, io->plain + LOOP_HEADROOM, plain);
    if (error == SSL_ERROR_ZERO_RETURN)
        conn_kill(c, CONN_PEER_CLOSED);
    else if (error != SSL_ERROR_WANT_READ)
        phase_fail(c, CONN_TLS, why(t));
}

/* Output */

/* The next run of plain bytes, at most a record: a large piece as it lies, small ones
 * gathered. */
static struct str next_record(struct tls_io *io, const struct out_vec *v, unsigned n,
                              struct cursor *at)
{
    size_t len = 0;

    while (at->pos < n && v[at->pos].len == at->skip)
        cursor_advance(at, v, n, 0);
    if (at->pos < n && v[at->pos].len - at->skip >= RECORD_MAX) {
        const char *start = (const char *)v[at->pos].ptr + at->skip;
        cursor_advance(at, v, n, RECORD_MAX);
        return (struct str){start, RECORD_MAX};
    }
    while (at->pos < n && len < RECORD_MAX) {
        size_t part = v[at->pos].len - at->skip;
        if (part > RECORD_MAX - len)
            part = RECORD_MAX - len;
        memcpy(io->record + len, (const char *)v[at->pos].ptr + at->skip, part);
        len += part;
        cursor_advance(at, v, n, part);
    }
    return (struct str){(char *)io->record, len};
}

/* Encrypts and sends until all is out or the socket blocks. */
static enum conn_result encrypt(struct conn *c, const struct out_vec *v, unsigned n,
                                struct cursor *at)
{
    struct tls *t = c->layer->tls;
    struct tls_io *io = enter(c);
    enum conn_result result = CONN_SENT;

    while (result == CONN_SENT && at->pos < n) {
        struct str record = next_record(io, v, n, at);
        size_t written;
        if (record.len == 0)
            break;
        if (SSL_write_ex(t->ssl, record.ptr, record.len, &written) != 1) {
            ERR_clear_error();
            return output_fail(c);
        }
        if (io->out_len >= FLUSH_AT)
            result = send_gathered(c, io);
    }
    if (result == CONN_SENT)
        result = send_gathered(c, io);
    return result;
}

enum conn_result tls_send(struct conn *c, const struct out_vec *v, unsigned n)
{
    struct cursor at = {0};

    ASSERT(!c->out);
    if (c->failed)
        return CONN_FAILED;
    enum conn_result result = encrypt(c, v, n, &at);
    if (result == CONN_BLOCKED && at.pos < n) {
        c->layer->tls->pending = residue_new(v, n, &at);
        if (!c->layer->tls->pending)
            return output_fail(c);
    }
    return result;
}

enum conn_result tls_flush(struct conn *c)
{
    struct tls *t = c->layer->tls;
    struct residue *r = t->pending;

    if (!r)
        return CONN_SENT;
    struct cursor at = {.pos = r->pos, .skip = r->skip};
    enum conn_result result = encrypt(c, r->pieces, r->count, &at);
    residue_advance(r, &at);
    if (r->pos == r->count)
        residue_free(&t->pending);
    return result;
}

size_t tls_residue(const struct conn *c)
{
    const struct residue *r = c->layer->tls->pending;
    return r ? r->bytes : 0;
}

void tls_goodbye(struct conn *c)
{
    struct tls *t = c->layer->tls;

    if (!t->established || !t->ssl || c->out || t->pending)
        return;
    struct tls_io *io = enter(c);
    io->in_len = 0;
    if (!(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
    send_gathered(c, io);
}

/* Facts */

void tls_facts(const struct conn *c, struct conn_facts *out)
{
    const struct tls *t = c->layer->tls;
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;

    out->is_tls = true;
    out->tls_version = str_of(SSL_get_version(t->ssl));
    out->tls_cipher = str_of(SSL_get_cipher_name(t->ssl));
    out->tls_server_name = str_of(SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name));
    out->cert_verified = t->verified;
    out->cert_cn = (struct str){t->cn, t->cn_len};
    out->cert_subject = str_of(t->subject);
    out->psk_identity = str_of(t->psk_identity);
    SSL_get0_alpn_selected(t->ssl, &alpn, &alpn_len);
    out->alpn = (struct str){(const char *)alpn, alpn_len};
}
