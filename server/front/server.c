#include "front/server.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/qsbr.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/spill.h"
#include "front/backup.h"
#include "front/client.h"
#include "front/desk.h"
#include "front/entrance.h"
#include "front/figures.h"
#include "front/reader.h"
#include "front/storage.h"
#include "front/sys.h"
#include "host/host.h"
#include "host/traffic.h"

enum {
    CLOSE_WAIT_MS = 2000,
    HEAP_KEEP = 4 << 20, /* free memory the allocator may hold on to at the top of a heap */
};

struct server {
    struct broker *broker;
    struct host *host;
    struct storage *storage; /* NULL: in memory only */
    struct reader *reader;
    struct qsbr_slot slot; /* the main thread's; offline but while it changes things */
    struct door door;
    unsigned threads;
    struct loop **loops;
    struct desk **desks;
    struct entrance **entrances; /* open ones first */
    size_t entrance_count;       /* open */
    size_t entrance_all;         /* with those closed by a reload, kept for late arrivals */
    struct sys *sys;
    _Atomic unsigned pulse_due; /* loops that have not answered server_pulse() */
    uint64_t started_ms;
    bool running;
};

/* -- Tasks on loops -- */

struct desk_task {
    struct loop_task task;
    struct server *server;
    void (*fn)(struct server *s, struct desk *d, void *arg);
    void *arg;
};

static void desk_task_run(struct loop_task *task, struct loop *l)
{
    struct desk_task *t = CONTAINER_OF(task, struct desk_task, task);
    struct desk *d = desk_of(l);

    desk_worker(d);
    t->fn(t->server, d, t->arg);
    free(t);
}

static void desk_post(struct server *s, unsigned at,
                      void (*fn)(struct server *s, struct desk *d, void *arg), void *arg)
{
    struct desk_task *t = xmalloc(sizeof *t);

    *t = (struct desk_task){.task = {.run = desk_task_run}, .server = s, .fn = fn, .arg = arg};
    loop_post(s->loops[at], &t->task);
}

static void flush_batch(struct server *s, struct desk *d, void *batch)
{
    worker_flush_batch(d->w, batch);
}

static void post_flush(void *server, unsigned worker, struct flush_batch *batch)
{
    desk_post(server, worker, flush_batch, batch);
}

static void read_queue(void *server, struct queue_read *r)
{
    reader_ask(((struct server *)server)->reader, r);
}

static const struct broker_ops broker_ops = {.post_flush = post_flush, .read_queue = read_queue};

static void queue_was_read(struct server *s, struct desk *d, void *read)
{
    queue_read_done(d->w, read);
}

/* On the reader's thread. */
static void carry_back(void *server, struct queue_read *r)
{
    desk_post(server, queue_read_worker(r), queue_was_read, r);
}

static void begin(struct loop *l, void *desk)
{
    host_enter((*(struct desk **)desk)->host, loop_index(l));
}

static void turn_end(struct loop *l, void *desk)
{
    desk_turn_end(*(struct desk **)desk);
}

/* -- Entrances -- */

/* replaces: the entrance whose socket is taken over, or NULL. */
static struct entrance *entrance_open(struct server *s, const struct server_listener *conf,
                                      const struct entrance *replaces, char *why, size_t why_size)
{
    struct entrance *e = xcalloc(1, sizeof *e);
    struct listen_conf listen = conf->listen;

    e->door = &s->door;
    e->name = str_dup(str_of(listen.name));
    e->address = str_dup(str_of(listen.address));
    atomic_init(&e->policy, policy_new(s->host, conf));
    listen.handler = &client_handler;
    listen.user = e;
    listen.replaces = replaces ? replaces->listener : NULL;
    if (listener_open(&e->listener, &listen, s->loops, s->threads, why, why_size) == 0)
        return e;
    policy_unref(e->policy);
    free(e->name);
    free(e->address);
    free(e);
    return NULL;
}

static void entrance_free(struct entrance *e)
{
    listener_close(&e->listener);
    policy_unref(e->policy);
    free(e->name);
    free(e->address);
    free(e);
}

static struct entrance *entrance_find(struct server *s, const struct server_listener *conf)
{
    for (size_t i = 0; i < s->entrance_count; i++) {
        struct entrance *e = s->entrances[i];
        if (strcmp(e->name, conf->listen.name) == 0 &&
            strcmp(e->address, conf->listen.address) == 0)
            return e;
    }
    return NULL;
}

static void entrance_keep(struct server *s, struct entrance *e)
{
    s->entrances = xrealloc(s->entrances, (s->entrance_all + 1) * sizeof(struct entrance *));
    s->entrances[s->entrance_all++] = s->entrances[s->entrance_count];
    s->entrances[s->entrance_count++] = e;
}

/* Stops accepting; the entrance itself stays for connections still shaking hands. */
static void entrance_shut(struct server *s, size_t at)
{
    struct entrance *e = s->entrances[at];

    listener_close(&e->listener);
    s->entrances[at] = s->entrances[--s->entrance_count];
    s->entrances[s->entrance_count] = e;
}

/* -- Life -- */

static int desks_open(struct server *s, char *why, size_t why_size)
{
    const struct loop_hooks hooks = {.begin = begin, .turn_end = turn_end};

    s->loops = xcalloc(s->threads, sizeof(struct loop *));
    s->desks = xcalloc(s->threads, sizeof(struct desk *));
    for (unsigned i = 0; i < s->threads; i++) {
        int err = loop_open(&s->loops[i], i, &hooks, &s->desks[i]);
        if (err < 0) {
            snprintf(why, why_size, "event loop %u: %s", i, strerror(errno));
            return err;
        }
        s->desks[i] = desk_new(s->broker, s->loops[i], &s->door);
    }
    return 0;
}

static int host_begin(struct server *s, const char *data_dir, char *why, size_t why_size)
{
    struct worker **workers = xcalloc(s->threads, sizeof(struct worker *));
    int err;

    for (unsigned i = 0; i < s->threads; i++)
        workers[i] = s->desks[i]->w;
    s->host = host_new(s->broker, s->loops, workers, s->threads, data_dir);
    free(workers);
    for (unsigned i = 0; i < s->threads; i++)
        s->desks[i]->host = s->host;
    err = s->host->management ? host_start(s->host) : ERR_SYSTEM;
    if (err < 0)
        snprintf(why, why_size, "the loop for modules: %s", strerror(errno));
    return err;
}

/* The default (128 KB) makes every turn of larger messages grow and shrink the heap: a
 * third of the time of 4 KB messages went into page faults. */
static void tune_allocator(void)
{
    mallopt(M_TRIM_THRESHOLD, HEAP_KEEP);
    mallopt(M_MMAP_THRESHOLD, HEAP_KEEP);
}

int server_open(struct server **out, const struct server_conf *conf, char *why, size_t why_size)
{
    struct server *s = xcalloc(1, sizeof *s);
    int err;

    tune_allocator();
    s->threads = conf->threads;
    s->started_ms = clock_mono_ms();
    s->broker = broker_new(&conf->limits, &broker_ops, s);
    qsbr_join(&s->slot);
    qsbr_offline(&s->slot);
    s->entrances = xcalloc(1, sizeof(struct entrance *));
    if ((err = desks_open(s, why, why_size)) < 0 ||
        (err = host_begin(s, conf->data_dir, why, why_size)) < 0)
        goto fail;
    for (size_t i = 0; i < conf->listener_count; i++) {
        struct entrance *e = entrance_open(s, &conf->listeners[i], NULL, why, why_size);
        if (!e) {
            err = ERR_SYSTEM;
            goto fail;
        }
        entrance_keep(s, e);
    }
    s->sys = sys_new(s->desks[0], s->broker, conf->sys_interval_ms);
    *out = s;
    return 0;
fail:
    server_free(&s);
    return err;
}

/* -- The start -- */

int server_restore(struct server *s, const struct server_conf *conf, char *why, size_t why_size)
{
    int err;

    if (!conf->store_dir)
        return 0;
    err = storage_open(&s->storage, conf, s->broker, s->desks, why, why_size);
    if (err)
        return err;
    metrics_source_add(s->host, figures_store, s->storage);
    s->reader = reader_start(s->broker, storage_store(s->storage), carry_back, s);
    return 0;
}

int server_start(struct server *s, const struct server_conf *conf, char *why, size_t why_size)
{
    for (unsigned i = 0; i < s->threads; i++) {
        int err = loop_start(s->loops[i]);
        if (err < 0) {
            snprintf(why, why_size, "thread of loop %u: %s", i, strerror(errno));
            return err;
        }
    }
    s->running = true;
    host_serving(s->host);
    return 0;
}

/* -- Reload: build all that can fail first, then swap -- */

/* What becomes of one listener of the new configuration: one of the two. */
struct reload_step {
    struct entrance *stays;  /* runs already and only gets new policy, limits, certificates */
    struct entrance *opened; /* is new, or replaces one that differs */
};

/* Who holds the address now, under whatever name?  Port 0 is a different one each time. */
static struct entrance *entrance_at(struct server *s, const char *address)
{
    size_t len = strlen(address);

    if (len > 2 && strcmp(address + len - 2, ":0") == 0)
        return NULL;
    for (size_t i = 0; i < s->entrance_count; i++) {
        if (strcmp(s->entrances[i]->address, address) == 0)
            return s->entrances[i];
    }
    return NULL;
}

static int reload_prepare(struct server *s, const struct server_conf *conf,
                          struct reload_step *steps, char *why, size_t why_size)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct server_listener *l = &conf->listeners[i];
        struct entrance *e = entrance_find(s, l);
        if (e && !listener_differs(e->listener, &l->listen)) {
            steps[i].stays = e;
            if (l->listen.tls && listener_check_tls(&l->listen, why, why_size) < 0)
                return ERR_TLS;
            continue;
        }
        e = e ? e : entrance_at(s, l->listen.address);
        if (!(steps[i].opened = entrance_open(s, l, e, why, why_size)))
            return ERR_SYSTEM;
    }
    return 0;
}

static void entrance_update(struct server *s, struct entrance *e, const struct server_listener *l)
{
    char why[256];

    ASSERT(e != NULL);
    const struct policy *old = atomic_exchange(&e->policy, policy_new(s->host, l));

    qsbr_retire(&s->slot, (void *)old, (qsbr_free_fn *)policy_unref);
    listener_set_limits(e->listener, &l->listen);
    if (l->listen.tls && listener_reload_tls(e->listener, &l->listen, why, sizeof why) < 0)
        log_error("front", "listener %s keeps its certificates: %s", e->name, why);
}

static bool stays(const struct reload_step *steps, size_t count, const struct entrance *e)
{
    for (size_t i = 0; i < count; i++) {
        if (steps[i].stays == e)
            return true;
    }
    return false;
}

static void reload_commit(struct server *s, const struct server_conf *conf,
                          const struct reload_step *steps)
{
    broker_limit(s->broker, &s->slot, &conf->limits);
    for (size_t i = s->entrance_count; i-- > 0;) {
        if (!stays(steps, conf->listener_count, s->entrances[i]))
            entrance_shut(s, i);
    }
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (steps[i].opened)
            entrance_keep(s, steps[i].opened);
        else
            entrance_update(s, steps[i].stays, &conf->listeners[i]);
    }
    sys_interval(s->sys, conf->sys_interval_ms);
}

int server_reload(struct server *s, const struct server_conf *conf, void (*swap)(void *arg),
                  void *arg, char *why, size_t why_size)
{
    struct reload_step *steps = xcalloc(conf->listener_count + 1, sizeof *steps);
    int err = reload_prepare(s, conf, steps, why, why_size);

    if (err == 0 && swap)
        swap(arg);
    qsbr_online(&s->slot);
    if (err == 0)
        reload_commit(s, conf, steps);
    for (size_t i = 0; err < 0 && i < conf->listener_count; i++) {
        if (!steps[i].opened)
            continue;
        entrance_keep(s, steps[i].opened); /* somebody may have come in already */
        entrance_shut(s, s->entrance_count - 1);
    }
    qsbr_quiescent(&s->slot);
    qsbr_offline(&s->slot);
    free(steps);
    return err;
}

/* -- The end -- */

static void end_client(void *owner, void *arg)
{
    client_end(owner, RC_SHUTTING_DOWN, NULL);
}

static void end_clients(struct server *s, struct desk *d, void *arg)
{
    loop_each_owner(d->loop, end_client, NULL);
}

static void close_client(void *owner, void *arg)
{
    client_close(owner, CONN_SHUTDOWN);
}

static void close_clients(struct server *s, struct desk *d, void *arg)
{
    loop_each_owner(d->loop, close_client, NULL);
}

void server_drain(struct server *s)
{
    atomic_store(&s->door.draining, true);
    while (s->entrance_count > 0)
        entrance_shut(s, 0);
    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, end_clients, NULL);
}

static void count_down(struct server *s, struct desk *d, void *left)
{
    atomic_fetch_sub((_Atomic unsigned *)left, 1);
}

/* Waits until every loop has done what was posted to it so far. */
static void loops_settle(struct server *s)
{
    _Atomic unsigned left = s->threads;

    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, count_down, &left);
    while (atomic_load(&left) > 0)
        sched_yield();
}

static void end_traffic(struct server *s, struct desk *d, void *arg)
{
    traffic_end(host_here);
}

static void stop_journal(struct server *s, struct desk *d, void *arg)
{
    journal_stop(d->w);
}

static void end_sessions(struct server *s, struct desk *d, void *arg)
{
    sessions_end_all(d->w);
}

/* No client and no session is left when the loops stop, so nothing crosses them later. */
static void stop_running(struct server *s)
{
    uint64_t deadline = clock_mono_ms() + CLOSE_WAIT_MS;

    server_drain(s);
    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, close_clients, NULL);
    while (server_connections(s) > 0 && clock_mono_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    loops_settle(s);
    host_stop(s->host); /* while the loops can still take back what modules have there */
    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, end_traffic, NULL); /* what the disk refuses keeps them from going */
    loops_settle(s);
    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, stop_journal, NULL); /* from here on nobody asks the reader */
    loops_settle(s);
    reader_stop(&s->reader);
    loops_settle(s);
    desk_post(s, 0, end_sessions, NULL);
    loops_settle(s);
    loops_settle(s); /* what ending them posted to each other */
    for (unsigned i = 0; i < s->threads; i++)
        loop_stop(s->loops[i]);
}

/* The start failed after sessions had been taken up from the store, which keeps them. */
static void forget_sessions(struct server *s)
{
    struct worker *w = s->desks && s->desks[0] ? s->desks[0]->w : NULL;

    if (!w)
        return;
    w->journal.store = NULL;
    qsbr_online(w->slot);
    sessions_end_all(w);
    qsbr_quiescent(w->slot);
    qsbr_offline(w->slot);
}

void server_free(struct server **server)
{
    struct server *s = *server;

    if (!s)
        return;
    if (s->running)
        stop_running(s);
    else
        forget_sessions(s);
    if (s->host && !s->running)
        host_stop(s->host);
    if (s->host) {
        host_end(s->host);
        metrics_source_remove(s->host, figures_store, s->storage);
    }
    reader_stop(&s->reader);
    storage_close(&s->storage);
    while (s->entrance_count > 0)
        entrance_shut(s, 0);
    sys_free(&s->sys);
    for (unsigned i = 0; s->loops && i < s->threads; i++)
        loop_free(&s->loops[i]);
    host_free(&s->host);
    for (unsigned i = 0; s->desks && i < s->threads; i++)
        desk_free(&s->desks[i]);
    for (size_t i = 0; i < s->entrance_all; i++)
        entrance_free(s->entrances[i]);
    qsbr_online(&s->slot);
    qsbr_leave(&s->slot);
    broker_free(&s->broker);
    free(s->entrances);
    free(s->loops);
    free(s->desks);
    free(s);
    *server = NULL;
}

struct host *server_host(const struct server *s)
{
    return s->host;
}

/* -- Figures -- */

static void pulse_answer(struct server *s, struct desk *d, void *arg)
{
    atomic_fetch_sub(&s->pulse_due, 1);
}

struct pulse_task {
    struct loop_task task;
    struct server *server;
};

static void management_pulse(struct loop_task *task, struct loop *l)
{
    struct pulse_task *t = CONTAINER_OF(task, struct pulse_task, task);

    atomic_fetch_sub(&t->server->pulse_due, 1);
    free(t);
}

bool server_pulse(struct server *s)
{
    struct pulse_task *t;

    if (atomic_load(&s->pulse_due) > 0)
        return false; /* the request is still out: another would only queue behind it */
    atomic_store(&s->pulse_due, s->threads + 1);
    t = xmalloc(sizeof *t);
    *t = (struct pulse_task){.task = {.run = management_pulse}, .server = s};
    loop_post(s->host->management, &t->task);
    for (unsigned i = 0; i < s->threads; i++)
        desk_post(s, i, pulse_answer, NULL);
    return true;
}

uint32_t server_connections(const struct server *s)
{
    return atomic_load(&s->door.connections);
}

const char *server_listener(const struct server *s, size_t i, bool *anonymous)
{
    if (i >= s->entrance_count)
        return NULL;
    if (anonymous)
        *anonymous = atomic_load(&s->entrances[i]->policy)->anonymous;
    return s->entrances[i]->name;
}

bool server_address(const struct server *s, size_t i, const char **name, const char **address)
{
    if (i >= s->entrance_count)
        return false;
    *name = s->entrances[i]->name;
    *address = listener_address(s->entrances[i]->listener);
    return true;
}

void server_ledger(const struct server *s, struct ledger_sum *out)
{
    broker_ledger(s->broker, out);
}

void server_stats(const struct server *s, struct server_stats *out)
{
    struct ledger_sum sum;

    broker_ledger(s->broker, &sum);
    *out = (struct server_stats){
        .connections = server_connections(s),
        .sessions = sessions_stats(s->broker->sessions).total,
        .subscriptions = subs_stats(s->broker->subs).subscriptions,
        .retained = retained_stats(s->broker->retained).messages,
        .messages_in = ledger_received(&sum),
        .messages_out = sum.sent_publishes,
        .messages_dropped = ledger_dropped(&sum),
        .bytes_in = sum.bytes_received,
        .bytes_out = sum.bytes_sent,
    };
}

/* -- The store -- */

void server_store_stats(const struct server *s, struct server_store_stats *out)
{
    if (s->storage)
        storage_stats(s->storage, out);
    else
        *out = (struct server_store_stats){.on = false};
}

int server_backup(struct server *s, const char *dir, char *why, size_t why_size)
{
    if (s->storage)
        return backups_begin(storage_backups(s->storage), dir, why, why_size);
    snprintf(why, why_size, "the store is off: there is nothing to back up");
    return ERR_NOT_FOUND;
}

void server_backup_stats(const struct server *s, struct server_backup_stats *out)
{
    if (s->storage)
        backups_stats(storage_backups(s->storage), out);
    else
        *out = (struct server_backup_stats){.number = 0};
}
