/* Keys behind a URL.
 *
 * One fetch at a time.  What is there stays in force until a newer set was read in full; a server
 * that fails is tried again with growing pauses.  A token that names an unknown key has them
 * fetched at once, but not more often than every jwks_pause: else anybody could have us ask. */
#include <stdio.h>
#include <stdlib.h>

#include <skep/http.h>
#include <skep/loop.h>

#include "auth_jwt/instance.h"

enum { RETRY_MS = 5000 };

void fetch_init(struct fetch *f)
{
    *f = (struct fetch){0};
    pthread_mutex_init(&f->lock, NULL);
}

void fetch_fini(struct fetch *f)
{
    free(f->waiters);
    pthread_mutex_destroy(&f->lock);
}

/* -- The fetch: on the management loop -- */

static void tell_waiters(struct fetch *f, bool failed)
{
    pthread_mutex_lock(&f->lock);
    struct fetch_waiter *waiters = f->waiters;
    size_t count = f->waiter_count;
    f->waiters = NULL;
    f->waiter_count = f->waiter_cap = 0;
    f->under_way = false;
    f->failed = failed;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < count; i++)
        skep_complete(waiters[i].token, waiters[i].data);
    free(waiters);
}

/* The configured keys and those of the reply; NULL: *why. */
static struct keys *keys_from(struct jwt *j, const struct skep_http_reply *reply, const char **why,
                              unsigned *skipped)
{
    struct keys *k = keys_new();
    size_t before;

    *why = "no memory";
    if (!k || (*why = keys_add_all(k, j->configured)))
        goto fail;
    before = keys_count(k);
    *why = "the server did not answer 200";
    if (reply->status != 200)
        goto fail;
    if ((*why = keys_add_jwks(k, reply->body, j->conf->algorithms, false, skipped)))
        goto fail;
    *why = "no key in it can be used";
    if (keys_count(k) == before)
        goto fail;
    *why = NULL;
    j->fetch.key_count = keys_count(k) - before;
    return k;
fail:
    keys_unref(k);
    return NULL;
}

static void fetch_worked(struct jwt *j, struct keys *keys, unsigned skipped)
{
    struct fetch *f = &j->fetch;

    jwt_set_keys(j, keys);
    f->failures = 0;
    f->fetched_wall_ms = skep_wall_ms();
    skep_counter_add(j->fetches[0], 1);
    skep_alarm_clear(j->module, "jwks");
    if (skipped)
        skep_log(j->module, SKEP_LOG_INFO, "%s: %u keys are left out", j->conf->jwks_url, skipped);
}

static void fetch_failed(struct jwt *j, const char *why)
{
    char text[512];

    snprintf(text, sizeof text, "%s: %s", j->conf->jwks_url, why);
    j->fetch.failures++;
    skep_counter_add(j->fetches[1], 1);
    skep_log(j->module, SKEP_LOG_WARN, "%s", text);
    skep_alarm(j->module, "jwks", text);
}

static void plan_next(struct jwt *j)
{
    struct fetch *f = &j->fetch;
    uint64_t ms = j->conf->jwks_refresh;
    unsigned doubled = f->failures > 6 ? 6 : f->failures ? f->failures - 1 : 0;

    if (f->failures && ms > (uint64_t)RETRY_MS << doubled)
        ms = (uint64_t)RETRY_MS << doubled;
    if (f->timer)
        skep_timer_set(f->timer, ms);
}

static void on_reply(const struct skep_http_reply *reply, void *arg)
{
    struct jwt *j = arg;
    struct fetch *f = &j->fetch;
    const char *why = reply->error;
    unsigned skipped = 0;
    struct keys *keys = why ? NULL : keys_from(j, reply, &why, &skipped);

    if (keys)
        fetch_worked(j, keys, skipped);
    else
        fetch_failed(j, why);
    plan_next(j);
    tell_waiters(f, !keys);
    if (f->warm) {
        struct skep_warm *warm = f->warm;
        f->warm = NULL;
        skep_warm_done(warm, why);
    }
}

static void send_it(void *arg)
{
    struct jwt *j = arg;
    const struct jwt_conf *c = j->conf;
    const struct skep_http_request ask = {
        .size = sizeof ask,
        .timeout_ms = c->jwks_timeout,
        .url = c->jwks_url,
        .bearer = c->jwks_bearer.value,
        .ca = c->jwks_ca,
        .certificate = c->jwks_certificate,
        .key = c->jwks_key,
        .max_reply = KEYS_BYTES,
    };
    const struct skep_http_reply nothing = {.size = sizeof nothing,
                                            .error = "a URL that cannot be asked"};

    if (!skep_http_send(j->module, &ask, on_reply, j))
        on_reply(&nothing, j);
}

void fetch_begin(struct jwt *j)
{
    struct fetch *f = &j->fetch;

    pthread_mutex_lock(&f->lock);
    bool begin = !f->under_way;
    f->under_way = true;
    pthread_mutex_unlock(&f->lock);
    if (begin)
        skep_post(j->module, SKEP_MANAGEMENT, send_it, j, NULL);
}

static void on_timer(void *arg)
{
    fetch_begin(arg);
}

void fetch_start(struct jwt *j)
{
    struct fetch *f = &j->fetch;

    f->timer = skep_timer_new(j->module, on_timer, j);
    if (f->fetched_wall_ms)
        plan_next(j); /* warm */
    else
        fetch_begin(j);
}

/* One that is under way goes on: clients wait for it. */
void fetch_stop(struct jwt *j)
{
    skep_timer_free(j->fetch.timer);
    j->fetch.timer = NULL;
}

void fetch_warm(struct jwt *j, struct skep_warm *warm)
{
    j->fetch.warm = warm;
    fetch_begin(j);
}

/* -- For those who wait: on any loop -- */

static bool too_soon(const struct jwt *j)
{
    const struct fetch *f = &j->fetch;

    return !f->under_way && f->last_forced_ms &&
           skep_now_ms() < f->last_forced_ms + j->conf->jwks_pause;
}

bool fetch_is_too_soon(struct jwt *j)
{
    pthread_mutex_lock(&j->fetch.lock);
    bool yes = too_soon(j);
    pthread_mutex_unlock(&j->fetch.lock);
    return yes;
}

bool fetch_has_failed(struct jwt *j)
{
    pthread_mutex_lock(&j->fetch.lock);
    bool yes = j->fetch.failed;
    pthread_mutex_unlock(&j->fetch.lock);
    return yes;
}

/* Under the lock. */
static bool waiter_add(struct fetch *f, uint64_t token, void *data)
{
    if (f->waiter_count == f->waiter_cap) {
        size_t cap = f->waiter_cap ? f->waiter_cap * 2 : 64;
        struct fetch_waiter *more =
            cap <= 2 * FETCH_WAITERS ? realloc(f->waiters, cap * sizeof *more) : NULL;
        if (!more)
            return false;
        f->waiters = more;
        f->waiter_cap = cap;
    }
    if (f->waiter_count >= FETCH_WAITERS)
        return false;
    f->waiters[f->waiter_count++] = (struct fetch_waiter){token, data};
    return true;
}

enum fetch_answer fetch_for(struct jwt *j, uint64_t token, void *data)
{
    struct fetch *f = &j->fetch;
    enum fetch_answer answer = FETCH_WAIT;
    bool begin = false;

    pthread_mutex_lock(&f->lock);
    if (too_soon(j)) {
        answer = FETCH_TOO_SOON;
    } else if (!waiter_add(f, token, data)) {
        answer = FETCH_FULL;
    } else if (!f->under_way) {
        begin = f->under_way = true;
        f->last_forced_ms = skep_now_ms();
    }
    pthread_mutex_unlock(&f->lock);
    if (begin)
        skep_post(j->module, SKEP_MANAGEMENT, send_it, j, NULL);
    return answer;
}
