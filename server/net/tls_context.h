/* What all TLS connections of a listener share: certificates, CA, CRL, pre-shared keys,
 * switches.  Built from files at once, immutable afterwards, counted: a reload builds
 * another one, and connections made under the old keep it.
 *
 * Ticket keys are random per context, so a reload (a longer CRL, say) also ends the
 * resumption of sessions that were checked under the old one. */
#ifndef SKEP_NET_TLS_CONTEXT_H
#define SKEP_NET_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "net/listen.h"

struct psk_table;
struct tls_context;

/* Reads the files.  0, or an error with `err` naming the file and the reason.  The
 * caller holds one reference. */
int tls_context_new(struct tls_context **out, const struct listen_tls *conf, char *err,
                    size_t errlen);

/* Any thread. */
struct tls_context *tls_context_ref(struct tls_context *ctx);
void tls_context_unref(struct tls_context **ctx); /* accepts NULL */

/* Where new SSL objects come from: the default certificate. */
SSL_CTX *tls_context_default(const struct tls_context *ctx);
/* The one for a server name, or NULL. */
SSL_CTX *tls_context_for_name(const struct tls_context *ctx, const char *name);
/* NULL without a psk_file. */
const struct psk_table *tls_context_psk(const struct tls_context *ctx);
/* Our protocols as ALPN writes them; empty when the extension is ignored. */
struct str tls_context_alpn(const struct tls_context *ctx);

/* The callbacks of tls.c that an SSL_CTX refers to. */
int tls_on_server_name(SSL *ssl, int *alert, void *arg);
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
                unsigned inlen, void *arg);
unsigned tls_on_psk(SSL *ssl, const char *identity, unsigned char *key, unsigned most);

/* The oldest entry of OpenSSL's error queue (the root of the trouble) as words; empties the queue.
 */
const char *tls_reason(void);

#endif
