/* A client of the simulation: speaks MQTT 3.1, 3.1.1 or 5 with an encoder of its own, keeps
 * what a client has to keep between connections, and fails the run at once when the broker
 * breaks a rule that one client can see:
 *
 *   - packets are well formed, at most as large as asked for [MQTT-3.1.2-24]
 *   - CONNACK comes first and once [MQTT-3.2.0-1] [MQTT-3.2.0-2]; nothing after DISCONNECT
 *   - at most receive_maximum QoS>0 PUBLISHes are open [MQTT-3.3.4-9], and no id twice
 *     [MQTT-2.2.1-4]; DUP only, and always, on what came before on an earlier connection
 *   - aliases stay in bounds and are told before they are used
 *   - acknowledgements are for what was sent */
#ifndef TESTS_SIM_PLAYER_H
#define TESTS_SIM_PLAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../unit/core/packets.h"
#include "world.h"

enum { PLAYER_IDS = 65536, PLAYER_OUT_MAX = 2048, PLAYER_ALIASES = 16 };

/* A message on its way to the broker. */
struct outgoing {
    uint16_t id;
    uint8_t qos;
    bool received; /* PUBREC came */
    bool sent;     /* on this connection */
    bool retain;
    unsigned tag; /* the story's */
    char topic[32];
    char payload[64];
};

struct player_will {
    const char *topic, *payload;
    uint32_t delay;
    uint8_t qos;
    bool retain;
};

/* How to connect.  Zero is: MQTT 3.1.1, not clean, no limits. */
struct player_options {
    bool clean;
    uint32_t expiry; /* MQTT 5 */
    uint16_t keep_alive;
    uint16_t receive_maximum; /* 0: not given */
    uint32_t maximum_packet;  /* 0: not given */
    uint16_t alias_maximum;
    const struct player_will *will;
    const char *username;
    const char *auth_method, *auth_data;
};

struct player {
    struct world *world;
    char id[24];
    unsigned version; /* 3, 4, 5 */
    bool strict_dup;  /* what was left open comes with DUP: not so if it may be dropped since */
    void *arg;
    /* Called for each message, QoS 2 duplicates taken out. */
    void (*on_message)(struct player *p, const struct packet *packet, const char *topic);
    /* Called for what the broker refused to take, if set. */
    void (*on_refused)(struct player *p, const struct outgoing *o);
    /* Called for AUTH, SUBACK, DISCONNECT ... if set. */
    void (*on_packet)(struct player *p, const struct packet *packet);

    struct wire *wire;
    struct wire *ghost; /* a connection that was taken over; nobody reads it */
    bool kept;          /* the last connection left a session behind (for MQTT 3.1) */
    struct player_options options;
    bool connected; /* CONNACK 0 came */
    bool ended;     /* the broker closed, or said that it would */
    bool refused;
    bool session_present;
    uint8_t end_reason; /* of DISCONNECT or a refusing CONNACK */
    unsigned broker_receive_maximum;
    unsigned granted; /* codes of the last SUBACK */
    unsigned subacks, pings;
    char aliases[PLAYER_ALIASES + 1][64];

    /* From the broker: what we owe, and what is open. */
    struct {
        uint16_t id;
        uint8_t type;
    } owed[PLAYER_OUT_MAX];
    unsigned owed_count;
    uint8_t open[PLAYER_IDS];   /* on this connection */
    uint8_t before[PLAYER_IDS]; /* came on an earlier one: DUP is to be expected */
    uint8_t held[PLAYER_IDS];   /* QoS 2 ids until PUBREL; survives connections */
    unsigned open_count;

    /* To the broker. */
    struct outgoing out[PLAYER_OUT_MAX];
    unsigned out_count;
    uint16_t last_id;
};

struct player *player_new(struct world *w, const char *id, unsigned version);
/* Hangs up. */
void player_free(struct player **p);

/* Dials the loop and writes CONNECT. */
void player_connect(struct player *p, unsigned loop, bool shareable, size_t window,
                    const struct player_options *options);
/* Reads what came.  False once the connection is over. */
bool player_read(struct player *p);
/* Sends one of the acknowledgements owed, the at-th. */
void player_answer(struct player *p, unsigned at);
void player_answer_all(struct player *p);

void player_subscribe(struct player *p, const char *filter, unsigned options);
void player_unsubscribe(struct player *p, const char *filter);
/* False where the broker's receive maximum does not let it.  The last of p->out is it, then, if
 * it has a QoS above 0. */
bool player_publish(struct player *p, const char *topic, const char *payload, unsigned qos,
                    bool retain);
void player_ping(struct player *p);
void player_auth(struct player *p, uint8_t reason, const char *method, const char *data);
void player_disconnect(struct player *p, uint8_t reason);
void player_hang_up(struct player *p, bool reset);
/* The connection is left open and forgotten, for another to take over. */
void player_abandon(struct player *p);
/* Bytes of one's own. */
void player_write(struct player *p, const void *bytes, size_t len);

/* The broker crashed: what it sent at QoS 1 it may not know any more, and it may use the id for
 * something else. */
void player_crashed(struct player *p);
/* Forget what is kept between connections: the broker has no session for us either. */
void player_forget(struct player *p);

#endif
