/* The decisions that a module may take part in.  The module host fills the table; with no
 * module loaded it is empty and the rules of front/connect.c stand alone.
 *
 * A hook answers at once or with HOOK_PENDING; then only that client is parked, and
 * client_decided() is called later, from the client's own loop, exactly once, unless left()
 * comes first.  (A re-authentication parks nobody: the client goes on meanwhile.) */
#ifndef SKEP_FRONT_HOOKS_H
#define SKEP_FRONT_HOOKS_H

#include <stdint.h>

#include "base/str.h"

struct client;
struct mqtt_auth;
struct mqtt_connect;

enum hook_verdict { HOOK_ALLOW, HOOK_DENY, HOOK_NEXT, HOOK_PENDING, HOOK_CONTINUE };

/* What goes with a verdict. */
struct hook_answer {
    uint8_t reason;              /* of a DENY; 0: not authorized */
    struct str reason_string;    /* borrowed until the next turn */
    struct str server_reference; /* with 0x9C and 0x9D: where else to go [MQTT 4.11] */
    struct str auth_data;        /* with HOOK_CONTINUE, and in the CONNACK */
};

struct hooks {
    void *arg;
    /* May this client connect?  NULL: no opinion. */
    enum hook_verdict (*connect)(void *arg, struct client *c, const struct mqtt_connect *packet,
                                 struct hook_answer *answer);
    /* Enhanced authentication [MQTT 4.12]: the method named in CONNECT and each AUTH after it,
     * also after CONNACK (re-authentication).  HOOK_CONTINUE sends AUTH 0x18 with auth_data.
     * packet is NULL for the CONNECT itself.  NULL hook: no method is known. */
    enum hook_verdict (*auth)(void *arg, struct client *c, struct str method, struct str data,
                              const struct mqtt_auth *packet, struct hook_answer *answer);
    /* The client's connection is over, decided or not: forget c.  Called for every client,
     * also those nobody asked about. */
    void (*left)(void *arg, struct client *c);
};

/* The answer to HOOK_PENDING.  On the client's loop. */
void client_decided(struct client *c, enum hook_verdict verdict, const struct hook_answer *answer);

#endif
