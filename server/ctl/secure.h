/* TLS for links: a client context made from a link_conf, and errors told in words. */
#ifndef SKEP_CTL_SECURE_H
#define SKEP_CTL_SECURE_H

#include <openssl/ssl.h>

#include "ctl/link.h"

/* A client session for the socket, name checks set up, handshake not begun.  NULL with fault.
 * Free with secure_free. */
SSL *secure_new(const struct link_conf *conf, int fd, struct fault *fault);
void secure_free(SSL **ssl);

/* Describes the failure of the last call on ssl (ret is what it returned).  Returns -1. */
int secure_fault(SSL *ssl, int ret, const struct link_conf *conf, struct fault *fault);

#endif
