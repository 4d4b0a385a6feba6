/* A broker without listeners on real loops, with a module host: for what modules publish and
 * consume.  Everything a test waits for is signalled; a test that waits too long fails.
 * Include after cmocka.h. */
#ifndef TESTS_UNIT_HOST_TRAFFIC_RIG_H
#define TESTS_UNIT_HOST_TRAFFIC_RIG_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/restore.h"
#include "core/session.h"
#include "core/sessions.h"
#include "host/consumer.h"
#include "host/host.h"
#include "host/instance.h"
#include "host/services.h"
#include "host/traffic.h"
#include "net/loop.h"
#include "store/store.h"

enum { RIG_LOOPS = 3, RIG_PATIENCE_S = 30, RIG_SEEN = 16384 };

/* -- Waiting -- */

static pthread_mutex_t rig_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t rig_cond = PTHREAD_COND_INITIALIZER;

static inline void rig_lock(void)
{
    pthread_mutex_lock(&rig_mutex);
}

static inline void rig_unlock(void)
{
    pthread_cond_broadcast(&rig_cond);
    pthread_mutex_unlock(&rig_mutex);
}

/* Until *counter, which changes under rig_lock(), is at least `least`. */
static inline void rig_await(const unsigned *counter, unsigned least)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RIG_PATIENCE_S;
    pthread_mutex_lock(&rig_mutex);
    while (*counter < least && pthread_cond_timedwait(&rig_cond, &rig_mutex, &until) == 0)
        ;
    unsigned have = *counter;
    pthread_mutex_unlock(&rig_mutex);
    if (have < least)
        fail_msg("waited for %u, got %u", least, have);
}

/* -- The broker -- */

struct host_rig {
    struct broker *broker;
    struct limits limits;
    struct loop *loops[RIG_LOOPS];
    struct worker *workers[RIG_LOOPS];
    struct host *host;
    struct store *store;
    const char *store_dir;
    struct rig_settle {
        struct loop_task task;
        struct host_rig *rig;
        unsigned at;
        _Atomic bool posted;
    } settle[RIG_LOOPS];
};

struct rig_flush {
    struct loop_task task;
    struct worker *w;
    struct flush_batch *batch;
};

static inline void rig_flush_run(struct loop_task *task, struct loop *l)
{
    struct rig_flush *f = CONTAINER_OF(task, struct rig_flush, task);

    worker_turn(f->w, loop_now_ms(l));
    worker_flush_batch(f->w, f->batch);
    free(f);
}

static inline void rig_post_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    struct host_rig *r = arg;
    struct rig_flush *f = xmalloc(sizeof *f);

    *f = (struct rig_flush){.task.run = rig_flush_run, .w = r->workers[worker], .batch = batch};
    loop_post(r->loops[worker], &f->task);
}

static inline void rig_begin(struct loop *l, void *arg)
{
    struct host_rig *r = arg;
    host_enter(r->host, loop_index(l));
}

static inline void rig_turn_end(struct loop *l, void *arg)
{
    struct host_rig *r = arg;
    struct worker *w = r->workers[loop_index(l)];

    worker_turn(w, loop_now_ms(l));
    worker_turn_end(w);
    while (w->guest && w->guest->turn(w->guest))
        worker_turn_end(w);
    worker_turn_over(w);
}

static inline void rig_settle_run(struct loop_task *task, struct loop *l)
{
    struct rig_settle *s = CONTAINER_OF(task, struct rig_settle, task);
    struct worker *w = s->rig->workers[s->at];

    atomic_store(&s->posted, false);
    worker_turn(w, loop_now_ms(l));
    if (!w->journal.store)
        return;
    uint64_t settled = store_settled(w->journal.store);
    journal_settled(w, settled);
    if (w->guest)
        w->guest->settled(w->guest, settled);
}

static inline void rig_settled(void *arg, unsigned worker)
{
    struct host_rig *r = arg;

    if (!atomic_exchange(&r->settle[worker].posted, true))
        loop_post(r->loops[worker], &r->settle[worker].task);
}

static const struct broker_ops rig_ops = {.post_flush = rig_post_flush};

static struct disk *rig_disk; /* of the stores that are opened from now on; NULL: the system's */

static inline void rig_store_open(struct host_rig *r)
{
    struct store_conf conf = {.dir = r->store_dir,
                              .disk = rig_disk,
                              .sync = WAL_SYNC_NONE,
                              .retry_ms = 1,
                              .settled = rig_settled,
                              .arg = r};
    struct restore_stats stats;
    char why[512] = "";
    struct worker *w = r->workers[0];

    if (store_open(&r->store, &conf, why, sizeof why) < 0)
        fail_msg("store: %s", why);
    r->broker->store_offset_ms = store_clock_offset_ms(r->store);
    qsbr_online(w->slot);
    worker_turn_begin(w, loop_now_ms(r->loops[0]));
    assert_int_equal(restore_run(w, r->store, &stats, why, sizeof why), 0);
    worker_turn_over(w);
    qsbr_quiescent(w->slot);
    qsbr_offline(w->slot);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        r->workers[i]->journal.store = r->store;
    journal_submit(w);
}

static inline struct host_rig *rig_open_with(const struct limits *limits, const char *store_dir)
{
    static const struct loop_hooks hooks = {.begin = rig_begin, .turn_end = rig_turn_end};
    struct host_rig *r = xcalloc(1, sizeof *r);

    limits_default(&r->limits);
    if (limits)
        r->limits = *limits;
    r->store_dir = store_dir;
    r->broker = broker_new(&r->limits, &rig_ops, r);
    for (unsigned i = 0; i < RIG_LOOPS; i++) {
        assert_int_equal(loop_open(&r->loops[i], i, &hooks, r), 0);
        r->workers[i] = worker_new(r->broker, loop_qsbr(r->loops[i]), i);
        r->settle[i] = (struct rig_settle){.task.run = rig_settle_run, .rig = r, .at = i};
    }
    r->host = host_new(r->broker, r->loops, r->workers, RIG_LOOPS, NULL);
    if (store_dir)
        rig_store_open(r);
    assert_int_equal(host_start(r->host), 0);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        assert_int_equal(loop_start(r->loops[i]), 0);
    return r;
}

static inline struct host_rig *rig_open(void)
{
    return rig_open_with(NULL, NULL);
}

/* -- Work on a loop -- */

static inline struct loop *rig_loop(struct host_rig *r, unsigned at)
{
    return at == HOST_MANAGEMENT ? r->host->management : r->loops[at];
}

static inline void rig_on(struct host_rig *r, unsigned at, void (*fn)(struct loop *l, void *arg),
                          void *arg)
{
    loop_call(rig_loop(r, at), fn, arg);
}

static inline void rig_nothing(struct loop *l, void *arg)
{
}

/* Everything that was under way between the loops has arrived, some hops of it. */
static inline void rig_calm(struct host_rig *r)
{
    for (unsigned hop = 0; hop < 8; hop++) {
        rig_on(r, HOST_MANAGEMENT, rig_nothing, NULL);
        for (unsigned i = 0; i < RIG_LOOPS; i++)
            rig_on(r, i, rig_nothing, NULL);
    }
}

static inline void rig_end_place(struct loop *l, void *arg)
{
    traffic_end(host_here);
}

static inline void rig_stop_journal(struct loop *l, void *arg)
{
    struct host_rig *r = arg;
    journal_stop(r->workers[loop_index(l)]);
}

static inline void rig_end_sessions(struct loop *l, void *arg)
{
    struct host_rig *r = arg;
    worker_turn(r->workers[0], loop_now_ms(l));
    sessions_end_all(r->workers[0]);
}

static inline bool rig_add_queued(void *total, struct session *s)
{
    *(uint64_t *)total += session_queued(s);
    return true;
}

/* Both accounts of the ledger. */
static inline void rig_check_ledger(struct host_rig *r)
{
    struct ledger_sum sum;
    uint64_t queued = 0;

    broker_ledger(r->broker, &sum);
    assert_int_equal(ledger_received(&sum), ledger_refused(&sum) + sum.accepted);
    if (!r->store_dir) { /* else some of it is from before */
        sessions_each(r->broker->sessions, rig_add_queued, &queued);
        assert_int_equal(ledger_waiting(&sum), queued);
    }
}

static inline void rig_close(struct host_rig **rig)
{
    struct host_rig *r = *rig;

    rig_calm(r);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        rig_on(r, i, rig_end_place, r);
    rig_calm(r);
    rig_check_ledger(r);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        rig_on(r, i, rig_stop_journal, r);
    rig_calm(r);
    rig_on(r, 0, rig_end_sessions, r);
    rig_calm(r);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        loop_stop(r->loops[i]);
    host_stop(r->host);
    host_end(r->host);
    if (r->store)
        assert_int_equal(store_close(&r->store), 0);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        loop_free(&r->loops[i]);
    host_free(&r->host);
    for (unsigned i = RIG_LOOPS; i-- > 0;)
        worker_free(&r->workers[i]);
    broker_free(&r->broker);
    free(r);
    *rig = NULL;
}

/* -- Modules -- */

static inline struct skep_module *rig_module(struct host_rig *r, const char *name)
{
    static const struct skep_descriptor nothing = {.size = sizeof nothing, .name = "test"};
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->host = r->host;
    m->name = str_dup(str_of(name));
    m->d = &nothing;
    atomic_init(&m->holds, 1); /* as life.c has it */
    return m;
}

/* As life.c unloads it: nothing holds it any more. */
static inline void rig_module_free(struct skep_module **module)
{
    struct skep_module *m = *module;

    assert_int_equal(atomic_load(&m->holds), 1);
    assert_int_equal(atomic_load(&m->publishing), 0);
    assert_int_equal(atomic_load(&m->publishing_bytes), 0);
    traffic_forget(m);
    free(m->name);
    free(m);
    *module = NULL;
}

/* -- A consumer that writes down what it gets -- */

struct seen {
    char topic[64], payload[64];
    uint64_t id;
    unsigned loop;
    uint8_t qos;
    bool retain, duplicate;
    uint32_t expiry_s;
};

struct recorder {
    struct host_rig *rig;
    struct skep_module *module;
    struct skep_consumer *c;
    struct skep_consumer_conf conf;
    bool ack;                       /* at once */
    unsigned ready, refused, count; /* under rig_lock() */
    bool resumed;
    char error[64];
    void (*also)(struct recorder *rec, const struct skep_message *m, uint64_t id);
    struct seen seen[RIG_SEEN];
};

static inline void rig_text(char out[64], struct skep_str s)
{
    snprintf(out, 64, "%.*s", (int)s.len, s.ptr ? s.ptr : "");
}

static inline void rec_message(struct skep_consumer *c, const struct skep_message *m, uint64_t id,
                               void *arg)
{
    struct recorder *rec = arg;

    if (rec->also)
        rec->also(rec, m, id);
    if (rec->ack)
        skep_consumer_ack(c, id);
    rig_lock();
    if (rec->count < RIG_SEEN) {
        struct seen *s = &rec->seen[rec->count];
        *s = (struct seen){.id = id,
                           .loop = host_here->index,
                           .qos = m->qos,
                           .retain = m->retain,
                           .duplicate = m->duplicate,
                           .expiry_s = m->expiry_s};
        rig_text(s->topic, m->topic);
        rig_text(s->payload, m->payload);
    }
    rec->count++;
    rig_unlock();
}

static inline void rec_ready(struct skep_consumer *c, bool resumed, const char *error, void *arg)
{
    struct recorder *rec = arg;

    rig_lock();
    if (error) {
        snprintf(rec->error, sizeof rec->error, "%s", error);
        rec->refused++;
    } else {
        rec->resumed = resumed;
        rec->ready++;
    }
    rig_unlock();
}

static inline struct recorder *rec_new(struct host_rig *r, const char *name, unsigned loop)
{
    struct recorder *rec = xcalloc(1, sizeof *rec);

    rec->rig = r;
    rec->ack = true;
    rec->conf = (struct skep_consumer_conf){.size = sizeof rec->conf,
                                            .loop = loop,
                                            .name = name,
                                            .on_message = rec_message,
                                            .on_ready = rec_ready,
                                            .arg = rec};
    return rec;
}

static inline void rec_open(struct recorder *rec, struct skep_module *m)
{
    unsigned before = rec->ready;

    rec->module = m;
    rec->c = skep_consumer_open(m, &rec->conf);
    assert_non_null(rec->c);
    rig_await(&rec->ready, before + 1);
}

struct rec_call {
    struct recorder *rec;
    const char *filter;
    unsigned qos, options;
    uint64_t id, number;
    bool flag;
    int err;
};

static inline void rec_do_subscribe(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    call->err =
        skep_consumer_subscribe(call->rec->c, skep_str(call->filter), call->qos, call->options);
}

static inline int rec_subscribe(struct recorder *rec, const char *filter, unsigned qos,
                                unsigned options)
{
    struct rec_call call = {.rec = rec, .filter = filter, .qos = qos, .options = options};
    rig_on(rec->rig, skep_consumer_loop(rec->c), rec_do_subscribe, &call);
    return call.err;
}

static inline void rec_do_ack(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    skep_consumer_ack(call->rec->c, call->id);
}

static inline void rec_ack(struct recorder *rec, uint64_t id)
{
    struct rec_call call = {.rec = rec, .id = id};
    rig_on(rec->rig, skep_consumer_loop(rec->c), rec_do_ack, &call);
}

static inline void rec_do_pause(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    skep_consumer_pause(call->rec->c, call->flag);
}

static inline void rec_pause(struct recorder *rec, bool paused)
{
    struct rec_call call = {.rec = rec, .flag = paused};
    rig_on(rec->rig, skep_consumer_loop(rec->c), rec_do_pause, &call);
}

static inline void rec_do_queued(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    call->number = skep_consumer_queued(call->rec->c);
}

static inline uint64_t rec_queued(struct recorder *rec)
{
    struct rec_call call = {.rec = rec};
    rig_on(rec->rig, skep_consumer_loop(rec->c), rec_do_queued, &call);
    return call.number;
}

static inline void rec_do_close(struct loop *l, void *arg)
{
    struct rec_call *call = arg;
    skep_consumer_close(call->rec->c, call->flag);
}

static inline void rec_close(struct recorder *rec, bool forget)
{
    struct rec_call call = {.rec = rec, .flag = forget};
    rig_on(rec->rig, skep_consumer_loop(rec->c), rec_do_close, &call);
    rec->c = NULL;
    rig_calm(rec->rig);
}

/* -- Publishing -- */

struct done {
    unsigned count; /* under rig_lock() */
    enum skep_reason reason;
    unsigned loop; /* where it was called */
};

static inline void done_called(void *arg, enum skep_reason reason)
{
    struct done *d = arg;

    rig_lock();
    d->reason = reason;
    d->loop = host_here ? host_here->index : UINT16_MAX - 1;
    d->count++;
    rig_unlock();
}

struct pub_call {
    struct skep_module *m;
    struct skep_message message;
    struct skep_consumer *as;
    struct done *done;
    int err;
};

static inline void pub_do(struct loop *l, void *arg)
{
    struct pub_call *call = arg;
    call->err = skep_publish(call->m, &call->message, call->as, call->done ? done_called : NULL,
                             call->done);
}

static inline struct skep_message text_message(const char *topic, const char *payload, unsigned qos)
{
    return (struct skep_message){.size = sizeof(struct skep_message),
                                 .qos = (uint8_t)qos,
                                 .topic = skep_str(topic),
                                 .payload = skep_str(payload)};
}

static inline int rig_publish_on(struct host_rig *r, unsigned loop, struct skep_module *m,
                                 const char *topic, const char *payload, unsigned qos,
                                 struct done *done)
{
    struct pub_call call = {.m = m, .message = text_message(topic, payload, qos), .done = done};
    rig_on(r, loop, pub_do, &call);
    return call.err;
}

#endif
