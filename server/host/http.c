/* Exchanges, flights and origins; see http_impl.h. */
#include "host/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "host/http_impl.h"
#include "host/services.h"

/* Origins: who may fly now, who queues. */

static struct origin *origin_get(struct host_http *http, const char *name)
{
    struct origin **at = &http->origins[hash_bytes(name, strlen(name)) % HTTP_ORIGINS];

    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    if (!*at) {
        *at = xcalloc(1, sizeof **at);
        (*at)->name = str_dup(str_of(name));
        (*at)->last = &(*at)->first;
    }
    return *at;
}

static void origin_drop_if_idle(struct host_http *http, struct origin *o)
{
    struct origin **at = &http->origins[hash_bytes(o->name, strlen(o->name)) % HTTP_ORIGINS];

    if (o->flying > 0 || o->first)
        return;
    while (*at != o)
        at = &(*at)->next;
    *at = o->next;
    free(o->name);
    free(o);
}

static void queue_put(struct origin *o, struct flight *f)
{
    f->next_queued = NULL;
    f->queued_link = o->last;
    *o->last = f;
    o->last = &f->next_queued;
}

static void queue_cut(struct flight *f)
{
    *f->queued_link = f->next_queued;
    if (f->next_queued)
        f->next_queued->queued_link = f->queued_link;
    else
        f->origin->last = f->queued_link;
    f->queued_link = NULL;
}

/* What cannot take off is told by the exchanges' timers: never from inside http_send(). */
static void take_off(struct flight *f)
{
    f->flying = true;
    f->origin->flying++;
    if (http_take_off(f->http, f))
        return;
    f->refused = true;
    for (struct exchange *x = f->exchanges; x; x = x->next_in_flight)
        host_timer_set(x->place, &x->deadline, 0);
}

/* A place became free: as many of the queue fly as their limits allow. */
static void origin_go_on(struct host_http *http, struct origin *o)
{
    while (o->first && o->flying < o->first->max_per_host) {
        struct flight *f = o->first;
        queue_cut(f);
        take_off(f);
    }
    origin_drop_if_idle(http, o);
}

/* Flights */

static struct flight **key_bucket(struct host_http *http, const char *key, size_t len)
{
    return &http->flights[hash_bytes(key, len) % HTTP_FLIGHTS];
}

static struct flight *flight_find(struct host_http *http, const struct skep_module *m,
                                  const char *key, size_t len)
{
    struct flight *f = key ? *key_bucket(http, key, len) : NULL;

    while (f && !(f->module == m && f->key_len == len && memcmp(f->key, key, len) == 0))
        f = f->next_keyed;
    return f;
}

static void key_put(struct host_http *http, struct flight *f)
{
    struct flight **bucket = key_bucket(http, f->key, f->key_len);

    f->next_keyed = *bucket;
    f->keyed_link = bucket;
    if (f->next_keyed)
        f->next_keyed->keyed_link = &f->next_keyed;
    *bucket = f;
}

static void key_cut(struct flight *f)
{
    if (!f->keyed_link)
        return;
    *f->keyed_link = f->next_keyed;
    if (f->next_keyed)
        f->next_keyed->keyed_link = f->keyed_link;
    f->keyed_link = NULL;
}

static void launch(struct host_http *http, struct flight *f)
{
    f->http = http;
    if (f->key)
        key_put(http, f);
    f->origin = origin_get(http, f->origin_name);
    if (f->origin->flying < f->max_per_host && !f->origin->first)
        take_off(f);
    else
        queue_put(f->origin, f);
}

/* Out of the air or out of the queue; the next one may go. */
static void leave_origin(struct flight *f)
{
    struct origin *o = f->origin;

    if (f->queued_link)
        queue_cut(f);
    if (f->flying)
        o->flying--;
    f->flying = false;
    origin_go_on(f->http, o);
}

/* Nobody waits for it. */
static void call_off(struct flight *f)
{
    key_cut(f);
    if (f->flying && !f->refused)
        http_abort(f->http, f);
    leave_origin(f);
    flight_free(f);
}

/* Exchanges */

static void exchange_join(struct exchange *x, struct flight *f)
{
    x->flight = f;
    x->next_in_flight = f->exchanges;
    x->flight_link = &f->exchanges;
    if (x->next_in_flight)
        x->next_in_flight->flight_link = &x->next_in_flight;
    f->exchanges = x;
}

static void exchange_part(struct exchange *x)
{
    struct flight *f = x->flight;

    x->flight = NULL;
    *x->flight_link = x->next_in_flight;
    if (x->next_in_flight)
        x->next_in_flight->flight_link = x->flight_link;
    if (!f->exchanges && !f->landing)
        call_off(f);
}

static void number_put(struct host_http *http, struct exchange *x)
{
    struct exchange **bucket = &http->exchanges[x->number % HTTP_EXCHANGES];

    x->next = *bucket;
    x->link = bucket;
    if (x->next)
        x->next->link = &x->next;
    *bucket = x;
    http->pending++;
}

static void number_cut(struct exchange *x)
{
    x->place->http->pending--;
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
}

static void exchange_free(struct exchange *x)
{
    instance_release(x->module);
    free(x);
}

/* It is in no flight any more.  The callback may begin and cancel others. */
static void tell(struct exchange *x, struct skep_http_reply *reply)
{
    reply->size = sizeof *reply;
    reply->took_ms = loop_now_ms(x->place->loop) - x->began_ms;
    http_count_reply(x->module, reply);
    struct blame before = blame_begin(x->module, "HTTP reply");
    x->done(reply, x->arg);
    blame_end(before);
    exchange_free(x);
}

static void finish(struct exchange *x, struct skep_http_reply *reply)
{
    number_cut(x);
    host_timer_cancel(x->place, &x->deadline);
    tell(x, reply);
}

static void give_up(struct exchange *x, const char *error, bool timed_out)
{
    struct skep_http_reply reply = {.error = error, .timed_out = timed_out, .body = {"", 0}};

    exchange_part(x);
    finish(x, &reply);
}

static void on_deadline(struct host_timer *timer)
{
    struct exchange *x = CONTAINER_OF(timer, struct exchange, deadline);
    char error[64];

    if (x->flight->refused) {
        give_up(x, "the request cannot be made: out of resources", false);
        return;
    }
    snprintf(error, sizeof error, "no answer within %u ms", x->timeout_ms);
    give_up(x, error, true);
}

static const char *reason(const struct flight *f, CURLcode result)
{
    if (f->reply_too_large)
        return "the reply is too large";
    if (f->head_too_large)
        return "the reply's headers are too large";
    return f->error[0] ? f->error : curl_easy_strerror(result);
}

static struct skep_http_reply reply_of(const struct flight *f, CURLcode result)
{
    struct skep_http_reply reply = {.internal = f, .body = {"", 0}};
    long status = 0;

    if (result != CURLE_OK) {
        reply.error = reason(f, result);
        reply.timed_out = result == CURLE_OPERATION_TIMEDOUT;
        return reply;
    }
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    reply.status = (unsigned)status;
    if (f->body.len)
        reply.body = skep_bytes(f->body.ptr, f->body.len);
    return reply;
}

void http_landed(struct flight *f, CURLcode result)
{
    f->landing = true;
    key_cut(f);
    leave_origin(f);
    while (f->exchanges) {
        struct exchange *x = f->exchanges;
        struct skep_http_reply reply = reply_of(f, result);
        exchange_part(x);
        finish(x, &reply);
    }
    flight_free(f);
}

/* Asking */

static struct host_http *of_place(struct host_place *p)
{
    if (!p->http)
        p->http = http_place_open(p);
    return p->http;
}

/* On its loop.  fresh: not in the air yet, NULL when it joins `f`. */
static void begin(struct exchange *x, struct flight *f, bool fresh)
{
    struct host_http *http = of_place(x->place);

    x->began_ms = loop_now_ms(x->place->loop);
    exchange_join(x, f);
    number_put(http, x);
    host_timer_set(x->place, &x->deadline, x->timeout_ms);
    if (fresh)
        launch(http, f);
}

/* From a thread that is no loop's, or after the end. */
static void arrived(struct loop_task *task, struct loop *l)
{
    struct exchange *x = CONTAINER_OF(task, struct exchange, task);
    struct flight *f = x->flight;

    if (atomic_load(&x->module->host->ending)) {
        struct skep_http_reply reply = {.error = "the broker is ending", .body = {"", 0}};
        flight_free(f);
        x->began_ms = loop_now_ms(l);
        tell(x, &reply);
        return;
    }
    struct flight *same = flight_find(of_place(x->place), x->module, f->key, f->key_len);
    if (same)
        flight_free(f);
    begin(x, same ? same : f, !same);
}

/* A full house refuses at the door; what comes from other threads is let in, for they got their
 * number already, and are few. */
static bool full(struct host_place *p)
{
    return host_here && of_place(p)->pending >= HTTP_PENDING_MAX;
}

static struct exchange *exchange_new(struct host_place *p, struct skep_module *m,
                                     const struct skep_http_request *r, skep_http_done_fn *done,
                                     void *arg)
{
    struct exchange *x = xcalloc(1, sizeof *x);

    x->task.run = arrived;
    x->deadline.fn = on_deadline;
    x->number = atomic_fetch_add(&p->host->http_numbers, 1) + 1;
    x->module = m;
    x->place = p;
    x->timeout_ms = r->timeout_ms ? r->timeout_ms : HTTP_DEFAULT_TIMEOUT_MS;
    x->done = done;
    x->arg = arg;
    instance_hold(m);
    return x;
}

uint64_t http_send(struct host *h, struct skep_module *m, const struct skep_http_request *ask,
                   skep_http_done_fn *done, void *arg)
{
    struct host_place *p = host_place(h);
    struct skep_http_request r = http_request_whole(ask);

    if (atomic_load(&h->ending) || full(p))
        return 0;
    struct flight *joined =
        host_here && r.single_flight.len
            ? flight_find(of_place(p), m, r.single_flight.ptr, r.single_flight.len)
            : NULL;
    struct flight *f = joined ? joined : flight_new(&r);
    if (!f)
        return 0;
    f->module = m;
    struct exchange *x = exchange_new(p, m, &r, done, arg);
    uint64_t number = x->number;
    http_count_request(m);
    if (host_here) {
        begin(x, f, !joined);
    } else {
        x->flight = f;
        loop_post(p->loop, &x->task);
    }
    return number;
}

void http_cancel(struct host *h, uint64_t number)
{
    struct host_http *http = host_here ? host_here->http : NULL;
    struct exchange *x = http ? http->exchanges[number % HTTP_EXCHANGES] : NULL;

    while (x && x->number != number)
        x = x->next;
    if (!x)
        return;
    exchange_part(x);
    number_cut(x);
    host_timer_cancel(x->place, &x->deadline);
    exchange_free(x);
}

void http_stop(struct host_place *p)
{
    struct host_http *http = p->http;

    if (!http)
        return;
    for (size_t i = 0; i < HTTP_EXCHANGES; i++) {
        while (http->exchanges[i])
            give_up(http->exchanges[i], "the broker is ending", false);
    }
    p->http = NULL;
    http_place_close(http);
}
