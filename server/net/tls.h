/* Inside net: TLS on one connection, always on its own loop.
 *
 * OpenSSL never sees the socket.  One recv of the loop fills a buffer, a BIO shared by all
 * connections of the loop hands it to OpenSSL, and what OpenSSL writes is gathered in
 * another shared buffer and sent in one system call.  So an idle connection holds no
 * buffer of ours, and with SSL_MODE_RELEASE_BUFFERS none of OpenSSL's. */
#ifndef SKEP_NET_TLS_H
#define SKEP_NET_TLS_H

#include "net/conn.h"

struct tls_context;

/* Starts the handshake.  Takes over the caller's reference of ctx. */
void tls_begin(struct conn *c, struct tls_context *ctx);
void tls_free(struct conn *c);

/* True if this turn's share of handshake work is used up. */
bool tls_must_wait(const struct conn *c);
/* Cipher bytes from the socket: a handshake step, or plain bytes for phase_app_input(). */
void tls_input(struct conn *c, uint8_t *buf, size_t len);

enum conn_result tls_send(struct conn *c, const struct out_vec *v, unsigned n);
/* With the socket's residue gone: encrypts and sends what waited behind it. */
enum conn_result tls_flush(struct conn *c);
size_t tls_residue(const struct conn *c);
/* close_notify */
void tls_goodbye(struct conn *c);

void tls_facts(const struct conn *c, struct conn_facts *out);

#endif
