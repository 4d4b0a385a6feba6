/* One MQTT client, from accept to close.
 *
 *   NEW ── CONNECT ──> DECIDING ──> CLAIMING ──> SETTLING ──> LIVE ──> CLOSING
 *    │                    │            │            │                     ^
 *    └────────────────────┴────────────┴────────────┴─────────────────────┘
 *
 *   DECIDING  a module has yet to answer; AUTH may come [MQTT-3.1.2-30]
 *   CLAIMING  another connection has the session and is letting go of it; or a module is asked
 *             whether it may keep what it is subscribed to
 *   SETTLING  the session is ours; its record is on its way to the disk, then CONNACK goes out
 *   CLOSING   a last packet was written, or nothing may be; what arrives is ignored
 *
 * Only an attempt that has to wait keeps a copy of its CONNECT; it is decoded again when
 * the answer is there.
 *
 * Threads: everything runs on the client's own loop.  Other workers reach it only through
 * its `link`, under the session's lock. */
#ifndef SKEP_FRONT_CLIENT_H
#define SKEP_FRONT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "core/link.h"
#include "core/replay.h"
#include "core/sessions.h"
#include "front/desk.h"
#include "host/decide.h"
#include "mqtt/encode.h"
#include "mqtt/reason.h"
#include "net/conn.h"

struct entrance;
struct policy;
struct resumption;
struct session;

enum { CLIENT_MAGIC = 0xc11e17aa };

#define CLIENT_STATES(X)                                                                           \
    X(CLIENT_NEW)                                                                                  \
    X(CLIENT_DECIDING)                                                                             \
    X(CLIENT_CLAIMING)                                                                             \
    X(CLIENT_SETTLING)                                                                             \
    X(CLIENT_LIVE)                                                                                 \
    X(CLIENT_CLOSING)

#define CLIENT_STATE_NAME(name) name,
enum client_state { CLIENT_STATES(CLIENT_STATE_NAME) };
#undef CLIENT_STATE_NAME

/* Acknowledgements that wait for the log, in order; see front/park.c. */
struct park_part {
    uint64_t lsn;              /* what it waits for; 0: nothing yet */
    uint32_t len;              /* bytes from the beginning to its end */
    uint16_t pubacks, subacks; /* among them */
};

struct park {
    uint8_t *bytes;
    uint32_t cap;
    struct park_part all, first, rest; /* `all` may go on behind `rest`: see `fresh` */
    bool fresh;  /* something came in this turn, which has no place in the log yet */
    bool listed; /* on desk->parked */
};

/* A packet of a live client that waits for a decision; what comes behind it is not read. */
struct asked {
    struct mqtt_frame frame;  /* its body is a copy of ours; NULL: none */
    uint8_t *codes, *granted; /* SUBSCRIBE: of each filter; see front/subscribe.c */
    uint32_t at;              /* the filter that is asked about */
};

/* What few clients need, or only for a while. */
struct client_extra {
    struct claim claim;
    enum claim_result claim_result;
    char **aliases; /* incoming topic aliases: alias - 1 -> topic [MQTT-3.3.2-12] */
    uint16_t *alias_lens;
    uint16_t alias_count;
    struct replays replays;
    bool replay_listed;
    double message_tokens, byte_tokens; /* rate limits */
    uint64_t tokens_ms;
    char assigned_id[64];
    uint8_t assigned_len;
    struct park park;
    struct session *settling; /* ours while SETTLING */
    struct client *owner;
    char *auth_method; /* of enhanced authentication, NULL: none */
    char *connect;     /* body of the CONNECT that waits for an answer */
    uint32_t connect_len;
    char *auth; /* body of the AUTH that waits for one */
    struct asked asked;
    struct resumption
        *resumption; /* subscriptions of a resumed session, while they are asked about */
};

/* Control packets on their way out. */
struct ctl {
    uint32_t len, cap;
    uint8_t bytes[];
};

struct client {
    unsigned magic;
    uint8_t state;         /* enum client_state */
    uint8_t version;       /* enum mqtt_version; 0 before CONNECT */
    bool talking : 1;      /* on the desk's list */
    bool paused : 1;       /* on the desk's list */
    bool gone : 1;         /* the connection is closed; memory waits for `pending` */
    bool problem_info : 1; /* [MQTT-3.1.2-29] */
    bool has_username : 1;
    bool bridge : 1;          /* of another broker, in 3.1.1: what MQTT 5 bridges ask for in each
                                 subscription holds for all of its (no local, retain as published) */
    bool claiming : 1;        /* a claim waits, or its answer is under way */
    bool settled : 1;         /* CONNACK with success was written */
    bool reauth : 1;          /* a re-authentication is under way [MQTT 4.12.1] */
    bool reauth_asked : 1;    /* and it is the modules' turn */
    bool asking : 1;          /* `extra->asked` waits: nothing is read */
    bool said_goodbye : 1;    /* DISCONNECT came */
    uint16_t keep_alive;      /* seconds, 0: off */
    uint16_t unacked;         /* QoS 1 PUBLISHes since acknowledgements last went out */
    _Atomic uint16_t pending; /* tasks under way that will come back to this client */
    _Atomic uint8_t kicked;   /* reason; 0: not */
    uint8_t end_reason;       /* why it ends, as far as MQTT has a word for it; 0: none */
    struct link link;
    struct conn *conn;
    struct session *session; /* ours while LIVE */
    struct desk *desk;
    const struct policy *policy;
    struct host_client *host;   /* NULL: nobody had to be asked yet */
    struct client_extra *extra; /* NULL until needed */
    struct ctl *ctl;            /* control packets to send, NULL: none */
    uint64_t heard_ms;          /* when the last packet came */
    struct wheel_timer timer;
};

extern const struct conn_handler client_handler;

struct client_extra *client_extra(struct client *c);
/* Gives back what connecting needed and nobody needs any more. */
void client_extra_trim(struct client *c);

/* Any thread: run fn(c) on the client's loop.  The caller has counted it in c->pending
 * while the client could not go.  The connection may be closed by then (c->gone). */
void client_post(struct client *c, void (*fn)(struct client *c));

/* Room for `need` more control bytes, to be sent at the end of the turn. */
struct mqtt_out client_out(struct client *c, size_t need);
void client_out_done(struct client *c, const struct mqtt_out *out);

/* As those two, for an acknowledgement: `waits` says that it tells of something that was written
 * down in this turn.  It leaves once that is on the disk, and no later acknowledgement before it.
 */
struct mqtt_out client_answer(struct client *c, size_t need, bool waits);
void client_answer_done(struct client *c, const struct mqtt_out *out, bool waits);

/* front/park.c, for the desk: the turn's records end there; so much has settled. */
void client_park_mark(struct client *c, uint64_t lsn);
bool client_park_release(struct client *c, uint64_t settled);
void client_park_drop(struct client *c);
bool client_parked(const struct client *c);
/* A SUBACK waits, and the retained messages behind it. */
bool client_suback_parked(const struct client *c);

/* The session is this client's from now on.  What is pending (CONNACK last) goes out before
 * anything from the session's queues. */
void client_attach(struct client *c, struct session *s);

/* Sends what is pending, as far as the socket takes it. */
void client_flush(struct client *c);

/* The end, for a protocol reason: DISCONNECT (MQTT 5) or CONNACK says why where it may,
 * then the connection is closed.  text may be NULL. */
void client_end(struct client *c, uint8_t reason, const char *text);
/* The same with the name of another server to go to [MQTT 4.11]; may be empty. */
void client_redirect(struct client *c, uint8_t reason, struct str text,
                     struct str server_reference);

/* Closes without a word. */
void client_close(struct client *c, enum conn_cause cause);

/* Reads from it again, unless something else (a hold, a decision, too much output) forbids that. */
void client_read_on(struct client *c);
bool client_output_crowded(const struct client *c);
bool client_park_crowded(const struct client *c);

/* Stops reading for a while: a rate limit, memory pressure.  The desk resumes it. */
void client_hold(struct client *c);

/* Handlers of packets, each in a file of its own.  They answer by client_out() or end the
 * client. */
void client_connect(struct client *c, const struct mqtt_frame *frame);
void client_publish(struct client *c, const struct mqtt_frame *frame);
void client_ack(struct client *c, const struct mqtt_frame *frame);
void client_subscribe(struct client *c, const struct mqtt_frame *frame);
void client_unsubscribe(struct client *c, const struct mqtt_frame *frame);
void client_disconnect(struct client *c, const struct mqtt_frame *frame);
void client_auth(struct client *c, const struct mqtt_frame *frame);

/* front/connect.c: the claim was decided, see client_extra.claim_result. */
void client_claim_decided(struct client *c);
/* The session's record has settled: CONNACK stands in ctl, the client goes live. */
void client_settled(struct client *c);

/* -- Decisions: front/ask.c.  The handlers below take over the request. -- */

/* Whether a module has to be asked. */
#define client_asks(c, stage) host_asks((c)->policy->chain, (c)->host, stage)
/* ... about what it publishes. */
#define client_asks_publish(c, topic) host_asks_publish((c)->policy->chain, (c)->host, topic)
/* What the host keeps for the client; made if need be. */
struct host_client *client_host(struct client *c);
/* A new description of who it is.  Any worker that holds the session's lock; without a session
 * (CONNECT): id and username as given. */
struct skep_client *client_identity_new(const struct client *c);
/* Fills in what the connection tells; address has room for CONN_ADDR_MAX bytes. */
void client_facts(const struct client *c, const struct conn_facts *conn, char *address,
                  struct identity_facts *out);

/* The packet has to wait for r: it is copied, and nothing is read before client_asked_over(). */
void client_ask_later(struct client *c, const struct mqtt_frame *frame, struct skep_request *r);
void client_asked_over(struct client *c);
/* The client is gone, and its packet with it. */
void client_asked_drop(struct client *c);

void client_connect_decided(struct client *c, struct skep_request *r);   /* connect.c */
void client_resume_decided(struct client *c, struct skep_request *r);    /* resume.c */
void client_auth_decided(struct client *c, struct skep_request *r);      /* exchange.c */
void client_publish_decided(struct client *c, struct skep_request *r);   /* publish.c */
void client_subscribe_decided(struct client *c, struct skep_request *r); /* subscribe.c */

/* front/resume.c: asks again about what a resumed session (extra->settling) is subscribed to, and
 * takes away what is not allowed any more.  True: done; false: `client_resumed` comes later. */
bool client_resume(struct client *c);
void client_resume_drop(struct client *c);
/* front/connect.c */
void client_resumed(struct client *c);

/* AUTH to the client. */
void client_put_auth(struct client *c, uint8_t reason, struct str method, struct str data);

/* front/replay.c: the next slice of retained messages; false when it must wait for room. */
void client_replay_start(struct client *c, struct str filter, unsigned options, uint32_t sub_id);
bool client_replay(struct client *c);
void client_replay_wake(struct client *c);
void client_replay_stop(struct client *c);
/* So many are under way that the client is not read from. */
bool client_replay_crowded(const struct client *c);

/* front/publish.c: a client held for its rate may be read from again. */
bool client_rate_recovered(struct client *c);

/* A reason string, or none if the client does not want them or they are switched off. */
struct str client_reason_string(const struct client *c, uint8_t type, struct str text);

/* The reason of a denial, if that packet may carry it; else "not authorized". */
uint8_t client_reason(uint8_t type, uint8_t reason);

/* Sets the timer of a live client for whatever comes first: its silence, or the end that a module
 * set. */
void client_arm(struct client *c);

/* front/tell.c: for those who want to know. */
void client_tell_connected(struct client *c, struct session *s, bool present);
void client_tell_refused(struct client *c, uint8_t reason, struct str text);
void client_tell_disconnected(struct client *c, enum conn_cause cause);
void client_tell_subscribed(struct client *c, struct str filter, uint8_t qos);
void client_tell_unsubscribed(struct client *c, struct str filter);
void client_tell_publish_refused(struct client *c, const struct mqtt_publish *p, uint8_t reason,
                                 const char *why);

/* For timers and tasks. */
void client_on_timer(void *desk, struct wheel_timer *timer);

#endif
