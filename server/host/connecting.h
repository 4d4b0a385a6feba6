/* A CONNECT, or a re-authentication, while modules decide about it: who the client would be as
 * things stand, and the exchange of enhanced authentication. */
#ifndef SKEP_HOST_CONNECTING_H
#define SKEP_HOST_CONNECTING_H

#include <skep/decide.h>

#include "core/identity.h"
#include "mqtt/packet.h"

struct host_client;
struct skep_module;

struct connecting {
    struct mqtt_connect packet; /* views; all zero in a re-authentication */
    struct skep_client *who;    /* as far as it is known; made anew when something was set */
    struct skep_client **old;   /* and those before, which modules may still look at */
    unsigned old_count;
    bool stale; /* something was set since `who` was made */
    bool reauth;
    bool otherwise; /* the listener's answer when nobody has an opinion */

    /* What was set; copies.  username NULL: as it was. */
    char *username;
    uint32_t username_len;
    struct identity_pair *attributes;
    uint16_t attribute_count;
    size_t attribute_bytes;
    struct identity_rule *rules; /* filters with %c and %u in them */
    uint16_t rule_count;
    char *server; /* reference to another one */

    /* The exchange. */
    struct str method, data;
    unsigned round;
    void *state;
    void (*state_drop)(void *state);
    struct skep_module *state_module; /* held, while there is a state */
    char *reply;
    size_t reply_len;
};

struct connecting *connecting_new(const struct identity_facts *facts, struct presence *presence);
void connecting_free(struct connecting **c);

const struct skep_client *connecting_who(struct connecting *c);

/* The final description, rules filled in.  A reference. */
struct skep_client *connecting_result(struct connecting *c, struct str id, const uint64_t *quotas,
                                      uint64_t expiry_ms);

void connecting_kept(struct connecting *c, struct str from, const char *to);

/* Ends the exchange's state. */
void connecting_drop_state(struct connecting *c);

#endif
