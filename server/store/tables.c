#include "store/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lmdb.h>
#include <openssl/sha.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/crc32c.h"
#include "store/disk.h"
#include "store/octets.h"

enum { PATH_MOST = 4096, CRC = 4, TEXT_WHOLE_MAX = 400 };

static const char *const table_names[TABLES] = {
    [TABLE_META] = "meta",         [TABLE_SESSIONS] = "sessions", [TABLE_SUBS] = "subs",
    [TABLE_RECEIVED] = "received", [TABLE_QUEUE] = "queue",       [TABLE_MESSAGES] = "messages",
    [TABLE_RETAINED] = "retained",
};

struct tables {
    MDB_env *env;
    MDB_dbi dbi[TABLES];
    pthread_rwlock_t map; /* held for reading by each transaction, for writing to enlarge it */
};

struct tables_txn {
    struct tables *tables;
    MDB_txn *txn;
    bool writing, full;
};

/* -- Errors -- */

static _Thread_local char last_why[256];

static int fault(int rc)
{
    if (rc == 0)
        return 0;
    if (rc == MDB_NOTFOUND)
        return ERR_NOT_FOUND;
    if (rc == MDB_MAP_FULL)
        return ERR_AGAIN;
    snprintf(last_why, sizeof last_why, "%s", mdb_strerror(rc));
    return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ? ERR_DAMAGED
                                                                               : ERR_SYSTEM;
}

static int txn_fault(struct tables_txn *txn, int rc)
{
    int err = fault(rc);

    txn->full |= err == ERR_AGAIN;
    return err;
}

const char *tables_why(void)
{
    return last_why;
}

/* -- Life -- */

/* A new file gets our version; nothing is changed in one that has another. */
static int check_version(struct tables_txn *txn, const char *path, char *why, size_t why_size)
{
    uint64_t version;
    int err = tables_meta_get(txn, "version", &version);

    if (!err && version == 0)
        return tables_meta_put(txn, "version", TABLES_VERSION);
    if (!err && version != TABLES_VERSION) {
        snprintf(
            why, why_size,
            "%s has format version %llu, this Skep reads version %d: start the Skep that wrote "
            "it, export, and import here",
            path, (unsigned long long)version, TABLES_VERSION);
        return ERR_DENIED;
    }
    return err;
}

static int open_all(struct tables *t, const char *path, char *why, size_t why_size)
{
    struct tables_txn *txn;
    int err = tables_begin(t, true, &txn);

    if (err)
        return err;
    for (int i = TABLE_META; i < TABLES && !err; i++) {
        err = txn_fault(txn, mdb_dbi_open(txn->txn, table_names[i], MDB_CREATE, &t->dbi[i]));
        if (!err && i == TABLE_META)
            err = check_version(txn, path, why, why_size);
    }
    if (!err)
        return tables_commit(&txn);
    tables_abort(&txn);
    return err;
}

/* LMDB writes its first pages in one write that it does not sync; torn, nothing could open the file
 * again.  So a new one gets its name when it is whole. */
static int make_file(const char *path, size_t map_bytes)
{
    char fresh[PATH_MOST];
    MDB_env *env = NULL;
    int err;

    snprintf(fresh, sizeof fresh, "%s.new", path);
    unlink(fresh); /* of a start that was cut off */
    if ((err = fault(mdb_env_create(&env))) == 0 &&
        (err = fault(mdb_env_set_mapsize(env, map_bytes))) == 0 &&
        (err = fault(mdb_env_open(env, fresh, MDB_NOSUBDIR | MDB_NOLOCK, 0600))) == 0)
        err = fault(mdb_env_sync(env, 1));
    if (env)
        mdb_env_close(env);
    if (!err && rename(fresh, path) < 0)
        err = fault(errno);
    if (!err) {
        char *slash = strrchr(fresh, '/');
        if (slash)
            *slash = '\0';
        err = disk_system.ops->sync_dir(&disk_system, slash ? fresh : ".");
    }
    return err;
}

int tables_open(struct tables **out, const char *path, size_t map_bytes, char *why, size_t why_size)
{
    struct tables *t = xcalloc(1, sizeof *t);
    int err = 0;

    if (!map_bytes)
        map_bytes = TABLES_MAP_FIRST;
    last_why[0] = 0;
    pthread_rwlock_init(&t->map, NULL);
    if (access(path, F_OK) < 0)
        err = make_file(path, map_bytes);
    if (err < 0 || (err = fault(mdb_env_create(&t->env))) < 0 ||
        (err = fault(mdb_env_set_maxdbs(t->env, TABLES))) < 0 ||
        (err = fault(mdb_env_set_mapsize(t->env, map_bytes))) < 0 ||
        (err = fault(mdb_env_open(t->env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600))) < 0 ||
        (err = open_all(t, path, why, why_size)) < 0) {
        if (err != ERR_DENIED)
            snprintf(why, why_size, "cannot open %s: %s", path,
                     *last_why ? last_why : err_text(err));
        tables_close(&t);
        return err;
    }
    *out = t;
    return 0;
}

void tables_close(struct tables **tables)
{
    struct tables *t = *tables;

    if (!t)
        return;
    if (t->env)
        mdb_env_close(t->env);
    pthread_rwlock_destroy(&t->map);
    free(t);
    *tables = NULL;
}

/* -- Transactions -- */

int tables_begin(struct tables *t, bool writing, struct tables_txn **out)
{
    struct tables_txn *txn = xcalloc(1, sizeof *txn);

    last_why[0] = 0;
    txn->tables = t;
    txn->writing = writing;
    pthread_rwlock_rdlock(&t->map);
    int err = fault(mdb_txn_begin(t->env, NULL, writing ? 0 : MDB_RDONLY, &txn->txn));
    if (err) {
        pthread_rwlock_unlock(&t->map);
        free(txn);
        return err;
    }
    *out = txn;
    return 0;
}

/* Nobody may be in a transaction while the map moves. */
static void enlarge(struct tables *t)
{
    MDB_envinfo info;

    pthread_rwlock_wrlock(&t->map);
    if (mdb_env_info(t->env, &info) == 0)
        mdb_env_set_mapsize(t->env, info.me_mapsize * 2);
    pthread_rwlock_unlock(&t->map);
}

static void txn_free(struct tables_txn **txn)
{
    struct tables *t = (*txn)->tables;
    bool full = (*txn)->full;

    pthread_rwlock_unlock(&t->map);
    free(*txn);
    *txn = NULL;
    if (full)
        enlarge(t);
}

int tables_commit(struct tables_txn **txn)
{
    int err = txn_fault(*txn, mdb_txn_commit((*txn)->txn));

    txn_free(txn);
    return err;
}

void tables_abort(struct tables_txn **txn)
{
    mdb_txn_abort((*txn)->txn);
    txn_free(txn);
}

/* -- Values -- */

static uint32_t checksum(enum table table, const MDB_val *key, const void *value, size_t len)
{
    return crc32c(crc32c((uint32_t)table + 1, key->mv_data, key->mv_size), value, len);
}

static int unwrap(enum table table, const MDB_val *key, const MDB_val *data, struct str *value)
{
    size_t len = data->mv_size - CRC;

    if (data->mv_size < CRC ||
        get_u32((uint8_t *)data->mv_data + len) != checksum(table, key, data->mv_data, len)) {
        snprintf(last_why, sizeof last_why, "a value of table %s is damaged", table_names[table]);
        return ERR_DAMAGED;
    }
    *value = (struct str){data->mv_data, len};
    return 0;
}

static MDB_val key_val(struct str key)
{
    return (MDB_val){key.len, (void *)key.ptr};
}

int tables_get(struct tables_txn *txn, enum table table, struct str key, struct str *value)
{
    struct tables *t = txn->tables;
    MDB_val k = key_val(key), data;
    int err = fault(mdb_get(txn->txn, t->dbi[table], &k, &data));

    return err ? err : unwrap(table, &k, &data, value);
}

static int put(struct tables_txn *txn, enum table table, struct str key, struct str value,
               unsigned flags, MDB_val *data)
{
    MDB_val k = key_val(key);
    int rc;

    data->mv_size = value.len + CRC;
    rc = mdb_put(txn->txn, txn->tables->dbi[table], &k, data, MDB_RESERVE | flags);
    if (rc == MDB_KEYEXIST)
        return ERR_EXISTS;
    if (rc)
        return txn_fault(txn, rc);
    put_u32(put_str(data->mv_data, value), checksum(table, &k, value.ptr, value.len));
    return 0;
}

int tables_put(struct tables_txn *txn, enum table table, struct str key, struct str value)
{
    MDB_val data;
    return put(txn, table, key, value, 0, &data);
}

int tables_add(struct tables_txn *txn, enum table table, struct str key, struct str value,
               struct str *there)
{
    MDB_val data;
    int err = put(txn, table, key, value, MDB_NOOVERWRITE, &data);

    if (err == ERR_EXISTS) {
        int damage = tables_get(txn, table, key, there);
        return damage ? damage : err;
    }
    return err;
}

int tables_delete(struct tables_txn *txn, enum table table, struct str key)
{
    MDB_val k = key_val(key);
    int err = txn_fault(txn, mdb_del(txn->txn, txn->tables->dbi[table], &k, NULL));

    return err == ERR_NOT_FOUND ? 0 : err;
}

int tables_each(struct tables_txn *txn, enum table table, struct str prefix, tables_each_fn *each,
                void *arg)
{
    return tables_each_from(txn, table, prefix, prefix, each, arg);
}

int tables_each_from(struct tables_txn *txn, enum table table, struct str prefix, struct str from,
                     tables_each_fn *each, void *arg)
{
    struct tables *t = txn->tables;
    MDB_val k = key_val(from), data;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(txn->txn, t->dbi[table], &cursor), err = 0;

    if (rc)
        return txn_fault(txn, rc);
    rc = mdb_cursor_get(cursor, &k, &data, from.len ? MDB_SET_RANGE : MDB_FIRST);
    while (!rc && !err && str_starts((struct str){k.mv_data, k.mv_size}, prefix)) {
        struct str value;
        bool remove = false;
        if ((err = unwrap(table, &k, &data, &value)) < 0)
            break;
        err = each(arg, (struct str){k.mv_data, k.mv_size}, value, &remove);
        if (!err && remove)
            rc = mdb_cursor_del(cursor, 0);
        if (!err && !rc)
            rc = mdb_cursor_get(cursor, &k, &data, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    if (err)
        return err;
    return rc == MDB_NOTFOUND ? 0 : txn_fault(txn, rc);
}

/* -- Meta -- */

int tables_meta_get(struct tables_txn *txn, const char *name, uint64_t *value)
{
    struct str found;
    int err = tables_get(txn, TABLE_META, str_of(name), &found);

    *value = 0;
    if (err == ERR_NOT_FOUND)
        return 0;
    if (!err && found.len != 8)
        err = ERR_DAMAGED;
    if (!err)
        *value = get_u64((const uint8_t *)found.ptr);
    return err;
}

int tables_meta_put(struct tables_txn *txn, const char *name, uint64_t value)
{
    uint8_t bytes[8];

    put_u64(bytes, value);
    return tables_put(txn, TABLE_META, str_of(name), (struct str){(char *)bytes, sizeof bytes});
}

int tables_meta_set(struct tables *t, const char *name, uint64_t value)
{
    struct tables_txn *txn;
    int err;

    do {
        if ((err = tables_begin(t, true, &txn)) < 0)
            return err;
        err = tables_meta_put(txn, name, value);
        if (err)
            tables_abort(&txn);
        else
            err = tables_commit(&txn);
    } while (err == ERR_AGAIN);
    return err;
}

int tables_moment_get(struct tables_txn *txn, struct moment *moment)
{
    int err = tables_meta_get(txn, "wall_ms", &moment->wall_ms);
    return err ? err : tables_meta_get(txn, "store_ms", &moment->store_ms);
}

int tables_moment_put(struct tables_txn *txn, struct moment moment)
{
    int err = tables_meta_put(txn, "wall_ms", moment.wall_ms);
    return err ? err : tables_meta_put(txn, "store_ms", moment.store_ms);
}

int tables_copy(struct tables *t, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0) {
        snprintf(last_why, sizeof last_why, "cannot make %s: %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    pthread_rwlock_rdlock(&t->map);
    rc = mdb_env_copyfd2(t->env, fd, MDB_CP_COMPACT);
    pthread_rwlock_unlock(&t->map);
    if (!rc && fsync(fd) < 0)
        rc = errno;
    close(fd);
    if (rc)
        unlink(path);
    return fault(rc);
}

/* -- Keys -- */

void key_u64(struct table_key *k, uint64_t v)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        k->bytes[k->len++] = (uint8_t)(v >> shift);
}

void key_u16(struct table_key *k, uint16_t v)
{
    k->bytes[k->len++] = (uint8_t)(v >> 8);
    k->bytes[k->len++] = (uint8_t)v;
}

void key_u8(struct table_key *k, uint8_t v)
{
    k->bytes[k->len++] = v;
}

void key_text(struct table_key *k, struct str text)
{
    bool whole = text.len <= TEXT_WHOLE_MAX;

    key_u8(k, whole ? 0 : 1);
    if (whole) {
        put_str(k->bytes + k->len, text);
        k->len += text.len;
    } else {
        SHA256((const unsigned char *)text.ptr, text.len, k->bytes + k->len);
        k->len += SHA256_DIGEST_LENGTH;
    }
}

uint64_t key_get_u64(struct str key, size_t at)
{
    uint64_t v = 0;

    for (size_t i = at; i < at + 8 && i < key.len; i++)
        v = v << 8 | (uint8_t)key.ptr[i];
    return v;
}
