/* <skep/storage.h>: changes and reading. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "host/services.h"
#include "host/storage_impl.h"

/* -- Changes -- */

static struct change *change_new(const struct skep_module *m, struct skep_str key,
                                 struct skep_str value)
{
    char whole[STORAGE_PREFIX + STORAGE_KEY_MAX];
    size_t len = storage_key(m, key, whole);
    struct change *c = malloc(sizeof *c + len + value.len);

    if (!c)
        return NULL;
    *c = (struct change){.key_len = len, .value_len = value.len, .deletes = !value.ptr};
    memcpy(c->bytes, whole, len);
    if (value.len)
        memcpy(c->bytes + len, value.ptr, value.len);
    return c;
}

static void told(struct loop_task *task, struct loop *l)
{
    struct change *c = CONTAINER_OF(task, struct change, task);
    struct blame before = blame_begin(c->module, "storage");

    c->done(c->arg, c->error);
    blame_end(before);
    instance_release(c->module);
    free(c);
}

static bool valid_key(struct skep_str key)
{
    return key.len >= 1 && key.len <= STORAGE_KEY_MAX;
}

static int enqueue(struct host_storage *s, struct change *c)
{
    if (!queue_has_room(&s->queue, c->key_len + c->value_len))
        return SKEP_E_LIMIT;
    int err = storage_start_writer(s);
    if (err < 0)
        return err;
    queue_put(&s->queue, c);
    pthread_cond_signal(&s->work);
    return 0;
}

static int submit(struct host_storage *s, struct skep_module *m, struct change *c)
{
    if (!atomic_exchange(&m->things.named, true))
        c->name = str_dup(str_of(m->name));
    if (c->done)
        instance_hold(m);
    pthread_mutex_lock(&s->lock);
    int err = enqueue(s, c);
    pthread_mutex_unlock(&s->lock);
    if (err == 0)
        return 0;
    if (c->done)
        instance_release(m);
    if (c->name)
        atomic_store(&m->things.named, false);
    free(c->name);
    free(c);
    return err;
}

int skep_storage_set(struct skep_module *m, struct skep_str key, struct skep_str value,
                     void (*done)(void *arg, int error), void *arg)
{
    struct host_storage *s = m->host->storage;

    if (!valid_key(key) || value.len > STORAGE_VALUE_MAX || (!value.ptr && value.len))
        return SKEP_E_INVALID;
    if (done && atomic_load(&m->host->ending))
        return SKEP_E_STATE;
    int err = storage_begin_reading(s); /* opens it */
    if (err < 0)
        return err;
    pthread_rwlock_unlock(&s->map);
    struct change *c = change_new(m, key, value);
    if (!c)
        return SKEP_E_MEMORY;
    c->task.run = told;
    c->module = m;
    c->place = host_place(m->host);
    c->done = done;
    c->arg = arg;
    return submit(s, m, c);
}

/* -- Reading -- */

static int64_t copy_out(const void *value, size_t len, void *buf, size_t cap)
{
    size_t n = len < cap ? len : cap;

    if (n)
        memcpy(buf, value, n);
    return (int64_t)len;
}

/* False: nothing about that key is queued. */
static bool get_queued(struct host_storage *s, struct str key, void *buf, size_t cap, int64_t *out)
{
    pthread_mutex_lock(&s->lock);
    const struct change *c = queue_find(&s->queue, key);
    if (c && c->deletes)
        *out = SKEP_E_NOT_FOUND;
    else if (c)
        *out = copy_out(c->bytes + c->key_len, c->value_len, buf, cap);
    pthread_mutex_unlock(&s->lock);
    return c != NULL;
}

/* With the map's lock. */
static int64_t get_stored(struct host_storage *s, struct str key, void *buf, size_t cap)
{
    MDB_val k = {key.len, (void *)key.ptr}, value;
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

    if (code != 0)
        return storage_fault(code);
    code = mdb_get(txn, s->db, &k, &value);
    int64_t result =
        code == 0 ? copy_out(value.mv_data, value.mv_size, buf, cap) : storage_fault(code);
    mdb_txn_abort(txn);
    return result;
}

int64_t skep_storage_get(struct skep_module *m, struct skep_str key, void *buf, size_t cap)
{
    struct host_storage *s = m->host->storage;
    char whole[STORAGE_PREFIX + STORAGE_KEY_MAX];
    int64_t result;

    if (!valid_key(key))
        return SKEP_E_INVALID;
    struct str k = {whole, storage_key(m, key, whole)};
    if (get_queued(s, k, buf, cap, &result))
        return result;
    int err = storage_begin_reading(s);
    if (err < 0)
        return err;
    result = get_stored(s, k, buf, cap);
    pthread_rwlock_unlock(&s->map);
    return result;
}

static int walk(MDB_cursor *cursor, MDB_val key,
                bool (*each)(struct skep_str key, struct skep_str value, void *arg), void *arg)
{
    char prefix[STORAGE_PREFIX];
    MDB_val value;

    memcpy(prefix, key.mv_data, sizeof prefix);
    int code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (code == 0 && key.mv_size > sizeof prefix &&
           memcmp(key.mv_data, prefix, sizeof prefix) == 0) {
        const char *name = (const char *)key.mv_data + sizeof prefix;
        if (!each(skep_bytes(name, key.mv_size - sizeof prefix),
                  skep_bytes(value.mv_data, value.mv_size), arg))
            return 0;
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

int skep_storage_each(struct skep_module *m, struct skep_str from,
                      bool (*each)(struct skep_str key, struct skep_str value, void *arg),
                      void *arg)
{
    struct host_storage *s = m->host->storage;
    char whole[STORAGE_PREFIX + STORAGE_KEY_MAX];
    MDB_cursor *cursor;
    MDB_txn *txn;

    if (from.len > STORAGE_KEY_MAX)
        return SKEP_E_INVALID;
    int err = storage_begin_reading(s);
    if (err < 0)
        return err;
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = mdb_cursor_open(txn, s->db, &cursor);
        if (code == 0) {
            code = walk(cursor, (MDB_val){storage_key(m, from, whole), whole}, each, arg);
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    pthread_rwlock_unlock(&s->map);
    return storage_fault(code);
}
