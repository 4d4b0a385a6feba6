/* Inside net: what a connection asks of its listener.  Any thread. */
#ifndef SKEP_NET_LISTEN_IMPL_H
#define SKEP_NET_LISTEN_IMPL_H

#include "net/listen.h"

const struct conn_handler *listener_handler(const struct listener *l);
bool listener_is_unix(const struct listener *l);

/* Drops the connection's reference. */
void listener_conn_gone(struct listener *l);
/* One more that died before up(). */
void listener_count_failed(struct listener *l);

#endif
