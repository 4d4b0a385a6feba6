/* One MQTT client, for a program that does one thing at a time: connect and wait for the answer,
 * then turn until the work is done.  Acknowledges what it receives, keeps the connection alive,
 * resolves topic aliases, and holds back what exceeds the broker's receive maximum.
 *
 * One thread.  Views handed to callbacks live until the callback returns. */
#ifndef SKEP_CTL_CLIENT_H
#define SKEP_CTL_CLIENT_H

#include "ctl/link.h"
#include "mqtt/packet.h"

struct client;

/* Callbacks may be NULL; they may publish, and must not free the client. */
struct client_events {
    void *arg;
    /* topic is filled in where the broker sent an alias.  False: no further packet is handled, so
     * that what was not looked at is not acknowledged either. */
    bool (*on_message)(void *arg, const struct mqtt_publish *message);
    /* PUBACK, PUBCOMP, or a PUBREC that refuses */
    void (*on_published)(void *arg, const struct mqtt_ack *ack);
    void (*on_subscribed)(void *arg, const struct mqtt_suback *ack);
    void (*on_unsubscribed)(void *arg, const struct mqtt_suback *ack);
    /* each packet, for -d */
    void (*on_trace)(void *arg, bool sent, const struct mqtt_frame *frame);
};

/* What a client must remember from one connection to the next of the same session. */
struct client_memory {
    uint8_t received[65536 / 8]; /* QoS 2 ids between PUBLISH and PUBREL, one bit each */
};

/* What to say in CONNECT and how long to wait; borrowed for the life of the client. */
struct client_conf {
    struct link_conf link;
    struct mqtt_connect connect;
    uint32_t max_inflight; /* QoS 1 and 2 messages on their way, besides the broker's own limit */
    struct client_memory *memory; /* zeroed at first; forgotten when the broker has no session */
};

/* Connects and waits for CONNACK.  Returns CTL_OK, CTL_UNREACHABLE, CTL_REFUSED or CTL_LOST. */
enum ctl_status client_open(struct client **out, const struct client_conf *conf,
                            const struct client_events *events, struct fault *fault);
void client_free(struct client **c);

/* What the broker announced: the numbers and switches; the strings are gone. */
const struct mqtt_connack *client_connack(const struct client *c);
/* The client id in force: ours, or the one the broker assigned. */
const char *client_id(const struct client *c);

/* Whether a publish would go out now (window and buffer have room). */
bool client_has_room(const struct client *c);
/* Queues a PUBLISH; packet_id is set here.  Returns the packet id (0 at QoS 0), or -1 when the
 * broker cannot take it (larger than its limit, QoS or retain not offered): fault says so. */
int client_publish(struct client *c, struct mqtt_publish *message, struct fault *fault);
/* Messages not yet acknowledged. */
unsigned client_inflight(const struct client *c);

/* Both return the packet id. */
int client_subscribe(struct client *c, const struct mqtt_subscription *subs, size_t count,
                     uint32_t subscription_id, struct str user_props);
int client_unsubscribe(struct client *c, const struct str *filters, size_t count,
                       struct str user_props);

/* Sends, waits up to timeout_ms (-1: as long as it takes) and handles what came.  Returns
 * LINK_EXTRA when extra_fd has something to read, else 0; -1 when the connection is over. */
int client_turn(struct client *c, int extra_fd, int timeout_ms, struct fault *fault);

/* Sends everything that is queued; 0, or -1 when the connection ended first. */
int client_drain(struct client *c, struct fault *fault);

/* DISCONNECT, and a moment for the broker to take note.  reason: 0, or 4 to have the will sent. */
void client_close(struct client *c, uint8_t reason);

#endif
