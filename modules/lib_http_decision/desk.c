/* One loop's requests to the backend: those on their way, and those that queue.
 *
 * A turn of the loop sends at most DESK_BURST of them, about a millisecond's work; the next turn
 * goes on.  Were all sent at once when a thousand clients come, their answers would come back at
 * once, too, and other clients' messages wait behind either. */
#include <stdlib.h>

#include "lib_http_decision/ask_impl.h"

static struct flight **bucket_of(struct desk *d, const unsigned char *key)
{
    return &d->flights[(key[0] | key[1] << 8) % DESK_BUCKETS];
}

static struct flight *find(const struct desk *d, const unsigned char *key)
{
    struct flight *f = d->flights[(key[0] | key[1] << 8) % DESK_BUCKETS];

    while (f && memcmp(f->key, key, QUESTION_KEY) != 0)
        f = f->chain;
    return f;
}

bool desk_has(const struct desk *d, const unsigned char key[QUESTION_KEY])
{
    return find(d, key);
}

bool desk_is_full(const struct desk *d)
{
    const struct ask_conf *conf = d->ask->conf;
    return d->running + d->queued >= conf->connections + conf->queue;
}

static void flight_free(struct flight *f)
{
    memory_unref(f->memory);
    rendered_fini(&f->rendered);
    free(f);
}

static void flight_unlist(struct flight *f)
{
    struct flight **at = bucket_of(f->desk, f->key);

    while (*at != f)
        at = &(*at)->chain;
    *at = f->chain;
}

/* All who wait for it get the answer (NULL: none), each in a turn of its own. */
static void flight_end(struct flight *f, struct answer *answer)
{
    struct waiter *w = f->waiters;

    flight_unlist(f);
    f->waiters = NULL;
    while (w) {
        struct waiter *next = w->next;
        w->link = NULL;
        w->next = NULL;
        w->answer = answer ? answer_ref(answer) : NULL;
        skep_complete(w->token, w); /* its `then` or its drop() frees it */
        w = next;
    }
    flight_free(f);
}

/* The backend failed: an older allow may stand in. */
static void flight_fail(struct flight *f)
{
    struct ask *a = f->desk->ask;
    struct answer *stale = cache_get_stale(f->memory->cache, f->key, skep_now_ms());

    if (stale && stale->verdict != SKEP_ALLOW) {
        answer_unref(stale);
        stale = NULL;
    }
    if (stale && !f->dry)
        skep_counter_add(a->shortcuts[SHORT_STALE], 1);
    flight_end(f, stale);
    answer_unref(stale);
}

static void remember(const struct flight *f, struct answer *answer)
{
    const struct ask_conf *conf = f->desk->ask->conf;
    bool allow = answer->verdict == SKEP_ALLOW;
    uint64_t fresh = allow ? conf->cache_allow : conf->cache_deny;
    uint64_t stale = allow ? conf->stale_if_error : 0;
    uint64_t wall = skep_wall_ms(), left = UINT64_MAX;

    if (answer->expires_wall_ms)
        left = answer->expires_wall_ms > wall ? answer->expires_wall_ms - wall : 0;
    if (fresh > left)
        fresh = left;
    if (stale > left - fresh)
        stale = left - fresh;
    if (fresh + stale > 0)
        cache_put(f->memory->cache, f->key, answer, skep_now_ms(), fresh, stale);
    else
        cache_drop(f->memory->cache, f->key);
}

static struct answer *read_reply(const struct ask *a, const struct skep_http_reply *reply)
{
    struct skep_str type = skep_http_reply_header(reply, "Content-Type");
    char text[64];

    if (reply->error || reply->status == 0)
        return NULL;
    size_t len = type.len < sizeof text - 1 ? type.len : sizeof text - 1;
    if (len)
        memcpy(text, type.ptr, len);
    text[len] = '\0';
    return answer_new(reply->status, reply->body, text, (enum answer_mode)a->conf->answer,
                      skep_wall_ms());
}

/* Only what shows that the backend is down or overloaded opens the breaker.  An answer that makes
 * no sense does not: else one client with a strange name could shut all others out. */
static bool backend_worked(const struct skep_http_reply *reply)
{
    return !reply->error && reply->status != 0 && reply->status < 500 && reply->status != 429 &&
           reply->status != 408;
}

static void count(struct ask *a, const struct skep_http_reply *reply, const struct answer *answer)
{
    enum outcome out = reply->timed_out                ? OUT_TIMEOUT
                       : !answer                       ? OUT_FAILED
                       : answer->verdict == SKEP_ALLOW ? OUT_ALLOW
                       : answer->verdict == SKEP_DENY  ? OUT_DENY
                       : answer->verdict == SKEP_NEXT  ? OUT_IGNORE
                       : backend_worked(reply)         ? OUT_BAD
                                                       : OUT_FAILED;

    skep_counter_add(a->outcomes[out], 1);
    skep_histogram_add(a->latency, (double)reply->took_ms / 1000);
}

static void complain(struct ask *a, const struct skep_http_reply *reply,
                     const struct answer *answer)
{
    if (reply->error)
        skep_log(a->module, SKEP_LOG_WARN, "%s: %s", a->conf->url, reply->error);
    else
        skep_log(a->module, SKEP_LOG_WARN, "%s: status %u: %s", a->conf->url, reply->status,
                 answer ? answer->error : "no memory for the answer");
}

static void start_queued(struct desk *d);

static void pump(void *desk)
{
    struct desk *d = desk;

    d->pumping = false;
    d->burst = 0;
    start_queued(d);
}

/* In the next turn. */
static void pump_later(struct desk *d)
{
    if (d->pumping)
        return;
    d->pumping = true;
    skep_post(d->ask->module, d->loop, pump, d, NULL);
}

static void on_reply(const struct skep_http_reply *reply, void *arg)
{
    struct flight *f = arg;
    struct desk *d = f->desk;
    struct ask *a = d->ask;
    struct answer *answer = read_reply(a, reply);
    bool good = answer && answer->verdict != SKEP_ERROR;

    d->running--;
    if (!f->dry)
        count(a, reply, answer);
    if (breaker_report(&f->memory->breaker, f->ticket, backend_worked(reply), skep_now_ms()))
        ask_tell_breaker(a);
    if (good) {
        if (!f->dry)
            remember(f, answer);
        flight_end(f, answer);
    } else {
        complain(a, reply, answer);
        flight_fail(f);
    }
    answer_unref(answer);
    start_queued(d);
}

/* False: it could not be sent, and is still there. */
static bool flight_send(struct flight *f)
{
    struct desk *d = f->desk;
    struct ask *a = d->ask;
    const struct ask_conf *c = a->conf;
    struct skep_http_request *ask = &f->rendered.ask;

    if (!breaker_ask(&f->memory->breaker, skep_now_ms(), &f->ticket)) {
        skep_counter_add(a->shortcuts[SHORT_OPEN], 1);
        return false;
    }
    ask->timeout_ms = c->timeout;
    ask->max_per_host = (uint16_t)c->connections;
    ask->max_reply = c->max_answer;
    ask->ca = c->ca;
    ask->certificate = c->certificate;
    ask->key = c->key;
    ask->insecure = !c->verify;
    ask->bearer = c->bearer.value;
    ask->username = skep_str(c->user);
    ask->password = c->password.value;
    if (!skep_http_send(a->module, ask, on_reply, f)) {
        breaker_withdraw(&f->memory->breaker, f->ticket, skep_now_ms());
        skep_log(a->module, SKEP_LOG_WARN, "%s: a request that makes no sense", c->url);
        return false;
    }
    rendered_fini(&f->rendered); /* a copy is under way; a password needs not stay here */
    d->running++;
    d->burst++;
    pump_later(d); /* the next turn has a burst of its own */
    return true;
}

static void queue_put(struct desk *d, struct flight *f)
{
    *d->last = f;
    d->last = &f->queued;
    d->queued++;
}

static struct flight *queue_take(struct desk *d)
{
    struct flight *f = d->first;

    if (!(d->first = f->queued))
        d->last = &d->first;
    f->queued = NULL;
    d->queued--;
    return f;
}

static bool may_send(const struct desk *d)
{
    return d->running < d->ask->conf->connections && d->burst < DESK_BURST;
}

/* One that nobody waits for any more is not asked at all. */
static void start_queued(struct desk *d)
{
    while (d->first && may_send(d)) {
        struct flight *f = queue_take(d);
        if (!f->waiters)
            flight_end(f, NULL);
        else if (!flight_send(f))
            flight_fail(f);
    }
}

static void join(struct flight *f, struct waiter *w, bool dry)
{
    f->dry = f->dry && dry;
    w->next = f->waiters;
    if (w->next)
        w->next->link = &w->next;
    w->link = &f->waiters;
    f->waiters = w;
}

static struct flight *flight_new(struct desk *d, const unsigned char *key,
                                 struct rendered *rendered, bool dry)
{
    struct flight *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    f->desk = d;
    f->dry = dry;
    f->memory = memory_ref(ask_memory(d->ask));
    f->rendered = *rendered;
    *rendered = (struct rendered){0};
    memcpy(f->key, key, QUESTION_KEY);
    f->chain = *bucket_of(d, key);
    *bucket_of(d, key) = f;
    return f;
}

void desk_ask(struct desk *d, struct waiter *w, const unsigned char key[QUESTION_KEY],
              struct rendered *rendered, bool dry)
{
    struct flight *f = find(d, key);

    if (f) {
        if (!dry)
            skep_counter_add(d->ask->shortcuts[SHORT_JOINED], 1);
        join(f, w, dry);
        return;
    }
    if (!(f = flight_new(d, key, rendered, dry))) {
        skep_complete(w->token, w);
        return;
    }
    join(f, w, dry);
    if (d->first || !may_send(d)) /* begun by a reply, or by the next turn */
        queue_put(d, f);
    else if (!flight_send(f))
        flight_fail(f);
}

void waiter_free(struct waiter *w)
{
    if (w->link) {
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
    }
    skep_gauge_add(w->ask->waiting, -1);
    answer_unref(w->answer);
    free(w);
}

void desk_fini(struct desk *d)
{
    for (unsigned i = 0; i < DESK_BUCKETS; i++) {
        while (d->flights[i]) {
            struct flight *f = d->flights[i];
            d->flights[i] = f->chain;
            flight_free(f);
        }
    }
}
