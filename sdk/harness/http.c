/* The transport of the HTTP client without a network: answers come from a table that the test
 * fills.
 *
 * host/http.c is the broker's: flights that several exchanges share, queues for each host,
 * deadlines. What is replaced is host/http_curl.c, where a flight meets curl; flight_new() and
 * flight_free() pass through here (--wrap) so that requests can be kept for the test to look at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/http_impl.h"
#include "host/timer.h"
#include "made.h"
#include "world.h"

struct header {
    struct header *next;
    char *name, *value;
};

struct answer {
    struct answer *next;
    char *url, *body;
    unsigned status;
    uint32_t delay_ms;
    struct header *headers;
};

/* A flight of host/http.c, as long as it lives. */
struct voyage {
    struct voyage *next;
    struct flight *flight;
    struct made *made; /* ours until it takes off; then the list's */
    struct answer *answer;
    struct host_timer timer;
    struct loop_task task; /* instead, when the answer takes no time */
    bool posted;
    struct host_place *place;
};

static struct {
    struct answer *answers;
    struct voyage *voyages;
} http;

/* -- Answers -- */

static size_t url_length(const char *url)
{
    return strcspn(url, "?#");
}

static struct answer *answer_find(const char *url)
{
    size_t len = url_length(url);

    for (struct answer *a = http.answers; a; a = a->next) {
        if (strlen(a->url) == len && memcmp(a->url, url, len) == 0)
            return a;
    }
    return NULL;
}

static void headers_free(struct header **headers)
{
    while (*headers) {
        struct header *h = *headers;
        *headers = h->next;
        free(h->name);
        free(h->value);
        free(h);
    }
}

void world_http_set(const char *url, unsigned status, const char *body)
{
    struct answer *a = answer_find(url);

    if (!a) {
        a = xcalloc(1, sizeof *a);
        a->url = str_dup((struct str){url, url_length(url)});
        a->next = http.answers;
        http.answers = a;
    }
    headers_free(&a->headers);
    free(a->body);
    a->body = str_dup(str_of(body ? body : ""));
    a->status = status;
    a->delay_ms = 0;
}

bool world_http_delay(const char *url, uint32_t ms)
{
    struct answer *a = answer_find(url);

    if (a)
        a->delay_ms = ms;
    return a;
}

bool world_http_header(const char *url, const char *name, const char *value)
{
    struct answer *a = answer_find(url);

    if (!a)
        return false;
    struct header *h = xcalloc(1, sizeof *h);
    h->name = str_dup(str_of(name));
    h->value = str_dup(str_of(value));
    h->next = a->headers;
    a->headers = h;
    return true;
}

void world_http_reset(void)
{
    while (http.answers) {
        struct answer *a = http.answers;
        http.answers = a->next;
        headers_free(&a->headers);
        free(a->url);
        free(a->body);
        free(a);
    }
    made_reset();
}

void world_http_abandon(void)
{
    http.voyages = NULL;
    world_http_reset();
}

/* -- Voyages -- */

struct flight *__real_flight_new(const struct skep_http_request *ask);
struct flight *__wrap_flight_new(const struct skep_http_request *ask);
void __real_flight_free(struct flight *f);
void __wrap_flight_free(struct flight *f);
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, long *out);

static void timer_lands(struct host_timer *timer);
static void task_lands(struct loop_task *task, struct loop *l);

static struct voyage *voyage_of(const struct flight *f)
{
    struct voyage *v = http.voyages;

    while (v && v->flight != f)
        v = v->next;
    return v;
}

struct flight *__wrap_flight_new(const struct skep_http_request *ask)
{
    struct flight *f = __real_flight_new(ask);

    if (!f)
        return NULL;
    struct voyage *v = xcalloc(1, sizeof *v);
    v->flight = f;
    v->made = made_new(ask);
    v->timer.fn = timer_lands;
    v->task.run = task_lands;
    v->next = http.voyages;
    http.voyages = v;
    return f;
}

void __wrap_flight_free(struct flight *f)
{
    struct voyage **at = &http.voyages, *v = voyage_of(f);

    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    if (v->place)
        host_timer_cancel(v->place, &v->timer);
    else
        made_free(v->made);
    v->flight = NULL;
    if (!v->posted)
        free(v);
    __real_flight_free(f);
}

/* All that host/http.c asks curl for is the status. */
CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, long *out)
{
    ASSERT(info == CURLINFO_RESPONSE_CODE);
    for (const struct voyage *v = http.voyages; v; v = v->next) {
        if (v->flight->easy == easy)
            *out = (long)v->answer->status;
    }
    return CURLE_OK;
}

static void bytes_put(struct http_bytes *b, const char *text)
{
    size_t len = strlen(text);

    b->ptr = xrealloc(b->ptr, b->len + len + 1);
    memcpy(b->ptr + b->len, text, len + 1);
    b->len += len;
    b->cap = b->len + 1;
}

static void put_head(struct flight *f, const struct answer *a)
{
    char line[64];

    snprintf(line, sizeof line, "HTTP/1.1 %u\r\n", a->status);
    bytes_put(&f->head, line);
    for (const struct header *h = a->headers; h; h = h->next) {
        bytes_put(&f->head, h->name);
        bytes_put(&f->head, ": ");
        bytes_put(&f->head, h->value);
        bytes_put(&f->head, "\r\n");
    }
}

static void land(struct voyage *v)
{
    struct flight *f = v->flight;
    const struct answer *a = v->answer;
    CURLcode result = CURLE_OK;

    if (!a || a->status == 0) {
        snprintf(f->error, sizeof f->error, "%s",
                 !a           ? "the test has set no answer for this URL"
                 : a->body[0] ? a->body
                              : "connection refused");
        result = CURLE_COULDNT_CONNECT;
    } else if (strlen(a->body) > f->max_reply) {
        f->reply_too_large = true;
        result = CURLE_WRITE_ERROR;
    } else {
        put_head(f, a);
        bytes_put(&f->body, a->body);
    }
    http_landed(f, result);
}

static void timer_lands(struct host_timer *timer)
{
    land(CONTAINER_OF(timer, struct voyage, timer));
}

static void task_lands(struct loop_task *task, struct loop *l)
{
    struct voyage *v = CONTAINER_OF(task, struct voyage, task);

    v->posted = false;
    if (v->flight)
        land(v);
    else
        free(v); /* it was called off meanwhile */
}

/* -- host/http_impl.h: what http_curl.c has -- */

struct host_http *http_place_open(struct host_place *p)
{
    struct host_http *h = xcalloc(1, sizeof *h);

    h->place = p;
    return h;
}

void http_place_close(struct host_http *h)
{
    free(h);
}

bool http_take_off(struct host_http *h, struct flight *f)
{
    struct voyage *v = voyage_of(f);

    v->place = h->place;
    v->answer = answer_find(made_request(v->made)->url);
    if (!v->answer)
        test_fault("the module asked %s, for which skep_test_http() has set no answer",
                   made_request(v->made)->url);
    made_keep(v->made);
    if (v->answer && v->answer->delay_ms > 0) {
        host_timer_set(v->place, &v->timer, v->answer->delay_ms);
    } else {
        v->posted = true;
        loop_post(v->place->loop, &v->task);
    }
    return true;
}

void http_abort(struct host_http *h, struct flight *f)
{
    host_timer_cancel(h->place, &voyage_of(f)->timer);
}
