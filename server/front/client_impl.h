/* What client.c, output.c and farewell.c share and nobody else needs. */
#ifndef SKEP_FRONT_CLIENT_IMPL_H
#define SKEP_FRONT_CLIENT_IMPL_H

#include "front/client.h"

extern const struct link_ops client_link_ops;

/* For client_handler: the socket takes bytes again; the connection is over. */
void client_writable(struct conn *conn, void *owner);
void client_closed(struct conn *conn, void *owner, enum conn_cause cause);

/* Forgets control packets not sent yet. */
void client_ctl_drop(struct client *c);

/* The connection is closed and no task is under way to the client. */
void client_free(struct client *c);

#endif
