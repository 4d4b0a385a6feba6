/* The PROXY protocol header, versions 1 and 2, that a load balancer puts in front of a
 * connection to tell whom it speaks for; pure. */
#ifndef SKEP_NET_PROXY_H
#define SKEP_NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"
#include "net/listen.h"

/* More than any balancer sends; a version 2 header may announce 64 KB. */
enum { PROXY_HEADER_MAX = 4096 };

/* Views live as long as the bytes that were parsed. */
struct proxy_header {
    bool local; /* the balancer speaks for itself (a health check) */
    bool known; /* source and destination are set */
    struct addr source, destination;
    bool tls; /* its client came over TLS */
    bool cert_verified;
    struct str tls_version, tls_cipher, cert_cn, server_name, alpn;
};

/* Returns the header's length, 0 if it is not all there, or a negative error: what comes is
 * no PROXY header of an allowed version, or a malformed one. */
int proxy_parse(struct proxy_header *out, struct str bytes, enum listen_proxy allowed);

#endif
