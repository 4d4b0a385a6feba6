/* The broker's parts on the world's clock: what server_start() makes, without front. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/worker.h"
#include "harness.h"
#include "host/life.h"
#include "host/traffic.h"
#include "net/loop.h"
#include "world.h"

enum { RELOADS_MOST = 10 };

struct flush_task {
    struct loop_task task;
    struct skep_test *test;
    struct flush_batch *batch;
};

static void flush_run(struct loop_task *task, struct loop *l)
{
    struct flush_task *f = CONTAINER_OF(task, struct flush_task, task);

    worker_flush_batch(f->test->worker, f->batch);
    free(f);
}

/* There is one worker: this is for tasks of others that want a session flushed. */
static void post_flush(void *arg, unsigned worker, struct flush_batch *batch)
{
    struct skep_test *t = arg;
    struct flush_task *f = xcalloc(1, sizeof *f);

    *f = (struct flush_task){.task = {.run = flush_run}, .test = t, .batch = batch};
    loop_post(t->loop, &f->task);
}

static const struct broker_ops ops = {.post_flush = post_flush};

/* What a thread of its own would know: which loop it is. */
static void around_turn(struct loop *l, bool begins, void *arg)
{
    struct skep_test *t = arg;

    if (!begins) {
        if (l == t->loop)
            worker_turn_end(t->worker);
        host_here = NULL;
        return;
    }
    if (t->host)
        host_enter(t->host, loop_index(l));
    if (l == t->loop && t->worker) {
        worker_turn_begin(t->worker, loop_now_ms(l));
        broker_tick(t->worker);
    }
}

struct skep_test *rig_new(void)
{
    struct skep_test *t = xcalloc(1, sizeof *t);
    struct limits limits;
    char dir[] = "/tmp/skep-test-XXXXXX";

    world_clock_reset();
    observe_begin();
    limits_default(&limits);
    t->data_dir = mkdtemp(dir) ? str_dup(str_of(dir)) : NULL;
    t->broker = broker_new(&limits, &ops, t);
    world_on_turn(around_turn, t);
    if (loop_open(&t->loop, 0, NULL, t) < 0)
        test_fail("no event loop could be opened");
    t->worker = worker_new(t->broker, loop_qsbr(t->loop), 0);
    t->host = host_new(t->broker, &t->loop, &t->worker, 1, t->data_dir);
    host_start(t->host);
    host_serving(t->host);
    return t;
}

void rig_call(struct skep_test *t, void (*fn)(void *arg), void *arg)
{
    world_as(t->loop, fn, arg);
}

/* As main does when skep_request_reload() has woken it. */
static void reload_as_asked(struct skep_test *t)
{
    const char *wrong;

    if (!t->lines || !atomic_exchange(&t->host->reload_wanted, false))
        return;
    if (t->reloading >= RELOADS_MOST) {
        test_fault("the module asks for a reload whenever it was reloaded");
        return;
    }
    t->reloading++;
    wrong = config_apply(t);
    t->reloading--;
    if (wrong)
        test_fault("the reload that the module asked for failed:\n%s", wrong);
}

void rig_settle(struct skep_test *t)
{
    world_run();
    life_tick(t->host);
    world_run();
    reload_as_asked(t);
}

static void end_sessions(void *arg)
{
    struct skep_test *t = arg;

    traffic_end(host_here); /* consumers and publications of modules, as the broker does it */
    sessions_end_all(t->worker);
}

static void data_dir_remove(const char *dir)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        test_fault("the harness could not remove %s", dir);
}

void rig_free(struct skep_test **test)
{
    struct skep_test *t = *test;

    rig_settle(t);
    t->host->serving = false; /* what is left to do there is done by this thread, at once */
    host_stop(t->host);
    rig_call(t, end_sessions, t);
    world_run();
    host_end(t->host);
    loop_free(&t->loop);
    host_free(&t->host);
    world_on_turn(NULL, NULL);
    worker_free(&t->worker);
    broker_free(&t->broker);
    if (t->data_dir)
        data_dir_remove(t->data_dir);
    free(t->data_dir);
    world_http_reset();
    world_storage_reset();
    world_refuse(0);
    free(t);
    *test = NULL;
}
