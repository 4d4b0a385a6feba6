/* What a fold does to queues and the messages in them. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/fold_impl.h"
#include "store/octets.h"

enum { VALUE_QOS = 7 };

struct table_key fold_number_key(uint64_t number)
{
    struct table_key key = {.len = 0};

    key_u64(&key, number);
    return key;
}

/* -- Values -- */

void session_tail_put(uint8_t out[SESSION_TAIL_SIZE], struct session_tail tail)
{
    put_u64(put_u64(out, tail.next), tail.queued);
}

int session_tail_get(struct str value, struct session_tail *out)
{
    if (value.len != SESSION_TAIL_SIZE)
        return ERR_DAMAGED;
    out->next = get_u64((const uint8_t *)value.ptr);
    out->queued = get_u64((const uint8_t *)value.ptr + 8);
    return 0;
}

uint8_t *queue_head_put(uint8_t *p, enum queue_kind kind, const struct record_target *target)
{
    *p++ = (uint8_t)kind;
    p = put_u32(p, target->sub_id);
    p = put_u16(p, target->share);
    *p++ = target->qos;
    *p++ = target->retain;
    return p;
}

/* -- Shared messages -- */

static struct table_key message_key(uint64_t lsn, uint8_t part)
{
    struct table_key key = {.len = 0};

    key_u64(&key, lsn);
    key_u8(&key, part);
    return key;
}

static int refs_put(struct applying *a, uint64_t lsn, uint64_t refs)
{
    struct table_key key = message_key(lsn, 1);
    uint8_t bytes[8];

    put_u64(bytes, refs);
    return tables_put(a->txn, TABLE_MESSAGES, key_str(&key),
                      (struct str){(char *)bytes, sizeof bytes});
}

int fold_message_store(struct applying *a, struct fold_message *m)
{
    struct table_key key = message_key(m->lsn, 0);
    int err = tables_put(a->txn, TABLE_MESSAGES, key_str(&key), m->bytes);

    m->stored = true;
    return err ? err : refs_put(a, m->lsn, m->refs);
}

int fold_message_unref(struct applying *a, uint64_t lsn)
{
    struct table_key bytes_key = message_key(lsn, 0), refs_key = message_key(lsn, 1);
    struct str value;
    int err = tables_get(a->txn, TABLE_MESSAGES, key_str(&refs_key), &value);

    if (err)
        return err == ERR_NOT_FOUND ? 0 : err;
    uint64_t refs = value.len == 8 ? get_u64((const uint8_t *)value.ptr) : 0;
    if (refs > 1)
        return refs_put(a, lsn, refs - 1);
    if ((err = tables_delete(a->txn, TABLE_MESSAGES, key_str(&refs_key))) < 0)
        return err;
    return tables_delete(a->txn, TABLE_MESSAGES, key_str(&bytes_key));
}

unsigned fold_queue_kind(struct str value)
{
    return value.len ? (uint8_t)value.ptr[0] : QUEUE_DONE;
}

uint64_t fold_shared_message(struct str value)
{
    bool shared = value.len == QUEUE_HEAD + 8 && fold_queue_kind(value) == QUEUE_SHARED;
    return shared ? get_u64((const uint8_t *)value.ptr + QUEUE_HEAD) : 0;
}

/* The entry whose value this is goes. */
static int value_forget(struct applying *a, struct str value)
{
    uint64_t lsn = fold_shared_message(value);
    return lsn ? fold_message_unref(a, lsn) : 0;
}

/* -- Queue entries -- */

static struct str entry_value(struct applying *a, const struct fold_entry *e)
{
    const struct fold_message *m = e->message;
    size_t need = QUEUE_HEAD + (m ? m->bytes.len : 0) + 8;

    if (need > a->value_cap) {
        a->value_cap = need * 2;
        a->value = xrealloc(a->value, a->value_cap);
    }
    enum queue_kind kind = !m ? QUEUE_RELEASED : m->stored ? QUEUE_SHARED : QUEUE_OWN;
    uint8_t *p = queue_head_put(a->value, kind, &e->target);
    if (m)
        p = m->stored ? put_u64(p, m->lsn) : put_str(p, m->bytes);
    return (struct str){(char *)a->value, (size_t)(p - a->value)};
}

/* A RELEASE that waits for its message: nothing but that is known. */
static bool released_only(struct str value)
{
    return value.len == QUEUE_HEAD && fold_queue_kind(value) == QUEUE_RELEASED &&
           value.ptr[VALUE_QOS] == 0;
}

/* The value's target, without the message. */
static int put_released(struct applying *a, struct str key, struct str value)
{
    uint8_t bytes[QUEUE_HEAD];

    memcpy(bytes, value.ptr, sizeof bytes);
    bytes[0] = QUEUE_RELEASED;
    return tables_put(a->txn, TABLE_QUEUE, key, (struct str){(char *)bytes, sizeof bytes});
}

/* What waits in the tables for this message decides. */
static int add_message(struct applying *a, struct fold_entry *e, struct str key, struct str value)
{
    struct str there;
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    if (err != ERR_EXISTS) {
        e->session->queued++;
        return err;
    }
    bool done = fold_queue_kind(there) == QUEUE_DONE, released = released_only(there);
    if (e->message && e->message->stored && (err = fold_message_unref(a, e->message->lsn)) < 0)
        return err;
    a->marks -= done;
    if (done)
        return tables_delete(a->txn, TABLE_QUEUE, key);
    return released ? put_released(a, key, value) : 0;
}

/* The message is in the tables, or yet to come. */
static int add_done(struct applying *a, struct fold_entry *e, struct str key)
{
    struct str value = {(char[]){QUEUE_DONE}, 1}, there;
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    a->marks += !err;
    if (err != ERR_EXISTS || fold_queue_kind(there) == QUEUE_DONE)
        return err == ERR_EXISTS ? 0 : err;
    e->session->queued--;
    a->marks += released_only(there);
    if (released_only(there))
        return tables_put(a->txn, TABLE_QUEUE, key, value);
    if ((err = value_forget(a, there)) < 0)
        return err;
    return tables_delete(a->txn, TABLE_QUEUE, key);
}

/* So are both: at most its RELEASE waits in the tables. */
static int add_over(struct applying *a, struct fold_entry *e, struct str key)
{
    struct str there;
    int err = tables_get(a->txn, TABLE_QUEUE, key, &there);

    if (err)
        return err == ERR_NOT_FOUND ? 0 : err;
    if (fold_queue_kind(there) == QUEUE_DONE)
        a->marks--;
    else
        e->session->queued--;
    return tables_delete(a->txn, TABLE_QUEUE, key);
}

static int add_released(struct applying *a, struct fold_entry *e, struct str key)
{
    struct str value = entry_value(a, e), there;
    uint8_t kept[QUEUE_HEAD];
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    if (err != ERR_EXISTS) {
        e->session->queued++;
        return err;
    }
    if (fold_queue_kind(there) == QUEUE_DONE)
        return 0;
    if (there.len < QUEUE_HEAD)
        return ERR_DAMAGED;
    memcpy(kept, there.ptr, sizeof kept);
    if ((err = value_forget(a, there)) < 0)
        return err;
    return put_released(a, key, (struct str){(char *)kept, sizeof kept});
}

int fold_entry_apply(struct applying *a, struct fold_entry *e)
{
    struct table_key key = fold_number_key(e->session->number);

    if (!e->session->known || e->session->ended)
        return 0;
    key_u64(&key, e->counter);
    if (e->over)
        return add_over(a, e, key_str(&key));
    if (e->done)
        return add_done(a, e, key_str(&key));
    if (e->target.session)
        return add_message(a, e, key_str(&key), entry_value(a, e));
    return add_released(a, e, key_str(&key));
}

/* -- Marks -- */

struct sweep {
    uint64_t left;
};

enum { NONE_LEFT = 1 };

static int sweep_each(void *arg, struct str key, struct str value, bool *remove)
{
    struct sweep *sweep = arg;

    if (sweep->left == 0)
        return NONE_LEFT;
    *remove = fold_queue_kind(value) == QUEUE_DONE;
    sweep->left -= *remove;
    return 0;
}

static int sweep_once(struct tables_txn *txn)
{
    struct sweep sweep;
    int err = tables_meta_get(txn, "marks", &sweep.left);

    if (err || sweep.left == 0)
        return err;
    if ((err = tables_each(txn, TABLE_QUEUE, STR_NONE, sweep_each, &sweep)) < 0)
        return err;
    return tables_meta_put(txn, "marks", 0);
}

int fold_sweep(struct tables *t)
{
    struct tables_txn *txn;
    int err;

    do {
        if ((err = tables_begin(t, true, &txn)) < 0)
            return err;
        err = sweep_once(txn);
        if (err)
            tables_abort(&txn);
        else
            err = tables_commit(&txn);
    } while (err == ERR_AGAIN);
    return err;
}
