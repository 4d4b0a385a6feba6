#include "store/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/batch.h"
#include "store/export.h"
#include "store/fold.h"
#include "store/octets.h"

enum { WHY = 256, COMMIT_BYTES = 32 << 20, ROW_COST = 1024 };

/* -- Beginning and giving up -- */

struct import {
    struct tables *tables;
    struct tables_txn *txn;
    struct batch batch; /* scratch: bodies are made as the log has them */
    uint8_t *value;     /* scratch: one value */
    size_t value_cap;
    size_t uncommitted;
    uint64_t session, counter; /* the session being filled, its next counter */
    struct session_tail tail;  /* of that session */
    uint64_t last_number, last_message;
    bool retained; /* these come last */
    char why[WHY];
};

__attribute__((format(printf, 3, 4))) static int fail(struct import *i, int err, const char *format,
                                                      ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(i->why, sizeof i->why, format, args);
    va_end(args);
    return err;
}

const char *import_why(const struct import *i)
{
    return i->why;
}

int import_begin(struct import **out, struct tables *t)
{
    struct import *i = xcalloc(1, sizeof *i);
    int err = tables_begin(t, true, &i->txn);

    i->tables = t;
    if (err)
        import_free(&i);
    else
        *out = i;
    return err;
}

void import_free(struct import **import)
{
    struct import *i = *import;

    if (!i)
        return;
    if (i->txn)
        tables_abort(&i->txn);
    batch_fini(&i->batch);
    free(i->value);
    free(i);
    *import = NULL;
}

/* -- Rows -- */

static int write_fault(struct import *i, int err)
{
    if (err == ERR_AGAIN)
        return fail(i, ERR_LIMIT, "the store grows beyond what was set aside for it");
    return fail(i, err, "cannot write the tables: %s",
                *tables_why() ? tables_why() : err_text(err));
}

static int commit(struct import *i)
{
    int err = tables_commit(&i->txn);

    i->uncommitted = 0;
    if (!err)
        err = tables_begin(i->tables, true, &i->txn);
    return err ? write_fault(i, err) : 0;
}

/* A row takes a page of its own in memory until the commit, if its neighbours are elsewhere. */
static int count_row(struct import *i, size_t bytes)
{
    i->uncommitted += bytes + ROW_COST;
    return i->uncommitted < COMMIT_BYTES ? 0 : commit(i);
}

/* `what` is there only once. */
static int add(struct import *i, enum table table, const struct table_key *key, struct str value,
               const char *what)
{
    struct str there;
    int err = tables_add(i->txn, table, key_str(key), value, &there);

    if (err == ERR_EXISTS)
        return fail(i, ERR_INVALID, "%s is there twice", what);
    if (err)
        return write_fault(i, err);
    return count_row(i, key->len + value.len);
}

/* The body of the one record in the batch, once it is known to read back. */
static int take_body(struct import *i, struct str *out)
{
    struct record r = {.type = i->batch.bytes[16], .flags = i->batch.bytes[17]};
    struct record_body body;

    r.body = (struct str){(char *)i->batch.bytes + RECORD_HEAD, get_u32(i->batch.bytes + 4)};
    i->batch.len = 0;
    *out = r.body;
    return record_decode(&r, &body) < 0 ? fail(i, ERR_INVALID, "it makes no sense") : 0;
}

static int check_text(struct import *i, struct str text, const char *what)
{
    if (text.len <= UINT16_MAX)
        return 0;
    return fail(i, ERR_LIMIT, "the %s is longer than %d bytes", what, UINT16_MAX);
}

static int check_message(struct import *i, const struct record_message *m)
{
    int err = check_text(i, m->topic, "topic");

    if (!err && m->qos > 2)
        err = fail(i, ERR_INVALID, "there is no QoS %u", m->qos);
    if (!err && (m->payload.len > RECORD_BODY_MAX / 4 || m->props.len > RECORD_BODY_MAX / 4))
        err = fail(i, ERR_LIMIT, "the message is larger than any MQTT packet");
    return err;
}

static uint8_t *value_room(struct import *i, size_t need)
{
    if (need > i->value_cap) {
        i->value_cap = need * 2;
        i->value = xrealloc(i->value, i->value_cap);
    }
    return i->value;
}

static struct str message_value(struct import *i, const struct record_message *m)
{
    uint8_t *p = value_room(i, record_message_size(m));
    return (struct str){(char *)p, (size_t)(record_message_put(p, m) - p)};
}

/* -- Each kind -- */

int import_meta(struct import *i, struct str name, uint64_t value)
{
    char text[IMPORT_NAME_MAX + 1];
    int err;

    if (name.len == 0 || name.len > IMPORT_NAME_MAX || memchr(name.ptr, 0, name.len))
        return fail(i, ERR_LIMIT, "a name in meta has 1 to %d bytes", IMPORT_NAME_MAX);
    if (export_meta_is_own(name))
        return fail(i, ERR_INVALID, "%.*s in meta is not for an import", STR_ARG(name));
    snprintf(text, sizeof text, "%.*s", STR_ARG(name));
    if (strcmp(text, "last_number") == 0)
        i->last_number = value;
    err = tables_meta_put(i->txn, text, value);
    return err ? write_fault(i, err) : 0;
}

int import_message(struct import *i, uint64_t id, const struct record_message *m)
{
    struct table_key key = {.len = 0};
    uint8_t none[8] = {0};
    int err = check_message(i, m);

    if (err)
        return err;
    if (i->session || i->retained)
        return fail(i, ERR_INVALID, "shared messages come before sessions");
    if (id <= i->last_message || id > INT64_MAX)
        return fail(i, ERR_INVALID, "the ids of messages begin above 0 and rise");
    i->last_message = id;
    key_u64(&key, id);
    key_u8(&key, 0);
    if ((err = add(i, TABLE_MESSAGES, &key, message_value(i, m), "the message")) < 0)
        return err;
    key.bytes[key.len - 1] = 1;
    return add(i, TABLE_MESSAGES, &key, (struct str){(char *)none, sizeof none}, "the message");
}

static int session_part(struct import *i, enum session_part part)
{
    struct table_key key = {.len = 0};
    struct str body;
    int err = take_body(i, &body);

    key_u64(&key, i->session);
    key_u8(&key, part);
    return err ? err : add(i, TABLE_SESSIONS, &key, body, "the session");
}

/* The session that was being filled is complete. */
static int end_session(struct import *i)
{
    struct table_key key = {.len = 0};
    uint8_t tail[SESSION_TAIL_SIZE];

    if (i->tail.next == 0)
        return 0;
    session_tail_put(tail, i->tail);
    i->tail = (struct session_tail){0};
    key_u64(&key, i->session);
    key_u8(&key, SESSION_TAIL);
    return add(i, TABLE_SESSIONS, &key, (struct str){(char *)tail, sizeof tail}, "the session");
}

int import_session(struct import *i, const struct load_session *s)
{
    struct record_away away = {s->head.number, s->ends_ms, s->will_ms, s->sent};
    struct record_will will = s->will;
    int err;

    if (i->retained)
        return fail(i, ERR_INVALID, "sessions come before retained messages");
    if (s->head.number <= i->session)
        return fail(i, ERR_INVALID, "the numbers of sessions begin above 0 and rise");
    if ((err = check_text(i, s->head.client_id, "client id")) < 0 ||
        (err = check_text(i, s->head.username, "user name")) < 0 ||
        (s->has_will && (err = check_message(i, &will.message)) < 0) || (err = end_session(i)) < 0)
        return err;
    i->session = will.number = s->head.number;
    i->counter = 0;
    i->tail.next = s->tail;
    batch_session(&i->batch, &s->head);
    if ((err = session_part(i, SESSION_HEAD)) < 0)
        return err;
    if (s->away) {
        batch_away(&i->batch, &away);
        if ((err = session_part(i, SESSION_AWAY)) < 0)
            return err;
    }
    if (s->has_will) {
        batch_will(&i->batch, &will);
        err = session_part(i, SESSION_WILL);
    }
    return err;
}

static int check_owner(struct import *i, uint64_t session)
{
    if (session == i->session && session != 0 && !i->retained)
        return 0;
    return fail(i, ERR_INVALID, "it belongs to session %llu, but does not stand behind it",
                (unsigned long long)session);
}

int import_subscription(struct import *i, const struct record_sub *sub)
{
    struct table_key key = {.len = 0};
    struct str body;
    int err;

    if ((err = check_owner(i, sub->number)) < 0 || (err = check_text(i, sub->filter, "filter")) < 0)
        return err;
    batch_sub(&i->batch, sub);
    if ((err = take_body(i, &body)) < 0)
        return err;
    key_u64(&key, sub->number);
    key_text(&key, sub->filter);
    return add(i, TABLE_SUBS, &key, body, "the subscription");
}

int import_received(struct import *i, uint64_t session, uint16_t packet_id)
{
    struct table_key key = {.len = 0};
    int err = check_owner(i, session);

    if (err)
        return err;
    if (packet_id == 0)
        return fail(i, ERR_INVALID, "there is no packet id 0");
    key_u64(&key, session);
    key_u16(&key, packet_id);
    return add(i, TABLE_RECEIVED, &key, STR(""), "the packet id");
}

/* One more entry shares the message. */
static int message_ref(struct import *i, uint64_t id)
{
    struct table_key key = {.len = 0};
    struct str value;
    uint8_t refs[8];

    key_u64(&key, id);
    key_u8(&key, 1);
    int err = tables_get(i->txn, TABLE_MESSAGES, key_str(&key), &value);
    if (err == ERR_NOT_FOUND)
        return fail(i, ERR_INVALID, "there is no message %llu", (unsigned long long)id);
    if (!err) {
        put_u64(refs, get_u64((const uint8_t *)value.ptr) + 1);
        err = tables_put(i->txn, TABLE_MESSAGES, key_str(&key),
                         (struct str){(char *)refs, sizeof refs});
    }
    return err ? write_fault(i, err) : count_row(i, sizeof refs);
}

static struct str entry_value(struct import *i, const struct load_entry *e)
{
    enum queue_kind kind = e->released ? QUEUE_RELEASED : e->shared ? QUEUE_SHARED : QUEUE_OWN;
    uint8_t *start = value_room(i, QUEUE_HEAD + 8 + record_message_size(&e->message));
    uint8_t *p = queue_head_put(start, kind, &e->target);

    if (!e->released)
        p = e->shared ? put_u64(p, e->shared) : record_message_put(p, &e->message);
    return (struct str){(char *)start, (size_t)(p - start)};
}

int import_entry(struct import *i, const struct load_entry *e)
{
    struct table_key key = {.len = 0};
    bool own = !e->released && !e->shared;
    int err = check_owner(i, e->target.session);

    if (!err && own)
        err = check_message(i, &e->message);
    if (err)
        return err;
    if (e->target.qos > 2 || (!e->released && e->target.qos == 0))
        return fail(i, ERR_INVALID, "no message is queued at QoS %u", e->target.qos);
    if (e->target.counter < i->counter || e->target.counter >= i->tail.next)
        return fail(i, ERR_INVALID,
                    "the counters of a queue rise, and stay below its session's next one");
    i->counter = e->target.counter + 1;
    i->tail.queued++;
    if (e->shared && !e->released && (err = message_ref(i, e->shared)) < 0)
        return err;
    key_u64(&key, e->target.session);
    key_u64(&key, e->target.counter);
    return add(i, TABLE_QUEUE, &key, entry_value(i, e), "the queue entry");
}

int import_retained(struct import *i, const struct record_message *m)
{
    struct table_key key = {.len = 0};
    int err = check_message(i, m);

    if (err)
        return err;
    if (m->payload.len == 0)
        return fail(i, ERR_INVALID, "a retained message is not empty");
    i->retained = true;
    key_text(&key, m->topic);
    return add(i, TABLE_RETAINED, &key, message_value(i, m), "the retained message");
}

/* -- The end -- */

static int find_unused(void *arg, struct str key, struct str value, bool *remove)
{
    struct import *i = arg;

    if (key.ptr[8] != 1 || get_u64((const uint8_t *)value.ptr) > 0)
        return 0;
    return fail(i, ERR_INVALID, "message %llu is in no queue",
                (unsigned long long)key_get_u64(key, 0));
}

int import_finish(struct import *i, uint64_t *applied)
{
    uint64_t last = i->last_number > i->session ? i->last_number : i->session;
    int err = end_session(i);

    if (err)
        return err;
    err = tables_each(i->txn, TABLE_MESSAGES, STR_NONE, find_unused, i);

    /* The ids of messages are places in the log: it goes on behind them all, at a
     * multiple of four. */
    *applied = (i->last_message | 3) + 1;
    if (err)
        return err == ERR_INVALID ? err : write_fault(i, err);
    if ((last > 0 && (err = tables_meta_put(i->txn, "last_number", last)) < 0) ||
        (err = tables_meta_put(i->txn, "applied", *applied)) < 0 ||
        (err = tables_commit(&i->txn)) < 0)
        return write_fault(i, err);
    return 0;
}
