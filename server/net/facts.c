/* What is known about a connection's two ends. */
#include <stdio.h>
#include <string.h>

#include "net/addr.h"
#include "net/conn_impl.h"
#include "net/proxied.h"
#include "net/tls.h"
#include "net/ws.h"

/* The system forgets the peer of a socket that was reset. */
static void socket_name(const struct conn *c, struct addr *out, bool peer)
{
    out->len = sizeof out->local;
    int result = peer ? getpeername(conn_socket(c), &out->any, &out->len)
                      : getsockname(conn_socket(c), &out->any, &out->len);
    if (result < 0)
        out->any.sa_family = AF_UNSPEC;
    if (c->layer && c->layer->proxied)
        proxied_name(c, out, peer);
}

const char *conn_peer(const struct conn *c, char out[CONN_ADDR_MAX])
{
    struct addr a;
    socket_name(c, &a, true);
    addr_text(&a.any, out, CONN_ADDR_MAX);
    return out;
}

const char *conn_local(const struct conn *c, char out[CONN_ADDR_MAX])
{
    struct addr a;
    socket_name(c, &a, false);
    addr_text(&a.any, out, CONN_ADDR_MAX);
    return out;
}

bool conn_from_here(const struct conn *c)
{
    struct addr a;
    socket_name(c, &a, true);
    return addr_is_here(&a.any);
}

void conn_facts(const struct conn *c, struct conn_facts *out)
{
    *out = (struct conn_facts){.is_unix = c->flags & CONN_UNIX};
    if (!c->layer)
        return;
    if (c->layer->tls)
        tls_facts(c, out);
    if (c->layer->proxied)
        proxied_facts(c, out);
    if (c->layer->ws)
        ws_facts(c, out);
}
