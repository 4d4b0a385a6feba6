/* One `connection` of the configuration: a queue here, and connections there.
 *
 *     consumer (durable session of the broker) --> items --> remotes[hash of the topic] --> line
 *     line --> remotes[i] --> skep_publish(as the consumer)
 *
 * Everything of a bridge is done on its loop, but for `view`.  An instance of the module has an
 * array of bridges; a reload hands over those that did not change, connections and all.
 *
 *   bridge.c   messages out, life
 *   queue.c    the consumers
 *   backlog.c  what live messages go by
 *   remote.c   one connection: states, deadlines, the line
 *   dial.c     its addresses
 *   talk.c     what its engine tells
 *   inward.c   messages in
 *   notes.c    what is written down in the module's storage
 *   status.c   commands, metrics, the status topic */
#ifndef BRIDGE_BRIDGE_H
#define BRIDGE_BRIDGE_H

#include <pthread.h>
#include <skep/metric.h>
#include <skep/module.h>
#include <stdatomic.h>

#include "conf.h"
#include "engine.h"
#include "line.h"
#include "path.h"
#include "queue.h"
#include "route.h"

enum { BRIDGE_REMOTES = 32, BRIDGE_ADDRESSES = 8, BRIDGE_TICK_MS = 1000 };

struct bridge;

enum remote_state {
    REMOTE_STOPPED,
    REMOTE_WAITING,
    REMOTE_RESOLVING,
    REMOTE_CONNECTING,
    REMOTE_UP
};

/* One connection to the remote broker. */
struct remote {
    struct bridge *bridge;
    unsigned index, refs; /* refs: its own, and one for each callback that will come */
    enum remote_state state;
    struct engine engine;
    struct engine_conf engine_conf;
    struct wire_will will;
    struct line line;
    char *client_id, *host;
    struct skep_timer *timer, *pace_timer; /* of a new try, a deadline or the next tick */
    struct backoff backoff;
    size_t address; /* the one in use or to be tried, of the configuration */
    uint8_t resolved[BRIDGE_ADDRESSES][128]; /* struct sockaddr */
    size_t resolved_len[BRIDGE_ADDRESSES], resolved_count, resolved_next;
    uint64_t generation; /* of the connection, for callbacks that come late */
    bool plain_level;    /* the private bit was refused */
    bool flush_due, ever_up;
    uint64_t held[65536 / 64]; /* QoS 2 ids in, where the consumer does not hold them */
    uint64_t up_since_ms;
    char told[256];           /* the last failure that was logged */
    char *subscribed, *known; /* at the remote broker: wanted, and those it had; see notes.c */
};

struct meters {
    struct skep_counter *in_messages, *out_messages, *in_bytes, *out_bytes, *reconnects, *loops;
    struct skep_counter *dropped_refused, *dropped_expired, *dropped_large, *dropped_overflow;
    struct skep_counter *dropped_invalid, *dropped_offline;
    struct skep_gauge *up, *wanted, *in_flight, *waiting, *backlog;
};

/* What commands are told; under the mutex. */
struct view {
    pthread_mutex_t lock;
    unsigned up, wanted;
    bool paused;
    uint64_t since_ms; /* wall clock: of the last change */
    uint64_t in_flight, waiting, backlog;
    char address[256], error[256];
};

struct bridge {
    struct skep_module *m;
    const struct connection_conf *conf;
    const char *broker_id, *secret;
    uint8_t digest[32];
    unsigned loop;
    bool durable, paused, moved, orphan, alarmed;
    struct routes routes;
    SSL_CTX *tls;
    struct queue queues[QUEUE_COUNT];
    struct remote *remotes[BRIDGE_REMOTES];
    unsigned count;
    uint64_t down_since_ms;
    struct buf topic, path;
    struct meters meters;
    struct view view;
    struct bridge *previous; /* whom it replaces, until it has started */
};

/* The module's instance. */
struct instance {
    struct skep_module *m;
    const struct conf *conf;
    struct bridge **bridges;
    size_t count;
    char broker_id[16], secret[16];
};

/* -- bridge.c.  new and free: main thread; the rest: its loop -- */
struct bridge *bridge_new(struct skep_module *m, const struct connection_conf *conf,
                          struct skep_report *report);
void bridge_free(struct bridge *b);
void bridge_start(void *bridge);
void bridge_stop(void *bridge);
/* A remote went up or down: flow, alarm, status. */
void bridge_changed(struct bridge *b);
/* A second passed. */
void bridge_tick(struct bridge *b);
/* A queue can be used. */
void bridge_queue_open(struct bridge *b);
void bridge_message(struct bridge *b, struct queue *q, const struct skep_message *message,
                    uint64_t id);
/* The connection for that topic of the remote broker's; NULL: none any more. */
struct remote *bridge_remote(struct bridge *b, struct skep_str topic);
/* The item was acknowledged, or is given up. */
void bridge_ack(struct bridge *b, uint64_t item_id);
bool bridge_is_open(const struct bridge *b);
uint64_t bridge_backlog(const struct bridge *b);
unsigned bridge_up(const struct bridge *b);

/* -- remote.c -- */
struct remote *remote_new(struct bridge *b, unsigned index);
void remote_free(struct remote *r); /* gives up its own reference */
void remote_unref(struct remote *r);
void remote_start(struct remote *r);
/* Says goodbye and stays away. */
void remote_stop(struct remote *r);
void remote_fail(struct remote *r, const char *why);
void remote_reconnect(struct remote *r);
/* Sends at the end of the turn. */
void remote_flush_soon(struct remote *r);
void remote_input(struct remote *r, const uint8_t *data, size_t len);
void remote_adopt(struct remote *r, struct bridge *b);

/* -- backlog.c -- */
/* Moves it there, if it is to be: then the item is taken over, and acknowledged once it is safe. */
bool backlog_take(struct bridge *b, const struct skep_message *message, struct item *item);
/* Topics under which messages wait there, with `rest` at the end. */
void backlog_topic(const struct bridge *b, struct skep_str rest, struct buf *out);
/* Topic and retain flag are again what they were before. */
void backlog_restore(const struct bridge *b, struct skep_message *m);

/* -- dial.c -- */
/* Tries the next address at once, or after a pause if all have been tried. */
void dial_next(struct remote *r);
void dial_now(struct remote *r);
/* Tries in so many milliseconds. */
void dial_wait(struct remote *r, uint64_t ms);

/* -- talk.c -- */
extern const struct engine_calls remote_engine_calls;

/* -- inward.c -- */
enum handing inward_message(void *remote, const struct wire_packet *p, struct incoming *in);
void inward_forget(void *remote, uint16_t packet_id);
/* The remote broker does not have our session: nothing is held for it. */
void inward_begin(struct remote *r);

/* -- notes.c -- */
/* Whether PUBREC came for it, in an earlier process or instance. */
bool notes_has(const struct remote *r, uint64_t id);
void notes_note(void *remote, const struct item *item);
void notes_clear(void *remote, const struct item *item);
/* Fills engine->subs and unsubs. */
void notes_subscriptions(struct remote *r, bool session);
void notes_subscribed(struct remote *r);
/* Whether the second queue was ever opened: there may be something in it. */
bool notes_backlog(struct bridge *b, bool opened);
/* Twelve random letters, made when first asked for, and kept under that key. */
void notes_letters(struct skep_module *m, const char *key, char out[16]);

/* -- status.c -- */
void status_meters(struct bridge *b);
/* Gauges and view. */
void status_update(struct bridge *b, const char *error);
void status_publish(struct bridge *b);
/* What the status topic says when so many connections are up; valid while `out` is. */
struct skep_str status_text(const struct bridge *b, unsigned up, char out[256]);
void status_command(struct skep_command *command, void *self);

#endif
