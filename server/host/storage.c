#include "host/storage.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/storage_impl.h"

enum { READERS = 512, BATCH = 4096 };
#define MAP_FIRST (UINT64_C(64) << 20)
#define MAP_LAST  (UINT64_C(64) << 30) /* of address space; the file has what is used */

struct host_storage *storage_new(struct host *h)
{
    struct host_storage *s = xcalloc(1, sizeof *s);

    s->host = h;
    pthread_rwlock_init(&s->map, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->idle, NULL);
    queue_init(&s->queue);
    return s;
}

int storage_fault(int code)
{
    if (code == 0)
        return 0;
    if (code == MDB_NOTFOUND)
        return SKEP_E_NOT_FOUND;
    if (code == MDB_MAP_FULL)
        return SKEP_E_LIMIT;
    errno = code > 0 ? code : EIO;
    return SKEP_E_SYSTEM;
}

/* -- Opening -- */

static bool make_directory(const char *path)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static int open_table(MDB_env *env, MDB_dbi *db)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(env, NULL, 0, &txn);

    if (code == 0 && (code = mdb_dbi_open(txn, NULL, 0, db)) == 0)
        return mdb_txn_commit(txn);
    if (code != 0 && txn)
        mdb_txn_abort(txn);
    return code;
}

static int open_file(struct host_storage *s, const char *path)
{
    MDB_env *env = NULL;
    int code = mdb_env_create(&env), dead;

    if (code == 0 && (code = mdb_env_set_mapsize(env, MAP_FIRST)) == 0 &&
        (code = mdb_env_set_maxreaders(env, READERS)) == 0 &&
        (code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS, 0600)) == 0 &&
        (code = mdb_reader_check(env, &dead)) == 0 && (code = open_table(env, &s->db)) == 0) {
        s->env = env;
        return 0;
    }
    if (env)
        mdb_env_close(env);
    return code;
}

/* With the map's lock for writing. */
static int open_now(struct host_storage *s)
{
    char *directory, *path;

    if (!s->host->data_dir) {
        errno = ENOENT;
        return SKEP_E_SYSTEM;
    }
    ASSERT(asprintf(&directory, "%s/modules", s->host->data_dir) > 0);
    ASSERT(asprintf(&path, "%s/storage.mdb", directory) > 0);
    int err = make_directory(directory) ? storage_fault(open_file(s, path)) : SKEP_E_SYSTEM;
    if (err < 0)
        log_limited(LOG_LEVEL_ERROR, "host", "cannot open %s: %s", path, strerror(errno));
    free(directory);
    free(path);
    return err < 0 ? SKEP_E_SYSTEM : 0;
}

int storage_begin_reading(struct host_storage *s)
{
    pthread_rwlock_rdlock(&s->map);
    if (s->env)
        return 0;
    pthread_rwlock_unlock(&s->map);
    pthread_rwlock_wrlock(&s->map);
    int err = s->env ? 0 : open_now(s);
    pthread_rwlock_unlock(&s->map);
    if (err < 0)
        return err;
    pthread_rwlock_rdlock(&s->map); /* once open it stays open */
    return 0;
}

/* -- The writer -- */

static int write_name(struct host_storage *s, MDB_txn *txn, const char *name)
{
    char bytes[STORAGE_PREFIX + STORAGE_KEY_MAX] = {0};
    size_t len = strnlen(name, STORAGE_KEY_MAX);

    memcpy(bytes + STORAGE_PREFIX, name, len);
    MDB_val key = {STORAGE_PREFIX + len, bytes}, nothing = {0, ""};
    return mdb_put(txn, s->db, &key, &nothing, 0);
}

static int write_one(struct host_storage *s, MDB_txn *txn, struct change *c)
{
    MDB_val key = {c->key_len, c->bytes}, value = {c->value_len, c->bytes + c->key_len};
    int code = c->name ? write_name(s, txn, c->name) : 0;

    if (code != 0)
        return code;
    if (!c->deletes)
        return mdb_put(txn, s->db, &key, &value, 0);
    code = mdb_del(txn, s->db, &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int commit_once(struct host_storage *s, struct change *first)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(s->env, NULL, 0, &txn);

    if (code != 0)
        return code;
    for (struct change *c = first; c; c = c->next) {
        if ((code = write_one(s, txn, c)) != 0) {
            mdb_txn_abort(txn);
            return code;
        }
    }
    return mdb_txn_commit(txn);
}

/* The map may only be changed while nobody looks into it. */
static bool grow(struct host_storage *s)
{
    MDB_envinfo info;

    pthread_rwlock_wrlock(&s->map);
    mdb_env_info(s->env, &info);
    bool grown =
        info.me_mapsize < MAP_LAST && mdb_env_set_mapsize(s->env, info.me_mapsize * 2) == 0;
    pthread_rwlock_unlock(&s->map);
    return grown;
}

static int commit(struct host_storage *s, struct change *first)
{
    int code = commit_once(s, first);

    while (code == MDB_MAP_FULL && grow(s))
        code = commit_once(s, first);
    if (code != 0)
        log_limited(LOG_LEVEL_ERROR, "host", "cannot write what modules store: %s",
                    mdb_strerror(code));
    return storage_fault(code);
}

/* With the lock: up to a batch, cut off the queue; readers still find it. */
static struct change *take_batch(struct storage_queue *q)
{
    struct change *first = q->first, *last = first;
    size_t bytes = 0;

    for (unsigned i = 1; i < BATCH && last->next; i++) {
        bytes += last->value_len;
        if (bytes > STORAGE_VALUE_MAX)
            break;
        last = last->next;
    }
    q->first = last->next;
    if (!q->first)
        q->last = &q->first;
    last->next = NULL;
    return first;
}

static void tell(struct change *first, int error)
{
    while (first) {
        struct change *c = first;
        first = c->next;
        free(c->name);
        c->error = error;
        if (c->done)
            loop_post(c->place->loop, &c->task);
        else
            free(c);
    }
}

/* With the lock. */
static void settle(struct host_storage *s, struct change *first, int error)
{
    for (struct change *c = first; c; c = c->next) {
        queue_settle(&s->queue, c);
        s->changes++;
        s->failures += error < 0;
    }
    s->commits += error == 0;
}

static void *writer_main(void *arg)
{
    struct host_storage *s = arg;

    pthread_setname_np(pthread_self(), "storage");
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->queue.first && !s->closing)
            pthread_cond_wait(&s->work, &s->lock);
        if (!s->queue.first)
            break;
        struct change *batch = take_batch(&s->queue);
        s->busy = true;
        pthread_mutex_unlock(&s->lock);
        int error = commit(s, batch);
        pthread_mutex_lock(&s->lock);
        settle(s, batch, error);
        pthread_mutex_unlock(&s->lock);
        tell(batch, error);
        pthread_mutex_lock(&s->lock);
        s->busy = false;
        if (!s->queue.first)
            pthread_cond_broadcast(&s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int storage_start_writer(struct host_storage *s)
{
    sigset_t all, before;

    if (s->running)
        return 0;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&s->thread, NULL, writer_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->running = code == 0;
    errno = code;
    return code ? SKEP_E_SYSTEM : 0;
}

/* -- The end -- */

void storage_flush(struct host_storage *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->queue.first || s->busy)
        pthread_cond_wait(&s->idle, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void storage_free(struct host_storage **storage)
{
    struct host_storage *s = *storage;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (s->running)
        pthread_join(s->thread, NULL);
    if (s->env)
        mdb_env_close(s->env);
    pthread_cond_destroy(&s->idle);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    pthread_rwlock_destroy(&s->map);
    free(s);
    *storage = NULL;
}

void storage_stats_now(struct host *h, struct storage_stats *out)
{
    struct host_storage *s = h->storage;
    MDB_envinfo info = {0};
    MDB_stat stat = {0};

    pthread_rwlock_rdlock(&s->map);
    bool open = s->env != NULL;
    if (open) {
        mdb_env_info(s->env, &info);
        mdb_env_stat(s->env, &stat);
    }
    pthread_rwlock_unlock(&s->map);
    pthread_mutex_lock(&s->lock);
    *out = (struct storage_stats){.open = open,
                                  .queued = s->queue.count,
                                  .queued_bytes = s->queue.bytes,
                                  .changes = s->changes,
                                  .commits = s->commits,
                                  .failures = s->failures,
                                  .file_bytes = (info.me_last_pgno + 1) * stat.ms_psize};
    pthread_mutex_unlock(&s->lock);
}
