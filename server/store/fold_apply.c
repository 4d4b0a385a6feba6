/* A fold's way into the tables: sorted, in one transaction. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/fold_impl.h"
#include "store/octets.h"

enum { PAUSE_EVERY = 256, VALUE_HEAD = 1 + QUEUE_TARGET, VALUE_QOS = 7 };

struct apply {
    struct fold *fold;
    struct tables_txn *txn;
    const _Atomic unsigned *pause_us;
    unsigned changes;
    uint8_t *value; /* scratch */
    size_t value_cap;
};

static void breathe(struct apply *a)
{
    if (!a->pause_us || ++a->changes % PAUSE_EVERY != 0)
        return;
    unsigned us = atomic_load_explicit(a->pause_us, memory_order_relaxed);
    struct timespec nap = {us / 1000000, (long)(us % 1000000) * 1000};
    if (us > 0)
        nanosleep(&nap, NULL);
}

static struct table_key message_key(uint64_t lsn, uint8_t part)
{
    struct table_key key = {.len = 0};

    key_u64(&key, lsn);
    key_u8(&key, part);
    return key;
}

static struct table_key number_key(uint64_t number)
{
    struct table_key key = {.len = 0};

    key_u64(&key, number);
    return key;
}

/* -- Shared messages -- */

static int refs_put(struct apply *a, uint64_t lsn, uint64_t refs)
{
    struct table_key key = message_key(lsn, 1);
    uint8_t bytes[8];

    put_u64(bytes, refs);
    return tables_put(a->txn, TABLE_MESSAGES, key_str(&key),
                      (struct str){(char *)bytes, sizeof bytes});
}

static int message_store(struct apply *a, struct fold_message *m)
{
    struct table_key key = message_key(m->lsn, 0);
    int err = tables_put(a->txn, TABLE_MESSAGES, key_str(&key), m->bytes);

    m->stored = true;
    return err ? err : refs_put(a, m->lsn, m->refs);
}

static int message_unref(struct apply *a, uint64_t lsn)
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

/* The entry whose value this is goes. */
static int value_forget(struct apply *a, struct str value)
{
    if (value.len == VALUE_HEAD + 8 && value.ptr[0] == QUEUE_SHARED)
        return message_unref(a, get_u64((const uint8_t *)value.ptr + VALUE_HEAD));
    return 0;
}

/* -- Sessions that ended -- */

struct erase {
    struct apply *apply;
    uint64_t *lsns; /* of shared messages, let go after the walk */
    size_t count, cap;
};

static int erase_each(void *arg, struct str key, struct str value, bool *remove)
{
    struct erase *e = arg;

    *remove = true;
    if (value.len == VALUE_HEAD + 8 && value.ptr[0] == QUEUE_SHARED) {
        if (e->count == e->cap) {
            e->cap = e->cap ? e->cap * 2 : 64;
            e->lsns = xrealloc(e->lsns, e->cap * sizeof *e->lsns);
        }
        e->lsns[e->count++] = get_u64((const uint8_t *)value.ptr + VALUE_HEAD);
    }
    return 0;
}

static int remove_each(void *arg, struct str key, struct str value, bool *remove)
{
    *remove = true;
    return 0;
}

static int erase_session(struct apply *a, const struct fold_session *s)
{
    static const enum table others[] = {TABLE_SESSIONS, TABLE_SUBS, TABLE_RECEIVED};
    struct table_key key = number_key(s->number);
    struct erase e = {.apply = a};
    int err = tables_each(a->txn, TABLE_QUEUE, key_str(&key), erase_each, &e);

    for (size_t i = 0; !err && i < e.count; i++)
        err = message_unref(a, e.lsns[i]);
    free(e.lsns);
    for (size_t i = 0; !err && i < ARRAY_LEN(others); i++)
        err = tables_each(a->txn, others[i], key_str(&key), remove_each, NULL);
    return err;
}

static int apply_session(struct apply *a, struct fold_session *s)
{
    struct table_key key = number_key(s->number);
    struct str there;

    s->known = s->begun;
    s->queued = 0;
    if (s->ended)
        return erase_session(a, s);
    if (s->known)
        return 0;
    key_u8(&key, SESSION_HEAD);
    int err = tables_get(a->txn, TABLE_SESSIONS, key_str(&key), &there);
    s->known = !err;
    return err == ERR_NOT_FOUND ? 0 : err;
}

/* What its entries have changed. */
static int apply_tail(struct apply *a, struct fold_session *s)
{
    struct table_key key = number_key(s->number);
    struct str there;
    uint8_t value[SESSION_TAIL_SIZE];
    uint64_t tail = 0, queued = 0;
    int err;

    if (!s->known || s->ended || (s->tail == 0 && s->queued == 0))
        return 0;
    key_u8(&key, SESSION_TAIL);
    err = tables_get(a->txn, TABLE_SESSIONS, key_str(&key), &there);
    if (err && err != ERR_NOT_FOUND)
        return err;
    if (!err && there.len == SESSION_TAIL_SIZE) {
        tail = get_u64((const uint8_t *)there.ptr);
        queued = get_u64((const uint8_t *)there.ptr + 8);
    }
    if (s->tail <= tail && s->queued == 0)
        return 0;
    put_u64(value, s->tail > tail ? s->tail : tail);
    put_u64(value + 8, queued + (uint64_t)s->queued);
    return tables_put(a->txn, TABLE_SESSIONS, key_str(&key),
                      (struct str){(char *)value, sizeof value});
}

/* -- Queue entries -- */

static struct str entry_value(struct apply *a, const struct fold_entry *e)
{
    const struct fold_message *m = e->message;
    size_t need = VALUE_HEAD + (m ? m->bytes.len : 0) + 8;

    if (need > a->value_cap) {
        a->value_cap = need * 2;
        a->value = xrealloc(a->value, a->value_cap);
    }
    uint8_t *p = a->value;
    *p++ = !m ? QUEUE_RELEASED : m->stored ? QUEUE_SHARED : QUEUE_OWN;
    p = put_u32(p, e->target.sub_id);
    p = put_u16(p, e->target.share);
    *p++ = e->target.qos;
    *p++ = e->target.retain;
    if (m)
        p = m->stored ? put_u64(p, m->lsn) : put_str(p, m->bytes);
    return (struct str){(char *)a->value, (size_t)(p - a->value)};
}

static unsigned queue_kind(struct str value)
{
    return value.len ? (uint8_t)value.ptr[0] : QUEUE_DONE;
}

/* A RELEASE that waits for its message: nothing but that is known. */
static bool released_only(struct str value)
{
    return value.len == VALUE_HEAD && queue_kind(value) == QUEUE_RELEASED &&
           value.ptr[VALUE_QOS] == 0;
}

/* The value's target, without the message. */
static int put_released(struct apply *a, struct str key, struct str value)
{
    uint8_t bytes[VALUE_HEAD];

    memcpy(bytes, value.ptr, sizeof bytes);
    bytes[0] = QUEUE_RELEASED;
    return tables_put(a->txn, TABLE_QUEUE, key, (struct str){(char *)bytes, sizeof bytes});
}

/* What waits in the tables for this message decides. */
static int add_message(struct apply *a, struct fold_entry *e, struct str key, struct str value)
{
    struct str there;
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    if (err != ERR_EXISTS) {
        e->session->queued++;
        return err;
    }
    bool done = queue_kind(there) == QUEUE_DONE, released = released_only(there);
    if (e->message && e->message->stored && (err = message_unref(a, e->message->lsn)) < 0)
        return err;
    if (done)
        return tables_delete(a->txn, TABLE_QUEUE, key);
    return released ? put_released(a, key, value) : 0;
}

/* The message is in the tables, or yet to come. */
static int add_done(struct apply *a, struct fold_entry *e, struct str key)
{
    struct str value = {(char[]){QUEUE_DONE}, 1}, there;
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    if (err != ERR_EXISTS || queue_kind(there) == QUEUE_DONE)
        return err == ERR_EXISTS ? 0 : err;
    e->session->queued--;
    if (released_only(there))
        return tables_put(a->txn, TABLE_QUEUE, key, value);
    if ((err = value_forget(a, there)) < 0)
        return err;
    return tables_delete(a->txn, TABLE_QUEUE, key);
}

/* So are both: at most its RELEASE waits in the tables. */
static int add_over(struct apply *a, struct fold_entry *e, struct str key)
{
    struct str there;
    int err = tables_get(a->txn, TABLE_QUEUE, key, &there);

    if (err)
        return err == ERR_NOT_FOUND ? 0 : err;
    if (queue_kind(there) != QUEUE_DONE)
        e->session->queued--;
    return tables_delete(a->txn, TABLE_QUEUE, key);
}

static int add_released(struct apply *a, struct fold_entry *e, struct str key)
{
    struct str value = entry_value(a, e), there;
    uint8_t kept[VALUE_HEAD];
    int err = tables_add(a->txn, TABLE_QUEUE, key, value, &there);

    if (err != ERR_EXISTS) {
        e->session->queued++;
        return err;
    }
    if (queue_kind(there) == QUEUE_DONE)
        return 0;
    if (there.len < VALUE_HEAD)
        return ERR_DAMAGED;
    memcpy(kept, there.ptr, sizeof kept);
    if ((err = value_forget(a, there)) < 0)
        return err;
    return put_released(a, key, (struct str){(char *)kept, sizeof kept});
}

static int apply_entry(struct apply *a, struct fold_entry *e)
{
    struct table_key key = number_key(e->session->number);

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

/* -- In order -- */

static int by_number(const void *a, const void *b)
{
    const struct fold_session *x = *(void *const *)a, *y = *(void *const *)b;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_counter(const void *a, const void *b)
{
    const struct fold_entry *x = *(void *const *)a, *y = *(void *const *)b;
    if (x->session != y->session)
        return x->session->number < y->session->number ? -1 : 1;
    return (x->counter > y->counter) - (x->counter < y->counter);
}

static int by_key(const void *a, const void *b)
{
    const struct fold_change *x = *(void *const *)a, *y = *(void *const *)b;
    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    size_t common = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = memcmp(x->key.ptr, y->key.ptr, common);
    return order ? order : (x->key.len > y->key.len) - (x->key.len < y->key.len);
}

/* The map's nodes in order; free the array. */
static void **sorted(const struct fold_map *m, int (*order)(const void *, const void *))
{
    void **all = xmalloc((m->count + 1) * sizeof *all);
    size_t n = 0;

    for (size_t i = 0; i < m->cap; i++) {
        for (void *node = m->buckets[i]; node; node = *(void **)node)
            all[n++] = node;
    }
    ASSERT(n == m->count);
    if (n > 0)
        qsort(all, n, sizeof *all, order);
    return all;
}

static int each_session(struct apply *a, int (*apply)(struct apply *a, struct fold_session *s))
{
    void **all = sorted(&a->fold->sessions, by_number);
    int err = 0;

    for (size_t i = 0; !err && i < a->fold->sessions.count; i++) {
        err = apply(a, all[i]);
        breathe(a);
    }
    free(all);
    return err;
}

/* Messages that several sessions queue come first and once; how many do is known only now. */
static int apply_entries(struct apply *a)
{
    void **all = sorted(&a->fold->entries, by_counter);
    size_t n = a->fold->entries.count;
    int err = 0;

    for (size_t i = 0; i < n; i++) {
        struct fold_entry *e = all[i];
        if (e->message)
            e->message->stored = false;
    }
    for (size_t i = 0; !err && i < n; i++) {
        struct fold_entry *e = all[i];
        if (e->message && e->message->refs > 1 && !e->message->stored)
            err = message_store(a, e->message);
    }
    for (size_t i = 0; !err && i < n; i++) {
        struct fold_entry *e = all[i];
        bool gone = !e->session->known || e->session->ended;
        if (gone && e->message && e->message->stored)
            err = message_unref(a, e->message->lsn);
        else
            err = apply_entry(a, e);
        breathe(a);
    }
    free(all);
    return err;
}

static int apply_changes(struct apply *a)
{
    void **all = sorted(&a->fold->changes, by_key);
    int err = 0;

    for (size_t i = 0; !err && i < a->fold->changes.count; i++) {
        const struct fold_change *c = all[i];
        if (c->session && (!c->session->known || c->session->ended))
            continue;
        if (c->value.ptr)
            err = tables_put(a->txn, c->table, c->key, c->value);
        else
            err = tables_delete(a->txn, c->table, c->key);
        breathe(a);
    }
    free(all);
    return err;
}

static int apply_meta(struct apply *a, uint64_t applied)
{
    uint64_t last;
    int err = tables_meta_get(a->txn, "last_number", &last);

    if (!err && a->fold->last_number > last)
        err = tables_meta_put(a->txn, "last_number", a->fold->last_number);
    if (!err && a->fold->moment.store_ms)
        err = tables_moment_put(a->txn, a->fold->moment);
    return err ? err : tables_meta_put(a->txn, "applied", applied);
}

static int apply_once(struct apply *a, struct tables *t, uint64_t applied)
{
    int err = tables_begin(t, true, &a->txn);

    if (err)
        return err;
    if ((err = each_session(a, apply_session)) < 0 || (err = apply_entries(a)) < 0 ||
        (err = each_session(a, apply_tail)) < 0 || (err = apply_changes(a)) < 0 ||
        (err = apply_meta(a, applied)) < 0) {
        tables_abort(&a->txn);
        return err;
    }
    return tables_commit(&a->txn);
}

int fold_apply(struct fold *f, struct tables *t, uint64_t applied, const _Atomic unsigned *pause_us)
{
    struct apply a = {.fold = f, .pause_us = pause_us};
    int err;

    do
        err = apply_once(&a, t, applied);
    while (err == ERR_AGAIN); /* the map was too small; it is larger now */
    free(a.value);
    return err;
}

static int sweep_each(void *arg, struct str key, struct str value, bool *remove)
{
    *remove = value.len == 1 && value.ptr[0] == QUEUE_DONE;
    return 0;
}

int fold_sweep(struct tables *t)
{
    struct tables_txn *txn;
    int err;

    do {
        if ((err = tables_begin(t, true, &txn)) < 0)
            return err;
        err = tables_each(txn, TABLE_QUEUE, STR_NONE, sweep_each, NULL);
        if (err)
            tables_abort(&txn);
        else
            err = tables_commit(&txn);
    } while (err == ERR_AGAIN);
    return err;
}
