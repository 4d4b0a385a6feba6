/* Who a client is.
 *
 * A `struct skep_client` is a counted, immutable description, made when the client's CONNECT was
 * allowed.  Any thread may read one it was given.  For a decision about a session whose client is
 * away (delivery to its queue, its delayed will) the description of its last connection is used
 * or, after a restart, one with the client id and user name only. */
#ifndef SKEP_CLIENT_H
#define SKEP_CLIENT_H

#include <skep/base.h>

SKEP_BEGIN

/* The client id in force: its own, or the one that it was given. */
SKEP_EXPORT struct skep_str skep_client_id(const struct skep_client *c);
/* The user name in force: the client's own, or what the certificate or a module says it is. */
SKEP_EXPORT struct skep_str skep_client_username(const struct skep_client *c);
SKEP_EXPORT bool skep_client_has_username(const struct skep_client *c);
/* "192.0.2.1:4711", "[2001:db8::1]:4711", "unix"; empty when away. */
SKEP_EXPORT struct skep_str skep_client_address(const struct skep_client *c);
/* The same without the port. */
SKEP_EXPORT struct skep_str skep_client_host(const struct skep_client *c);
/* Name of the listener it came through. */
SKEP_EXPORT struct skep_str skep_client_listener(const struct skep_client *c);
/* 3, 4 or 5: the protocol level. */
SKEP_EXPORT unsigned skep_client_protocol(const struct skep_client *c);
SKEP_EXPORT bool skep_client_is_tls(const struct skep_client *c);
SKEP_EXPORT bool skep_client_is_websocket(const struct skep_client *c);
/* Common name and subject of its verified certificate; empty: none. */
SKEP_EXPORT struct skep_str skep_client_cert_cn(const struct skep_client *c);
SKEP_EXPORT struct skep_str skep_client_cert_subject(const struct skep_client *c);
/* Milliseconds since 1970 UTC. */
SKEP_EXPORT uint64_t skep_client_connected_at(const struct skep_client *c);
/* A number no other connection of this process has. */
SKEP_EXPORT uint64_t skep_client_serial(const struct skep_client *c);

/* An attribute that an authentication module gave it; empty: none of that name. */
SKEP_EXPORT struct skep_str skep_client_attribute(const struct skep_client *c, const char *name);
/* The i-th attribute, or false behind the last. */
SKEP_EXPORT bool skep_client_attribute_at(const struct skep_client *c, size_t i,
                                          struct skep_str *name, struct skep_str *value);

/* To keep it beyond the callback.  Any thread. */
SKEP_EXPORT const struct skep_client *skep_client_ref(const struct skep_client *c);
SKEP_EXPORT void skep_client_unref(const struct skep_client *c); /* accepts NULL */

/* Whether a CONNECT of this description is still connected; at once out of date.  Any thread. */
SKEP_EXPORT bool skep_client_is_connected(const struct skep_client *c);

/* A word of the module's own for each connected client: NULL at first.  When the connection ends
 * and the value is not NULL, `drop` of skep_client_slot_dropper() is called with it, on the
 * client's loop.  Only in hooks that run on the client's loop (all but on_deliver).  Valid until
 * the hook returns. */
SKEP_EXPORT void **skep_client_slot(struct skep_module *m, const struct skep_client *c);
SKEP_EXPORT void skep_client_slot_dropper(struct skep_module *m, void (*drop)(void *value));

/* Ends the connection of that client id with a reason (SKEP_RC_ADMINISTRATIVE, ...) and, to MQTT 5
 * clients, a text.  0, or SKEP_E_NOT_FOUND when none is connected.  Any thread but main. */
SKEP_EXPORT int skep_kick(struct skep_module *m, struct skep_str client_id, enum skep_reason reason,
                          const char *text);
/* The same for exactly this connection, not for a later one with its client id. */
SKEP_EXPORT int skep_kick_client(struct skep_module *m, const struct skep_client *c,
                                 enum skep_reason reason, const char *text);

/* Calls `each` for connected clients until it returns false; it must be brief and may not call
 * other functions of this header but accessors and skep_client_ref.  Any thread but main. */
SKEP_EXPORT void skep_clients(struct skep_module *m,
                              bool (*each)(const struct skep_client *c, void *arg), void *arg);

/* The connected client with that id, counted (skep_client_unref() it), or NULL.  Any thread but
 * main. */
SKEP_EXPORT const struct skep_client *skep_client_find(struct skep_module *m,
                                                       struct skep_str client_id);

SKEP_END
#endif
