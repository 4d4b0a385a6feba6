#include "core/sessions.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/wheel.h"
#include "core/broker.h"
#include "core/event.h"
#include "core/identity.h"
#include "core/session.h"
#include "core/subscribe.h"
#include "core/will.h"
#include "mqtt/reason.h"

enum { BUCKETS_FIRST = 1024, WALK_BUCKETS = 256, TICK_TIMERS = 1000 };

/* What a session has in addition while its client is away. */
struct away {
    struct wheel_timer timer;
    struct session *session;
    uint64_t will_ms; /* when the delayed will is due; 0: no will waits */
    uint64_t end_ms;  /* when the session expires; UINT64_MAX: never */
};

struct sessions {
    pthread_mutex_t mutex;
    struct session **buckets;
    uint32_t bucket_count;
    uint64_t total, connected;
    uint64_t last_serial;
    struct wheel wheel; /* of the away; driven by whoever ticks */
    bool wheel_started;
    /* Filled while the wheel advances; worked off without the mutex. */
    uint64_t now_ms;
    struct session *over;
    struct session **due; /* whose wills are; they are attached to whoever ticks meanwhile */
    uint32_t due_count, due_cap;
};

/* -- The table -- */

struct sessions *sessions_new(void)
{
    struct sessions *t = xcalloc(1, sizeof *t);

    pthread_mutex_init(&t->mutex, NULL);
    t->bucket_count = BUCKETS_FIRST;
    t->buckets = xcalloc(t->bucket_count, sizeof(struct session *));
    return t;
}

void sessions_free(struct sessions **t)
{
    if (!*t)
        return;
    ASSERT((*t)->total == 0);
    pthread_mutex_destroy(&(*t)->mutex);
    free((*t)->buckets);
    free((*t)->due);
    free(*t);
    *t = NULL;
}

static struct session **place_of(struct sessions *t, struct str id, uint32_t hash)
{
    struct session **p = &t->buckets[hash & (t->bucket_count - 1)];

    while (*p && !((*p)->hash == hash && str_eq(session_id(*p), id)))
        p = &(*p)->chain;
    return p;
}

static void table_grow(struct sessions *t)
{
    uint32_t cap = t->bucket_count * 2;
    struct session **buckets = xcalloc(cap, sizeof(struct session *));

    for (uint32_t i = 0; i < t->bucket_count; i++) {
        for (struct session *s = t->buckets[i], *next; s; s = next) {
            next = s->chain;
            s->chain = buckets[s->hash & (cap - 1)];
            buckets[s->hash & (cap - 1)] = s;
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = cap;
}

static struct session *find(struct sessions *t, struct str id)
{
    return *place_of(t, id, (uint32_t)hash_bytes(id.ptr, id.len));
}

static struct session *insert_new(struct sessions *t, struct str id, const struct str *username)
{
    struct session *s = session_new(id, SERIAL_LOCAL | ++t->last_serial);
    struct session **p = place_of(t, id, s->hash);

    ASSERT(!*p);
    *p = s;
    if (username)
        s->username = str_dup(*username);
    if (++t->total > t->bucket_count)
        table_grow(t);
    return s;
}

static void unlink_session(struct sessions *t, struct session *s)
{
    *place_of(t, session_id(s), s->hash) = s->chain;
    s->chain = NULL;
    t->total--;
}

static void on_due(void *arg, struct wheel_timer *timer);

static struct wheel *wheel_of(struct sessions *t, uint64_t now_ms)
{
    if (!t->wheel_started) {
        wheel_init(&t->wheel, now_ms);
        wheel_kind(&t->wheel, 0, on_due, t);
        t->wheel_started = true;
    }
    return &t->wheel;
}

/* Arms the timer for whichever comes first, the will or the end. */
static void away_arm(struct sessions *t, struct away *a)
{
    uint64_t due = a->will_ms && a->will_ms < a->end_ms ? a->will_ms : a->end_ms;
    if (due != UINT64_MAX)
        wheel_add(&t->wheel, &a->timer, due);
}

static void away_cancel(struct sessions *t, struct session *s)
{
    if (s->away) {
        wheel_cancel(&t->wheel, &s->away->timer);
        free(s->away);
        s->away = NULL;
    }
}

/* The session is in no table and has no connection: nothing is left but its remains. */
static void end_session(struct worker *w, struct session *s, const char *why)
{
    if (why && s->began && core_wants(w, CORE_SESSION_ENDED))
        core_tell_session(w, CORE_SESSION_ENDED, s, why);
    will_publish(w, s);
    session_unsubscribe_all(w, s);
    uint64_t number = s->serial;
    session_bury(w, s);
    journal_ended(w, number); /* behind its shared messages, which went to others */
}

/* -- Claims -- */

static bool same_user(const struct session *s, const struct claim *claim)
{
    if (claim->realm == REALM_MODULE)
        return true;
    if (s->realm == REALM_MODULE || (s->claim && s->claim->realm == REALM_MODULE))
        return false;
    if (!s->username || !claim->has_username)
        return !s->username && !claim->has_username;
    return str_eq(str_of(s->username), claim->username);
}

static void grant(struct sessions *t, struct claim *claim, struct session *s, bool present)
{
    claim->session = s;
    claim->present = present;
    claim->waiting_for = NULL;
    s->realm = claim->realm;
    s->attached = true;
    t->connected++;
}

/* A new session in the place of an old one, for the same client id and user. */
static void grant_anew(struct sessions *t, struct claim *claim, struct session *old)
{
    struct str username = str_of(old->username);
    bool has_username = old->username && claim->realm != REALM_MODULE;

    unlink_session(t, old);
    claim->replaced = old->serial;
    grant(t, claim, insert_new(t, session_id(old), has_username ? &username : NULL), false);
}

/* An away session is resumed, or replaced by a new one.  Returns the old one to end.  *due: a will
 * whose time had come, though no tick has come round to it. */
static struct session *grant_away(struct sessions *t, struct claim *claim, struct session *s,
                                  uint64_t now_ms, struct will **due)
{
    bool over = s->away && s->away->end_ms <= now_ms; /* as the next tick would find */

    if (s->away && s->away->will_ms && s->away->will_ms <= now_ms) {
        *due = s->will;
        s->will = NULL;
        if (!(*due)->by)
            (*due)->by = session_identity(s);
    }
    away_cancel(t, s);
    if (!claim->clean_start && !over) {
        will_free(&s->will); /* back in time: the will is not sent [MQTT-3.1.3-9] */
        grant(t, claim, s, true);
        return NULL;
    }
    grant_anew(t, claim, s);
    return s;
}

/* Whoever claims an attached session ends its connection [MQTT-3.1.4-3]. */
static void kick(struct session *s)
{
    lock_take(&s->lock);
    if (session_link(s))
        session_link(s)->ops->kick(session_link(s), RC_TAKEN_OVER);
    lock_drop(&s->lock);
}

enum claim_result sessions_claim(struct worker *w, struct claim *claim)
{
    struct sessions *t = w->broker->sessions;
    struct session *old = NULL;
    struct claim *superseded = NULL;
    struct will *due = NULL;
    enum claim_result result = CLAIM_GRANTED;

    pthread_mutex_lock(&t->mutex);
    struct session *s = find(t, claim->client_id);
    if (s && s->realm != claim->realm)
        claim->clean_start = true; /* its topics would not be what the client knows them as */
    if (!s) {
        if (w->limits->max_sessions && t->total >= w->limits->max_sessions)
            result = CLAIM_LIMIT;
        else
            grant(t, claim,
                  insert_new(t, claim->client_id, claim->has_username ? &claim->username : NULL),
                  false);
    } else if (!same_user(s, claim)) {
        result = CLAIM_FOREIGN;
    } else if (!s->attached) {
        old = grant_away(t, claim, s, w->now_ms, &due);
    } else {
        superseded = s->claim;
        s->claim = claim;
        claim->waiting_for = s;
        result = CLAIM_WAITING;
        kick(s);
    }
    if (superseded)
        superseded->waiting_for = NULL;
    pthread_mutex_unlock(&t->mutex);

    if (superseded)
        superseded->ready(superseded, CLAIM_SUPERSEDED);
    if (due)
        will_send(w, due);
    if (old)
        end_session(w, old, "replaced");
    return result;
}

uint64_t sessions_record(struct worker *w, const struct claim *claim, struct session *s)
{
    if (!w->journal.store)
        return 0;
    if (s->expiry > 0 || session_stored(s))
        journal_session(w, s);
    else if (serial_stored(
                 claim->replaced)) /* said again, so that this worker is told when it is so */
        journal_ended(w, claim->replaced);
    else
        return 0;
    return journal_submit(w);
}

void sessions_attached(struct worker *w, struct session *s)
{
    struct sessions *t = w->broker->sessions;

    if (!s->began) { /* told now, when it can be said who it is */
        s->began = true;
        if (core_wants(w, CORE_SESSION_BEGAN))
            core_tell_session(w, CORE_SESSION_BEGAN, s, NULL);
    }
    pthread_mutex_lock(&t->mutex);
    if (s->claim)
        kick(s);
    pthread_mutex_unlock(&t->mutex);
}

bool sessions_cancel(struct worker *w, struct claim *claim)
{
    struct sessions *t = w->broker->sessions;
    bool withdrawn = false;

    pthread_mutex_lock(&t->mutex);
    if (claim->waiting_for) {
        claim->waiting_for->claim = NULL;
        claim->waiting_for = NULL;
        withdrawn = true;
    }
    pthread_mutex_unlock(&t->mutex);
    return withdrawn;
}

/* -- Letting go -- */

static void go_away(struct worker *w, struct sessions *t, struct session *s, uint64_t end_ms)
{
    struct away *a = xcalloc(1, sizeof *a);

    a->session = s;
    a->end_ms = end_ms;
    if (s->will)
        a->will_ms = w->now_ms + s->will->delay * 1000ull;
    s->away = a;
    wheel_of(t, w->now_ms);
    away_arm(t, a);
    journal_away(w, s, a->end_ms, a->will_ms);
    journal_submit(w); /* before another worker can take it up */
}

/* The session is nobody's any more: it goes to who waits for it, is kept until end_ms, or ends. */
static void let_go(struct worker *w, struct session *s, uint64_t end_ms)
{
    struct sessions *t = w->broker->sessions;
    struct session *old = NULL;
    struct will *due = NULL; /* none: it was sent, or its delay begins now */

    if (session_stored(s))
        journal_submit(w);

    pthread_mutex_lock(&t->mutex);
    away_cancel(t, s);
    struct claim *claim = s->claim;
    s->claim = NULL;
    s->attached = false;
    t->connected--;
    if (claim && s->expiry > 0) {
        old = grant_away(t, claim, s, w->now_ms, &due);
    } else if (claim) { /* the session ends with its connection, whatever the claimant wants */
        grant_anew(t, claim, s);
        old = s;
    } else if (s->expiry > 0) {
        go_away(w, t, s, end_ms);
    } else {
        unlink_session(t, s);
        old = s;
    }
    pthread_mutex_unlock(&t->mutex);

    if (old)
        end_session(w, old, claim ? "replaced" : "its connection ended");
    if (claim) {
        journal_submit(w);
        claim->ready(claim, CLAIM_GRANTED);
    }
}

/* -- From the store, before anybody connects -- */

struct session *sessions_restore(struct worker *w, const struct restored *r, struct session **old)
{
    struct sessions *t = w->broker->sessions;

    pthread_mutex_lock(&t->mutex);
    *old = find(t, r->client_id);
    if (*old) {
        away_cancel(t, *old);
        will_free(&(*old)->will);
        unlink_session(t, *old);
    }
    struct session *s = insert_new(t, r->client_id, r->has_username ? &r->username : NULL);
    s->serial = r->serial;
    s->began = true;
    s->realm = r->realm;
    s->expiry = r->expiry;
    s->version = r->version;
    wheel_of(t, w->now_ms);
    struct away *a = s->away = xcalloc(1, sizeof *a);
    *a = (struct away){.session = s, .end_ms = r->end_ms, .will_ms = r->will_ms};
    away_arm(t, a);
    pthread_mutex_unlock(&t->mutex);
    return s;
}

void sessions_restore_end(struct worker *w, struct session *old)
{
    session_unsubscribe_all(w, old);
    session_bury(w, old);
}

void sessions_release(struct worker *w, struct session *s)
{
    if (s->will && s->will->delay == 0)
        will_publish(w, s);
    let_go(w, s, s->expiry == EXPIRY_NEVER ? UINT64_MAX : w->now_ms + s->expiry * 1000ull);
}

size_t sessions_assign_id(struct worker *w, char *buf, size_t cap)
{
    struct sessions *t = w->broker->sessions;

    for (;;) {
        int len = snprintf(buf, cap, "%s%016llx", w->limits->client_id_prefix,
                           (unsigned long long)rand_u64());
        ASSERT(len > 0 && (size_t)len < cap);
        pthread_mutex_lock(&t->mutex);
        bool taken = find(t, (struct str){buf, (size_t)len}) != NULL;
        pthread_mutex_unlock(&t->mutex);
        if (!taken) /* [MQTT-3.2.2-16] */
            return (size_t)len;
    }
}

/* -- Time -- */

/* Its will is sent without the mutex.  Until that is written down nobody may take the session up,
 * or a new will of its client might be written before this one is gone. */
static void note_due(struct sessions *t, struct session *s)
{
    s->away->will_ms = 0;
    s->attached = true;
    t->connected++;
    if (t->due_count == t->due_cap) {
        t->due_cap = t->due_cap ? t->due_cap * 2 : 16;
        t->due = xrealloc(t->due, t->due_cap * sizeof(struct session *));
    }
    t->due[t->due_count++] = s;
}

static void send_due(struct worker *w, struct session *s)
{
    uint64_t end_ms = s->away->end_ms;

    will_publish(w, s);
    let_go(w, s, end_ms);
}

/* Called while the wheel advances, table mutex held: notes what has to be done. */
static void on_due(void *arg, struct wheel_timer *timer)
{
    struct sessions *t = arg;
    struct away *a = CONTAINER_OF(timer, struct away, timer);
    struct session *s = a->session;

    if (a->end_ms <= t->now_ms) {
        free(a);
        s->away = NULL;
        unlink_session(t, s);
        s->chain = t->over;
        t->over = s;
        return;
    }
    if (a->will_ms && a->will_ms <= t->now_ms) {
        note_due(t, s);
        return;
    }
    away_arm(t, a);
}

bool sessions_tick(struct worker *w)
{
    struct sessions *t = w->broker->sessions;

    pthread_mutex_lock(&t->mutex);
    wheel_of(t, w->now_ms);
    t->now_ms = w->now_ms;
    wheel_advance(&t->wheel, w->now_ms, TICK_TIMERS);
    struct session *over = t->over;
    struct session **due = t->due;
    uint32_t due_count = t->due_count;
    t->over = NULL;
    t->due = NULL;
    t->due_count = t->due_cap = 0;
    bool more = wheel_next_due_ms(&t->wheel) <= w->now_ms;
    pthread_mutex_unlock(&t->mutex);

    for (uint32_t i = 0; i < due_count; i++)
        send_due(w, due[i]);
    free(due);
    while (over) {
        struct session *s = over;
        over = s->chain;
        COUNT(w, sessions_expired);
        end_session(w, s, "expired");
    }
    return more;
}

void sessions_end_all(struct worker *w)
{
    struct sessions *t = w->broker->sessions;

    ASSERT(!w->journal.store);

    pthread_mutex_lock(&t->mutex);
    for (uint32_t i = 0; i < t->bucket_count; i++) {
        for (struct session **p = &t->buckets[i]; *p;) {
            struct session *s = *p;
            if (s->attached) {
                p = &s->chain;
                continue;
            }
            away_cancel(t, s);
            will_free(&s->will); /* the broker ends, not the session: no will is due */
            *p = s->chain;
            t->total--;
            s->chain = t->over;
            t->over = s;
        }
    }
    struct session *over = t->over;
    t->over = NULL;
    pthread_mutex_unlock(&t->mutex);
    while (over) {
        struct session *s = over;
        over = s->chain;
        end_session(w, s, NULL); /* the broker ends, not the session */
    }
}

/* -- For those who look in -- */

struct sessions_stats sessions_stats(struct sessions *t)
{
    pthread_mutex_lock(&t->mutex);
    struct sessions_stats stats = {.total = t->total, .connected = t->connected};
    pthread_mutex_unlock(&t->mutex);
    return stats;
}

void sessions_each(struct sessions *t, bool (*each)(void *arg, struct session *s), void *arg)
{
    bool more = true;

    pthread_mutex_lock(&t->mutex);
    for (uint32_t i = 0; more && i < t->bucket_count; i++) {
        for (struct session *s = t->buckets[i]; more && s; s = s->chain)
            more = each(arg, s);
    }
    pthread_mutex_unlock(&t->mutex);
}

bool sessions_walk(struct sessions *t, uint32_t *at, void (*each)(void *arg, struct session *s),
                   void *arg)
{
    pthread_mutex_lock(&t->mutex);
    uint32_t end = *at + WALK_BUCKETS < t->bucket_count ? *at + WALK_BUCKETS : t->bucket_count;
    for (; *at < end; (*at)++) {
        for (struct session *s = t->buckets[*at]; s; s = s->chain)
            each(arg, s);
    }
    bool more = *at < t->bucket_count;
    pthread_mutex_unlock(&t->mutex);
    return more;
}

bool sessions_with(struct sessions *t, struct str client_id,
                   void (*fn)(void *arg, struct session *s), void *arg)
{
    pthread_mutex_lock(&t->mutex);
    struct session *s = find(t, client_id);
    if (s)
        fn(arg, s);
    pthread_mutex_unlock(&t->mutex);
    return s != NULL;
}

/* Lock held. */
static bool is_connection(struct session *s, const struct presence *only)
{
    return session_link(s) && (!only || (s->identity && s->identity->presence == only));
}

bool sessions_kick_text(struct sessions *t, struct str client_id, const struct presence *only,
                        uint8_t reason, const char *text)
{
    bool kicked = false;

    pthread_mutex_lock(&t->mutex);
    struct session *s = find(t, client_id);
    if (s) {
        lock_take(&s->lock);
        struct link *link = session_link(s);
        if ((kicked = is_connection(s, only)) && text && link->ops->kick_text)
            link->ops->kick_text(link, reason, text);
        else if (kicked)
            link->ops->kick(link, reason);
        lock_drop(&s->lock);
    }
    pthread_mutex_unlock(&t->mutex);
    return kicked;
}

bool sessions_kick(struct sessions *t, struct str client_id, uint8_t reason)
{
    return sessions_kick_text(t, client_id, NULL, reason, NULL);
}

struct skep_client *sessions_identity(struct sessions *t, struct str client_id, bool connected)
{
    struct skep_client *who = NULL;

    pthread_mutex_lock(&t->mutex);
    struct session *s = find(t, client_id);
    if (s && (!connected || session_link(s)))
        who = session_identity(s);
    pthread_mutex_unlock(&t->mutex);
    return who;
}
