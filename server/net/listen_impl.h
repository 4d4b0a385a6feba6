/* Inside net: what a connection asks of its listener.  Any thread. */
#ifndef SKEP_NET_LISTEN_IMPL_H
#define SKEP_NET_LISTEN_IMPL_H

#include "net/listen.h"

struct tls_context;
struct ws_rules;

const struct conn_handler *listener_handler(const struct listener *l);
bool listener_is_unix(const struct listener *l);
uint32_t listener_handshake_ms(const struct listener *l);
enum listen_proxy listener_proxy(const struct listener *l);
const struct ws_rules *listener_ws_rules(const struct listener *l); /* NULL: no WebSocket */
size_t listener_ws_max_head(const struct listener *l);
/* A reference to the current TLS context, or NULL where TLS is not spoken. */
struct tls_context *listener_tls(struct listener *l);

/* Drops the connection's reference. */
void listener_conn_gone(struct listener *l);
/* One more that died before up(). */
void listener_count_failed(struct listener *l);

#endif
