/* A fold's way into the tables: sorted, in one transaction. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/fold_impl.h"

enum { PAUSE_EVERY = 256 };

static void breathe(struct applying *a)
{
    if (!a->pause_us || ++a->changes % PAUSE_EVERY != 0)
        return;
    unsigned us = atomic_load_explicit(a->pause_us, memory_order_relaxed);
    struct timespec nap = {us / 1000000, (long)(us % 1000000) * 1000};
    if (us > 0)
        nanosleep(&nap, NULL);
}

/* -- Sessions that ended -- */

struct erase {
    struct applying *apply;
    uint64_t *lsns; /* of shared messages, let go after the walk */
    size_t count, cap;
};

static int erase_each(void *arg, struct str key, struct str value, bool *remove)
{
    struct erase *e = arg;
    uint64_t lsn = fold_shared_message(value);

    *remove = true;
    e->apply->marks -= fold_queue_kind(value) == QUEUE_DONE;
    if (lsn) {
        if (e->count == e->cap) {
            e->cap = e->cap ? e->cap * 2 : 64;
            e->lsns = xrealloc(e->lsns, e->cap * sizeof *e->lsns);
        }
        e->lsns[e->count++] = lsn;
    }
    return 0;
}

static int remove_each(void *arg, struct str key, struct str value, bool *remove)
{
    *remove = true;
    return 0;
}

static int erase_session(struct applying *a, const struct fold_session *s)
{
    static const enum table others[] = {TABLE_SESSIONS, TABLE_SUBS, TABLE_RECEIVED};
    struct table_key key = fold_number_key(s->number);
    struct erase e = {.apply = a};
    int err = tables_each(a->txn, TABLE_QUEUE, key_str(&key), erase_each, &e);

    for (size_t i = 0; !err && i < e.count; i++)
        err = fold_message_unref(a, e.lsns[i]);
    free(e.lsns);
    for (size_t i = 0; !err && i < ARRAY_LEN(others); i++)
        err = tables_each(a->txn, others[i], key_str(&key), remove_each, NULL);
    return err;
}

static int apply_session(struct applying *a, struct fold_session *s)
{
    struct table_key key = fold_number_key(s->number);
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
static int apply_tail(struct applying *a, struct fold_session *s)
{
    struct table_key key = fold_number_key(s->number);
    struct str there;
    uint8_t value[SESSION_TAIL_SIZE];
    struct session_tail tail = {0};
    int err;

    if (!s->known || s->ended || (s->tail == 0 && s->queued == 0))
        return 0;
    key_u8(&key, SESSION_TAIL);
    err = tables_get(a->txn, TABLE_SESSIONS, key_str(&key), &there);
    if (err && err != ERR_NOT_FOUND)
        return err;
    if (!err && (err = session_tail_get(there, &tail)) < 0)
        return err;
    if (s->tail <= tail.next && s->queued == 0)
        return 0;
    if (s->tail > tail.next)
        tail.next = s->tail;
    tail.queued += (uint64_t)s->queued;
    session_tail_put(value, tail);
    return tables_put(a->txn, TABLE_SESSIONS, key_str(&key),
                      (struct str){(char *)value, sizeof value});
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

static int each_session(struct applying *a,
                        int (*apply)(struct applying *a, struct fold_session *s))
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
static int apply_entries(struct applying *a)
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
            err = fold_message_store(a, e->message);
    }
    for (size_t i = 0; !err && i < n; i++) {
        struct fold_entry *e = all[i];
        bool gone = !e->session->known || e->session->ended;
        if (gone && e->message && e->message->stored)
            err = fold_message_unref(a, e->message->lsn);
        else
            err = fold_entry_apply(a, e);
        breathe(a);
    }
    free(all);
    return err;
}

static int apply_changes(struct applying *a)
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

static int apply_meta(struct applying *a, uint64_t applied)
{
    uint64_t last, marks;
    int err = tables_meta_get(a->txn, "marks", &marks);

    if (!err && a->marks != 0)
        err = tables_meta_put(a->txn, "marks", marks + (uint64_t)a->marks);
    if (!err)
        err = tables_meta_get(a->txn, "last_number", &last);

    if (!err && a->fold->last_number > last)
        err = tables_meta_put(a->txn, "last_number", a->fold->last_number);
    if (!err && a->fold->moment.store_ms)
        err = tables_moment_put(a->txn, a->fold->moment);
    return err ? err : tables_meta_put(a->txn, "applied", applied);
}

static int apply_once(struct applying *a, struct tables *t, uint64_t applied)
{
    int err = tables_begin(t, true, &a->txn);

    if (err)
        return err;
    a->marks = 0;
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
    struct applying a = {.fold = f, .pause_us = pause_us};
    int err;

    do
        err = apply_once(&a, t, applied);
    while (err == ERR_AGAIN); /* the map was too small; it is larger now */
    free(a.value);
    return err;
}
