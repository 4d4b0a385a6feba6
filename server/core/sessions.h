/* All sessions by client id: who owns which, takeover, expiry [MQTT 3.1.4, 4.1].
 *
 * One mutex guards the table, `attached`, `claim` and `away` of every session, and is held
 * for short look-ups only.  An attached session belongs to its connection's worker.  A
 * second CONNECT with the same id makes a claim: the old connection is kicked with 0x8E
 * and, once its worker has let go, the session passes to the claimant as it stands. */
#ifndef SKEP_CORE_SESSIONS_H
#define SKEP_CORE_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/worker.h"

struct presence; /* core/identity.h */
struct session;
struct sessions;
struct skep_client;

/* The realm of the sessions that modules have (host/consumer.c).  A client never gets one of them,
 * and has to give way where it has the id of one. */
enum { REALM_MODULE = 2 };

enum claim_result {
    CLAIM_GRANTED,    /* claim.session is the caller's now */
    CLAIM_WAITING,    /* the old connection has to let go first; ready() will be called */
    CLAIM_SUPERSEDED, /* yet another connection with this id came */
    CLAIM_FOREIGN,    /* the session belongs to another user */
    CLAIM_LIMIT,      /* max_sessions */
};

/* Lives in the connecting client until granted, refused or cancelled. */
struct claim {
    struct session *session; /* when granted */
    bool present;            /* it existed before [MQTT-3.2.2-3] */
    /* Asked for; the strings are needed during sessions_claim() only. */
    struct str client_id;
    struct str username;
    bool has_username;
    bool clean_start;
    uint32_t realm;    /* tells mount points apart: under another one a session begins anew.
                          0: none, REALM_MODULE, or an odd number */
    uint64_t replaced; /* serial of the session that ended for this one; 0: none */
    /* Called once after CLAIM_WAITING, on some other worker's thread: carry the result to
     * the claim's own. */
    void (*ready)(struct claim *claim, enum claim_result result);
    struct session *waiting_for; /* guarded by the table's mutex */
};

struct sessions *sessions_new(void);
void sessions_free(struct sessions **sessions);

enum claim_result sessions_claim(struct worker *w, struct claim *claim);

/* The granted session has its settings: what must survive is written down and handed over
 * before anybody else can see it.  Returns the place in the log that CONNACK waits for, 0: none. */
uint64_t sessions_record(struct worker *w, const struct claim *claim, struct session *s);

/* The claimant has attached its link.  Between the grant and this a further claim finds no
 * connection to kick; it is done here. */
void sessions_attached(struct worker *w, struct session *s);

/* True: withdrawn, ready() will not be called.  False: it was or is being called. */
bool sessions_cancel(struct worker *w, struct claim *claim);

/* The owner's connection is over and session_detach() was called.  Publishes the will or
 * sets its delay, keeps the session for s->expiry seconds or ends it, or hands it to the
 * claimant.  `s` is not the caller's any more. */
void sessions_release(struct worker *w, struct session *s);

/* A session as the store has it; its client is away.  Times are monotonic. */
struct restored {
    struct str client_id, username;
    bool has_username;
    uint64_t serial;
    uint32_t realm, expiry;
    uint8_t version;
    uint64_t end_ms;  /* UINT64_MAX: never */
    uint64_t will_ms; /* when its will is due; 0: no will waits */
};

/* Before the first claim.  The caller gives it its will, subscriptions and queue.  *old: a session
 * that had the client id before and whose end was not written any more; for
 * sessions_restore_end(). */
struct session *sessions_restore(struct worker *w, const struct restored *r, struct session **old);
void sessions_restore_end(struct worker *w, struct session *old);

/* A unique id for a client that gave none: prefix and 16 hex digits.  Returns its length. */
size_t sessions_assign_id(struct worker *w, char *buf, size_t cap);

/* Due expiries and wills, some hundreds a call; true: more are due.  See broker_tick(). */
bool sessions_tick(struct worker *w);

/* Ends every session that is away; all connections are gone.  At shutdown, when nothing is
 * written to the store any more, and for tests. */
void sessions_end_all(struct worker *w);

struct sessions_stats {
    uint64_t total, connected;
};
struct sessions_stats sessions_stats(struct sessions *sessions);

/* Calls each for every session until it returns false; table mutex held: be brief. */
void sessions_each(struct sessions *sessions, bool (*each)(void *arg, struct session *s),
                   void *arg);

/* The same in slices, so that nobody waits long for the mutex: *at is 0 at first; false behind the
 * last.  Sessions that come and go meanwhile may be met or missed. */
bool sessions_walk(struct sessions *sessions, uint32_t *at,
                   void (*each)(void *arg, struct session *s), void *arg);

/* Calls fn for the session of that client id, if there is one: table mutex held, be brief. */
bool sessions_with(struct sessions *sessions, struct str client_id,
                   void (*fn)(void *arg, struct session *s), void *arg);

/* Ends the connection of that client id with a reason; false when not connected. */
bool sessions_kick(struct sessions *sessions, struct str client_id, uint8_t reason);
/* The same with a text for the client (NULL: none), and only if it is that connection (NULL: any).
 */
bool sessions_kick_text(struct sessions *sessions, struct str client_id,
                        const struct presence *only, uint8_t reason, const char *text);

/* Who has that client id: a reference, or NULL.  connected: only while it is. */
struct skep_client *sessions_identity(struct sessions *sessions, struct str client_id,
                                      bool connected);

#endif
