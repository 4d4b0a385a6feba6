#include "net/proxied.h"

#include <stdlib.h>

#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"
#include "net/proxy.h"

struct proxied {
    struct proxy_header header; /* its views point into bytes */
    bool done;
    size_t len;
    char *bytes; /* the header so far, then as parsed */
};

void proxied_begin(struct conn *c)
{
    conn_layer(c)->proxied = xcalloc(1, sizeof(struct proxied));
}

void proxied_free(struct conn *c)
{
    struct proxied *p = c->layer->proxied;
    if (!p)
        return;
    c->layer->proxied = NULL;
    free(p->bytes);
    free(p);
}

/* The views must outlive the read buffer, so the header is parsed from our own copy. */
static bool append(struct proxied *p, const uint8_t *bytes, size_t len)
{
    char *grown = realloc(p->bytes, p->len + len);
    if (!grown)
        return false;
    memcpy(grown + p->len, bytes, len);
    p->bytes = grown;
    p->len += len;
    return true;
}

void proxied_input(struct conn *c, uint8_t *buf, size_t len)
{
    struct proxied *p = c->layer->proxied;
    size_t before = p->len, room = PROXY_HEADER_MAX - before;
    size_t take = len < room ? len : room;

    if (!append(p, buf, take)) {
        phase_fail(c, CONN_MEMORY, "no memory for the PROXY header");
        return;
    }
    int total =
        proxy_parse(&p->header, (struct str){p->bytes, p->len}, listener_proxy(conn_origin(c)));
    if (total == 0 && p->len < PROXY_HEADER_MAX)
        return;
    if (total <= 0) {
        phase_fail(c, CONN_PROTOCOL, "no valid PROXY header");
        return;
    }
    size_t used = (size_t)total - before;
    p->done = true;
    p->len = (size_t)total;
    phase_next(c);
    if (len > used && !(c->flags & CONN_DYING))
        phase_raw_input(c, buf + used, len - used);
}

void proxied_name(const struct conn *c, struct addr *out, bool peer)
{
    const struct proxied *p = c->layer->proxied;

    if (!p->done || p->header.local)
        return;
    if (p->header.known)
        *out = peer ? p->header.source : p->header.destination;
    else
        out->any.sa_family = AF_UNSPEC;
}

void proxied_facts(const struct conn *c, struct conn_facts *out)
{
    const struct proxy_header *h = &c->layer->proxied->header;

    out->is_proxied = true;
    if (out->is_tls || !h->tls)
        return;
    out->is_tls = true;
    out->tls_version = h->tls_version;
    out->tls_cipher = h->tls_cipher;
    out->tls_server_name = h->server_name;
    out->alpn = h->alpn;
    out->cert_verified = h->cert_verified;
    if (h->cert_verified)
        out->cert_cn = h->cert_cn;
}
