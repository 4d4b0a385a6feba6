#include "host/wait.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "host/decide.h"
#include "host/http.h"
#include "host/instance.h"
#include "host/jobs.h"
#include "host/refuse.h"
#include "host/services.h"
#include "host/timer.h"
#include "net/loop.h"

enum { CHUNK = 1024, CHUNKS = WAITS_MAX / CHUNK, TIMEOUT_MS = 5000 };

/* The low bits of the word; above them stands the generation. */
enum wait_state { WAIT_FREE, WAIT_WAITING, WAIT_COMPLETED, WAIT_STATES };

enum wait_kind { WAIT_TOKEN, WAIT_HTTP, WAIT_JOB, WAIT_TIME };

struct wait {
    _Atomic uint64_t word; /* generation * WAIT_STATES + state */
    uint32_t index;
    uint8_t kind;
    struct skep_request *request; /* the client's loop's; NULL: it is over without us */
    struct skep_module *module;   /* held */
    struct host_place *place;
    skep_then_fn *then;
    skep_http_then_fn *http_then;
    void (*drop)(void *data); /* WAIT_TOKEN */
    void *data, *left;        /* given with the completion; the request's, when it went first */
    uint64_t http;            /* WAIT_HTTP and WAIT_JOB: to cancel it */
    struct job *job;
    struct host_timer timer;
    struct loop_task task;
    struct wait *next_free;
};

static struct {
    pthread_mutex_t lock;
    _Atomic(struct wait *) chunks[CHUNKS];
    unsigned count, taken; /* places there are, and in use */
    struct wait *free;
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* -- The table -- */

static void add_chunk(void)
{
    struct wait *chunk;

    if (table.count == WAITS_MAX || !(chunk = calloc(CHUNK, sizeof *chunk)))
        return;
    atomic_store_explicit(&table.chunks[table.count / CHUNK], chunk, memory_order_release);
    for (unsigned i = CHUNK; i-- > 0;) {
        chunk[i].index = table.count + i;
        chunk[i].next_free = table.free;
        table.free = &chunk[i];
    }
    table.count += CHUNK;
}

static struct wait *place_take(void)
{
    pthread_mutex_lock(&table.lock);
    if (!table.free)
        add_chunk();
    struct wait *w = table.free;
    if (w) {
        table.free = w->next_free;
        table.taken++;
    }
    pthread_mutex_unlock(&table.lock);
    return w;
}

static void place_give(struct wait *w)
{
    pthread_mutex_lock(&table.lock);
    w->next_free = table.free;
    table.free = w;
    table.taken--;
    pthread_mutex_unlock(&table.lock);
}

unsigned waits_now(void)
{
    pthread_mutex_lock(&table.lock);
    unsigned n = table.taken;
    pthread_mutex_unlock(&table.lock);
    return n;
}

static uint64_t generation_of(const struct wait *w)
{
    return atomic_load_explicit(&w->word, memory_order_relaxed) / WAIT_STATES;
}

static uint64_t token_of(const struct wait *w)
{
    return (generation_of(w) & UINT32_MAX) << 32 | w->index;
}

/* The place of a token; its generation is for end_by() to compare. */
static struct wait *wait_at(uint64_t token)
{
    uint32_t index = (uint32_t)token;

    if (index >= WAITS_MAX)
        return NULL;
    struct wait *chunk = atomic_load_explicit(&table.chunks[index / CHUNK], memory_order_acquire);
    return chunk ? &chunk[index % CHUNK] : NULL;
}

/* True for the one who ends the wait of that generation. */
static bool end_by(struct wait *w, uint64_t generation, enum wait_state state)
{
    uint64_t waiting = generation * WAIT_STATES + WAIT_WAITING;

    return atomic_compare_exchange_strong(&w->word, &waiting, generation * WAIT_STATES + state);
}

/* -- The life of a wait -- */

static void on_deadline(struct host_timer *timer);
static void carried(struct loop_task *task, struct loop *l);

static uint64_t deadline_of(struct skep_request *r)
{
    uint32_t most = r->module->decision_timeout_ms ? r->module->decision_timeout_ms : TIMEOUT_MS;

    if (r->deadline_ms == 0)
        r->deadline_ms = loop_now_ms(r->place->loop) + most;
    return r->deadline_ms;
}

/* NULL: it cannot wait, see r->would_wait, or there is no room. */
static struct wait *wait_begin(struct skep_request *r, enum wait_kind kind, uint64_t ms)
{
    struct wait *w;

    if (r->at_once || r->stage == SKEP_STAGE_DELIVER) {
        r->would_wait = true;
        return NULL;
    }
    if (r->wait || host_refuses() || !(w = place_take()))
        return NULL;
    uint64_t now = loop_now_ms(r->place->loop), due = deadline_of(r);
    w->kind = (uint8_t)kind;
    w->request = r;
    w->module = r->module;
    w->place = r->place;
    w->drop = NULL;
    w->data = w->left = NULL;
    w->job = NULL;
    w->timer = (struct host_timer){.fn = on_deadline};
    w->task = (struct loop_task){.run = carried};
    if (kind == WAIT_TIME && now + ms < due)
        due = now + ms;
    host_timer_set(r->place, &w->timer, due > now ? due - now : 0);
    instance_hold(r->module);
    atomic_fetch_add_explicit(&r->module->pending, 1, memory_order_relaxed);
    r->wait = w;
    uint64_t generation = (generation_of(w) + 1) & UINT32_MAX;
    atomic_store(&w->word, (generation ? generation : 1) * WAIT_STATES + WAIT_WAITING);
    return w;
}

/* On the loop, by whoever ended it; the module stays held for the caller. */
static struct skep_module *wait_end(struct wait *w)
{
    struct skep_module *m = w->module;

    host_timer_cancel(w->place, &w->timer);
    if (w->request)
        w->request->wait = NULL;
    w->request = NULL;
    uint64_t generation = generation_of(w);
    atomic_store(&w->word, generation * WAIT_STATES + WAIT_FREE);
    atomic_fetch_sub_explicit(&m->pending, 1, memory_order_relaxed);
    place_give(w);
    return m;
}

static void drop(struct skep_module *m, void (*fn)(void *data), void *data)
{
    if (!fn)
        return;
    struct blame before = blame_begin(m, "drop");
    fn(data);
    blame_end(before);
}

/* Nobody waits any more, and no completion is under way: w has to be told so. */
static struct skep_module *wait_abandon(struct wait *w)
{
    struct skep_request *r = w->request;
    void (*fn)(void *data) = w->drop;
    void *data = r->data;

    if (w->kind == WAIT_HTTP)
        http_cancel(w->place->host, w->http);
    if (w->job)
        jobs_cancel(w->job);
    if (fn)
        r->data = NULL;
    struct skep_module *m = wait_end(w);
    drop(m, fn, data);
    return m;
}

void wait_cancel(struct skep_request *r)
{
    struct wait *w = r->wait;

    if (end_by(w, generation_of(w), WAIT_FREE)) {
        instance_release(wait_abandon(w));
        return;
    }
    w->left = r->data; /* a completion is under way, and will find nobody */
    w->request = NULL;
    r->wait = NULL;
    host_timer_cancel(w->place, &w->timer);
}

static enum skep_verdict call_then(struct skep_request *r, struct skep_module *m,
                                   skep_then_fn *then)
{
    struct blame before = blame_begin(m, "then");
    enum skep_verdict v = then(r, m->self);

    blame_end(before);
    return v;
}

/* The wait of r is over in good order. */
static void go_on(struct wait *w)
{
    struct skep_request *r = w->request;
    skep_then_fn *then = w->then;
    struct skep_module *m = wait_end(w);

    request_resume(r, call_then(r, m, then));
    instance_release(m);
}

static void on_deadline(struct host_timer *timer)
{
    struct wait *w = CONTAINER_OF(timer, struct wait, timer);
    struct skep_request *r = w->request;

    if (!end_by(w, generation_of(w), WAIT_FREE))
        return; /* completed: the task is under way */
    if (w->kind == WAIT_TIME && loop_now_ms(w->place->loop) < r->deadline_ms) {
        go_on(w);
        return;
    }
    struct skep_module *m = wait_abandon(w);
    request_timed_out(r);
    instance_release(m);
}

/* On the client's loop, after a completion. */
static void carried(struct loop_task *task, struct loop *l)
{
    struct wait *w = CONTAINER_OF(task, struct wait, task);
    struct skep_request *r = w->request;

    if (r) {
        r->data = w->data;
        go_on(w);
        return;
    }
    void (*fn)(void *data) = w->drop;
    void *data = w->data ? w->data : w->left;
    struct skep_module *m = wait_end(w);
    drop(m, fn, data);
    instance_release(m);
}

bool skep_complete(uint64_t token, void *data)
{
    struct wait *w = wait_at(token);

    if (!w || token >> 32 == 0 || !end_by(w, token >> 32, WAIT_COMPLETED))
        return false;
    w->data = data;
    loop_post(w->place->loop, &w->task);
    return true;
}

/* -- What modules call -- */

enum skep_verdict skep_wait_token(struct skep_request *r, uint64_t *token,
                                  void (*drop_fn)(void *data), skep_then_fn *then)
{
    struct wait *w = wait_begin(r, WAIT_TOKEN, 0);

    *token = 0;
    if (!w) { /* as if the client had left at once */
        void *data = r->data;
        r->data = NULL;
        drop(r->module, drop_fn, data);
        return r->would_wait ? SKEP_PENDING : SKEP_ERROR;
    }
    w->then = then;
    w->drop = drop_fn;
    *token = token_of(w);
    return SKEP_PENDING;
}

enum skep_verdict skep_wait_ms(struct skep_request *r, uint32_t ms, skep_then_fn *then)
{
    struct wait *w = wait_begin(r, WAIT_TIME, ms);

    if (!w)
        return r->would_wait ? SKEP_PENDING : SKEP_ERROR;
    w->then = then;
    return SKEP_PENDING;
}

static void http_answered(const struct skep_http_reply *reply, void *wait)
{
    struct wait *w = wait;
    struct skep_request *r = w->request;
    skep_http_then_fn *then = w->http_then;

    if (!end_by(w, generation_of(w), WAIT_FREE))
        return;
    struct skep_module *m = wait_end(w);
    struct blame before = blame_begin(m, "then");
    enum skep_verdict v = then(r, reply, m->self);
    blame_end(before);
    request_resume(r, v);
    instance_release(m);
}

enum skep_verdict skep_wait_http(struct skep_request *r, const struct skep_http_request *ask,
                                 skep_http_then_fn *then)
{
    struct wait *w = wait_begin(r, WAIT_HTTP, 0);

    if (!w)
        return r->would_wait ? SKEP_PENDING : SKEP_ERROR;
    w->http_then = then;
    w->http = http_send(r->place->host, r->module, ask, http_answered, w);
    if (w->http)
        return SKEP_PENDING;
    end_by(w, generation_of(w), WAIT_FREE);
    instance_release(wait_end(w));
    return SKEP_ERROR;
}

struct job_wait {
    struct job job;
    uint64_t token;
    struct skep_module *module;
    void (*work)(void *data);
    void (*drop)(void *data);
    void *data;
};

static void job_work(struct job *job)
{
    struct job_wait *j = CONTAINER_OF(job, struct job_wait, job);

    j->work(j->data);
}

/* On the loop that asked; the client may have left meanwhile. */
static void job_done(struct job *job)
{
    struct job_wait *j = CONTAINER_OF(job, struct job_wait, job);
    struct wait *w = wait_at(j->token);

    if (w && end_by(w, j->token >> 32, WAIT_FREE))
        go_on(w);
    drop(j->module, j->drop, j->data);
    free(j);
}

enum skep_verdict skep_wait_job(struct skep_request *r, void (*work)(void *data), void *data,
                                void (*drop_fn)(void *data), skep_then_fn *then)
{
    struct wait *w = wait_begin(r, WAIT_JOB, 0);

    if (!w) {
        drop(r->module, drop_fn, data);
        return r->would_wait ? SKEP_PENDING : SKEP_ERROR;
    }
    w->then = then;
    struct job_wait *j = xcalloc(1, sizeof *j);
    *j = (struct job_wait){.job = {.work = job_work, .done = job_done},
                           .token = token_of(w),
                           .module = r->module,
                           .work = work,
                           .drop = drop_fn,
                           .data = data};
    if (jobs_submit(r->place->host, r->module, &j->job) == 0) {
        w->job = &j->job;
        return SKEP_PENDING;
    }
    end_by(w, generation_of(w), WAIT_FREE);
    struct skep_module *m = wait_end(w);
    drop(m, drop_fn, data);
    instance_release(m);
    free(j);
    return SKEP_ERROR;
}
