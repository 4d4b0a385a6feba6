/* Inside net: a connection that begins with a PROXY header, and what that header told. */
#ifndef SKEP_NET_PROXIED_H
#define SKEP_NET_PROXIED_H

#include "net/addr.h"
#include "net/conn.h"

/* Waits for the header. */
void proxied_begin(struct conn *c);
void proxied_free(struct conn *c);

/* Bytes from the socket until the header is whole; what is behind it goes on to
 * phase_raw_input(). */
void proxied_input(struct conn *c, uint8_t *buf, size_t len);

/* Replaces the socket's address by the header's; AF_UNSPEC where the balancer did not know. */
void proxied_name(const struct conn *c, struct addr *out, bool peer);
void proxied_facts(const struct conn *c, struct conn_facts *out);

#endif
