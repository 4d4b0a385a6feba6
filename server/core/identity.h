/* Who a client is: an immutable, counted description, known to modules as struct skep_client.
 *
 * It hangs on the session, under that session's lock, so that any worker which delivers may read
 * it.  One is made when somebody asks: a broker without modules has none.  What changes belongs to
 * the connection, and all descriptions of one connection share its `struct presence`. */
#ifndef SKEP_CORE_IDENTITY_H
#define SKEP_CORE_IDENTITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/str.h"

struct chain_slot;  /* host/chain.h */
struct host_client; /* host/decide.h */
struct ring;        /* host/ring.h */
struct verdicts;    /* host/remember.h */

enum { IDENTITY_MAGIC = 0x1de27171, IDENTITY_ADDRESS_MAX = 64 };

/* One connection, as long as somebody has a description of it.  Counted. */
struct presence {
    _Atomic uint32_t refs;
    _Atomic bool connected;
    uint64_t serial;            /* no other connection of this process has it */
    struct host_client *client; /* the client's loop's; NULL: none, or gone */
    struct lock lock;           /* of the next: plain blocks, freed with it */
    struct ring *ring;          /* its last decisions; NULL: none */
    struct verdicts *received;  /* remembered verdicts; the lock of its session guards them */
};

struct identity_pair {
    struct str name, value;
};

/* A rule of this client alone (skep_connect_add_rule()), %c and %u filled in. */
struct identity_rule {
    bool allow;
    uint8_t actions; /* SKEP_MAY_* */
    struct str filter;
};

/* What a description is made of. */
struct identity_facts {
    struct str id, username;
    struct str address; /* with the port; "unix"; empty: away */
    struct str listener;
    struct str cert_cn, cert_subject;
    uint64_t connected_at;    /* milliseconds since 1970 */
    struct chain_slot *chain; /* whose rules hold for it */
    struct str mount;         /* what stands in front of each of its topics, unknown to it */
    uint8_t protocol;         /* enum mqtt_version */
    bool has_username, is_tls, is_websocket;
    uint16_t attribute_count, rule_count;
    uint16_t quota_count;   /* 0, or one of each kind */
    const uint64_t *quotas; /* SKEP_QUOTA_*; UINT64_MAX: not set */
    uint64_t expiry_ms;     /* when the connection has to end, wall clock; 0: never */
    const struct identity_pair *attributes;
    const struct identity_rule *rules;
};

struct skep_client {
    unsigned magic;
    _Atomic uint32_t refs;
    struct presence *presence;
    struct identity_facts facts; /* everything it points to stands behind it */
    uint16_t host_len;           /* of the address, without the port */
};

/* All is copied.  presence: of the connection it belongs to (a reference is taken); NULL: a new
 * one, connected if there is an address.  The result has one reference. */
struct skep_client *identity_new(const struct identity_facts *facts, struct presence *presence);

/* Any thread. */
struct skep_client *identity_ref(const struct skep_client *c);
void identity_unref(const struct skep_client *c); /* accepts NULL */

/* A number for a connection. */
uint64_t identity_serial(void);

#endif
