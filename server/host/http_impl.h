/* Inside the HTTP client.
 *
 *     exchange   what a module asked for: a callback, a number, a deadline
 *     flight     what is asked of the server: a curl handle and one or more exchanges that wait for
 *                it (single flight)
 *     origin     scheme://host:port, with the flights that run and those that queue for it
 *
 *     queued ──> flying ──> landed
 *
 * A flight that no exchange waits for any more is called off.  The deadline is the exchange's: time
 * in the queue counts, and one that joined a flight late keeps its own. */
#ifndef SKEP_HOST_HTTP_IMPL_H
#define SKEP_HOST_HTTP_IMPL_H

#include <curl/curl.h>

#include "host/http.h"
#include "host/timer.h"
#include "net/loop.h"

enum {
    HTTP_EXCHANGES = 1024, /* buckets */
    HTTP_ORIGINS = 64,
    HTTP_FLIGHTS = 256,
    HTTP_HEADERS_MAX = 65536, /* bytes of a reply's head */
    HTTP_DEFAULT_TIMEOUT_MS = 10000,
    HTTP_DEFAULT_PER_HOST = 32,
    HTTP_DEFAULT_REPLY = 1 << 20,
    HTTP_IDLE_CONNECTIONS = 256, /* kept by a loop, to all hosts */
    HTTP_PENDING_MAX = 65536,    /* exchanges of a place */
};

struct http_bytes {
    char *ptr;
    size_t len, cap;
};

struct flight {
    struct skep_http_request ask; /* its parts in `packed`, terminated */
    char *packed;
    size_t packed_len;
    CURL *easy; /* NULL until it flies */
    struct curl_slist *headers;
    struct skep_module *module; /* a key is the module's own; held by its exchanges */
    struct host_http *http;     /* NULL until it is on its loop */
    struct exchange *exchanges;
    const char *key; /* NULL: nobody may join */
    size_t key_len;
    struct flight *next_keyed, **keyed_link;

    char *origin_name;
    struct origin *origin;
    struct flight *next_queued, **queued_link; /* link NULL: not in the queue */
    bool flying, refused, landing;
    uint16_t max_per_host;

    uint32_t max_reply;
    bool reply_too_large, head_too_large;
    struct http_bytes head, body;
    char error[CURL_ERROR_SIZE];
};

struct exchange {
    struct loop_task task; /* from a thread that is no loop's */
    uint64_t number;
    struct skep_module *module;
    struct host_place *place;
    struct flight *flight;
    struct exchange *next_in_flight, **flight_link;
    struct exchange *next, **link; /* by number */
    struct host_timer deadline;
    uint32_t timeout_ms;
    uint64_t began_ms;
    skep_http_done_fn *done;
    void *arg;
};

struct origin {
    struct origin *next;
    char *name;
    unsigned flying;
    struct flight *first, **last; /* queued */
};

/* Of one place. */
struct host_http {
    struct host_place *place;
    CURLM *multi;
    struct host_timer timer; /* curl's */
    struct loop_task kick;   /* curl wants to run at once */
    bool kicked, stopped;
    unsigned pending; /* exchanges */
    struct exchange *exchanges[HTTP_EXCHANGES];
    struct flight *flights[HTTP_FLIGHTS]; /* those with a key */
    struct origin *origins[HTTP_ORIGINS];
};

/* http_request.c.  The request with zeros for what an older module's struct does not have. */
struct skep_http_request http_request_whole(const struct skep_http_request *ask);
/* A flight that asks for this, copied; NULL: it makes no sense.  r is whole.  Any thread. */
struct flight *flight_new(const struct skep_http_request *r);
void flight_free(struct flight *f);

/* http_easy.c: the flight's curl handle, or NULL. */
CURL *http_easy_new(struct flight *f);

/* http_curl.c: a place's multi handle. */
struct host_http *http_place_open(struct host_place *p);
/* The flight begins; false: curl refused. */
bool http_take_off(struct host_http *http, struct flight *f);
/* Calls it off. */
void http_abort(struct host_http *http, struct flight *f);
/* No flight is in the air: frees it, at once or when its last task ran. */
void http_place_close(struct host_http *http);

/* http.c, called by http_curl.c: the flight is over and the multi handle has let go of it. */
void http_landed(struct flight *f, CURLcode result);

/* http_count.c: figures of a module. */
void http_count_request(struct skep_module *m);
void http_count_reply(struct skep_module *m, const struct skep_http_reply *reply);

#endif
