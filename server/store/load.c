#include "store/load.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/fold.h"
#include "store/queue.h"

enum { PROGRESS_MS = 2000, WORTH_SAYING_MS = 100, LOOK_EVERY = 256, ENOUGH = 1 };

struct loading {
    const struct loader *to;
    struct tables_txn *txn;
    struct queue_reader queue;
    struct load_session session;
    bool pending;   /* session is read but not yet handed out */
    uint64_t given; /* entries of this session */
    uint64_t sessions, messages, retained;
    uint64_t begun_ms, said_ms;
    unsigned steps;
};

/* A value that is the body of a record. */
static int body_of(unsigned type, struct str value, struct record_body *out)
{
    struct record r = {.type = (uint8_t)type, .body = value};
    return record_decode(&r, out) < 0 ? ERR_DAMAGED : 0;
}

static int each_subscription(void *arg, struct str key, struct str value, bool *remove)
{
    struct loading *l = arg;
    struct record_body body;
    int err = body_of(RECORD_SUB, value, &body);

    return err || !l->to->subscription ? err : l->to->subscription(l->to->arg, &body.sub);
}

static int each_received(void *arg, struct str key, struct str value, bool *remove)
{
    struct loading *l = arg;

    if (key.len != 10)
        return ERR_DAMAGED;
    uint16_t id = (uint16_t)((uint8_t)key.ptr[8] << 8 | (uint8_t)key.ptr[9]);
    return l->to->received ? l->to->received(l->to->arg, key_get_u64(key, 0), id) : 0;
}

/* Looks at the clock now and then. */
static void say_progress(struct loading *l)
{
    if (++l->steps % LOOK_EVERY != 0)
        return;
    uint64_t now = clock_mono_ms();
    if (now - l->said_ms < PROGRESS_MS)
        return;
    l->said_ms = now;
    log_info("store", "loading: %llu sessions, %llu queued and %llu retained messages so far",
             (unsigned long long)l->sessions, (unsigned long long)l->messages,
             (unsigned long long)l->retained);
}

static void say_end(const struct loading *l)
{
    uint64_t took = clock_mono_ms() - l->begun_ms;

    if (took >= WORTH_SAYING_MS)
        log_info("store",
                 "loaded %llu sessions, %llu queued and %llu retained messages in %llu.%03llu s",
                 (unsigned long long)l->sessions, (unsigned long long)l->messages,
                 (unsigned long long)l->retained, (unsigned long long)took / 1000,
                 (unsigned long long)took % 1000);
}

/* The first entry that is not handed out ends the walk. */
static int leave_rest(struct loading *l, const struct load_entry *e)
{
    uint64_t count = l->session.queued > l->given ? l->session.queued - l->given : 1;
    int err =
        l->to->rest ? l->to->rest(l->to->arg, e->target.session, e->target.counter, count) : 0;
    return err ? err : ENOUGH;
}

static int each_entry(void *arg, struct str key, struct str value, bool *remove)
{
    struct loading *l = arg;
    struct load_entry e;
    int found = queue_entry(&l->queue, key, value, &e);

    if (found <= 0)
        return found;
    if (l->to->queue_most && l->given == l->to->queue_most)
        return leave_rest(l, &e);
    l->given++;
    l->messages++;
    say_progress(l);
    return l->to->entry ? l->to->entry(l->to->arg, &e) : 0;
}

static int hand_out(struct loading *l)
{
    struct table_key key = {.len = 0};
    int err = 0;

    if (!l->pending)
        return 0;
    l->pending = false;
    l->given = 0;
    l->sessions++;
    say_progress(l);
    if (l->session.head.number == 0)
        return ERR_DAMAGED; /* parts of a session without its head */
    key_u64(&key, l->session.head.number);
    if (l->to->session)
        err = l->to->session(l->to->arg, &l->session);
    if (!err)
        err = tables_each(l->txn, TABLE_SUBS, key_str(&key), each_subscription, l);
    if (!err)
        err = tables_each(l->txn, TABLE_RECEIVED, key_str(&key), each_received, l);
    if (!err)
        err = tables_each(l->txn, TABLE_QUEUE, key_str(&key), each_entry, l);
    return err == ENOUGH ? 0 : err;
}

static int session_part(struct load_session *s, unsigned part, struct str value)
{
    struct session_tail tail;
    struct record_body body;
    int err = 0;

    if (part == SESSION_AWAY && (err = body_of(RECORD_AWAY, value, &body)) == 0) {
        s->away = true;
        s->ends_ms = body.away.ends_ms;
        s->will_ms = body.away.will_ms;
        s->sent = body.away.sent;
    } else if (part == SESSION_WILL && (err = body_of(RECORD_WILL, value, &body)) == 0) {
        s->has_will = true;
        s->will = body.will;
    } else if (part == SESSION_TAIL && (err = session_tail_get(value, &tail)) == 0) {
        s->tail = tail.next;
        s->queued = tail.queued;
    } else if (!err) {
        err = ERR_DAMAGED;
    }
    return err;
}

/* The head comes first of a session's parts, and a new head ends the one before. */
static int each_part(void *arg, struct str key, struct str value, bool *remove)
{
    struct loading *l = arg;
    struct record_body body;
    int err;

    if (key.len != 9)
        return ERR_DAMAGED;
    if (key.ptr[8] != SESSION_HEAD) {
        if (!l->pending || l->session.head.number != key_get_u64(key, 0))
            return ERR_DAMAGED;
        return session_part(&l->session, (uint8_t)key.ptr[8], value);
    }
    if ((err = hand_out(l)) < 0 || (err = body_of(RECORD_SESSION, value, &body)) < 0)
        return err;
    l->session = (struct load_session){.head = body.session, .ends_ms = UINT64_MAX};
    l->pending = true;
    return 0;
}

static int each_retained(void *arg, struct str key, struct str value, bool *remove)
{
    struct loading *l = arg;
    struct record_message m;

    if (record_message_get(value, &m) < 0)
        return ERR_DAMAGED;
    l->retained++;
    say_progress(l);
    return l->to->retained ? l->to->retained(l->to->arg, &m) : 0;
}

int load_tables(struct tables *t, const struct loader *loader, char *why, size_t why_size)
{
    uint64_t now = clock_mono_ms();
    struct loading l = {.to = loader, .begun_ms = now, .said_ms = now};
    int err = tables_begin(t, false, &l.txn);

    l.queue.txn = l.txn;
    if (!err) {
        err = tables_each(l.txn, TABLE_SESSIONS, STR_NONE, each_part, &l);
        if (!err)
            err = hand_out(&l);
        if (!err)
            err = tables_each(l.txn, TABLE_RETAINED, STR_NONE, each_retained, &l);
        tables_abort(&l.txn);
    }
    if (!err)
        say_end(&l);
    if (err)
        snprintf(why, why_size, "the checkpoint cannot be read: %s",
                 err == ERR_SYSTEM || *tables_why() ? tables_why() : err_text(err));
    return err;
}
