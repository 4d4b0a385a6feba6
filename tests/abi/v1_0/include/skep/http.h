/* HTTP: asking servers (libcurl underneath, one multi handle a loop), and serving.
 *
 * Connections are kept alive and shared by all modules on a loop; requests to one host beyond
 * `max_per_host` queue.  Redirects are not followed unless said so. */
#ifndef SKEP_HTTP_H
#define SKEP_HTTP_H

#include <skep/base.h>

SKEP_BEGIN

struct skep_http_header {
    struct skep_str name, value;
};

/* All is copied before the call returns. */
struct skep_http_request {
    uint32_t size;
    uint32_t timeout_ms; /* of the whole exchange; 0: 10 s */
    const char *method;  /* NULL: GET, or POST with a body */
    const char *url;     /* http: or https: */
    struct skep_str body;
    const char *content_type; /* of the body */
    const struct skep_http_header *headers;
    size_t header_count;
    struct skep_str bearer;             /* Authorization: Bearer ... */
    struct skep_str username, password; /* Authorization: Basic ... */
    const char *ca;                     /* PEM file of authorities; NULL: the system's */
    const char *certificate, *key;      /* PEM files, for a server that asks for them */
    bool insecure;                      /* do not verify the server: for tests only */
    uint8_t redirects;                  /* followed at most so many, to http(s) only */
    uint16_t max_per_host;              /* connections of this loop to the host; 0: 32 */
    uint32_t max_reply;                 /* bytes of the body; 0: 1 MiB */
    /* Requests of the module on this loop with the same key that are under way at the same time
     * become one; each keeps its own timeout. */
    struct skep_str single_flight;
    uint64_t reserved[4];
};

/* Borrowed until the callback returns. */
struct skep_http_reply {
    uint32_t size;
    unsigned status;   /* 200, ...; 0: no answer, see error */
    const char *error; /* one line when there was no whole answer, else NULL */
    bool timed_out;
    struct skep_str body; /* terminated behind its length */
    uint64_t took_ms;
    const void *internal;
};

/* A header of the reply, by name without regard to case; empty: not there. */
SKEP_EXPORT struct skep_str skep_http_reply_header(const struct skep_http_reply *reply,
                                                   const char *name);

/* Asks outside of a decision (there: skep_wait_http()).  On a loop; from elsewhere the management
 * loop does it.  done runs on that loop, never before this returned, exactly once unless cancelled.
 * The number is for skep_http_cancel(); 0: the request makes no sense (url; a byte that cannot
 * stand where it is, such as a line end in a header or a colon in a user name) or far too many are
 * under way on this loop (65536), done is not called. */
typedef void skep_http_done_fn(const struct skep_http_reply *reply, void *arg);
SKEP_EXPORT uint64_t skep_http_send(struct skep_module *m, const struct skep_http_request *ask,
                                    skep_http_done_fn *done, void *arg);
/* On the same loop: done will not be called.  No-op when it was. */
SKEP_EXPORT void skep_http_cancel(struct skep_module *m, uint64_t number);

/* Percent-encodes text for a query or form into `out` (terminated) and returns the whole length;
 * when that is `cap` or more, `out` is not complete. */
SKEP_EXPORT size_t skep_url_encode(struct skep_str text, char *out, size_t cap);

/* -- Serving, on the management loop -- */

struct skep_http_listen {
    uint32_t size;
    const char *address;           /* 127.0.0.1:9100, [::1]:9100, unix:/path */
    const char *certificate, *key; /* PEM files: serve HTTPS */
    uint32_t max_body;             /* bytes; 0: 1 MiB */
    uint32_t idle_timeout_ms;      /* 0: 60 s */
    uint64_t reserved[4];
};

struct skep_http_server;
struct skep_http_exchange;

/* Opens the address; from start(), or later on the management loop.  NULL: `why` says in one line
 * what failed.  An address that an instance in the course of being replaced holds is taken over. */
SKEP_EXPORT struct skep_http_server *skep_http_serve(struct skep_module *m,
                                                     const struct skep_http_listen *listen,
                                                     char *why, size_t why_size);
/* The address that is bound: tells the port when it was 0. */
SKEP_EXPORT const char *skep_http_server_address(const struct skep_http_server *s);
/* Exchanges under way are answered with 503.  Management loop; accepts NULL. */
SKEP_EXPORT void skep_http_server_close(struct skep_http_server *s);

/* Requests for a path ("/metrics", or "/static/" with all below it; the longest wins).  method
 * NULL: any.  GET also takes HEAD.  fn answers with skep_http_answer(), now or later, always on the
 * management loop; what nobody serves gets 404 or 405. */
SKEP_EXPORT void skep_http_route(struct skep_http_server *s, const char *method, const char *path,
                                 void (*fn)(struct skep_http_exchange *x, void *arg), void *arg);

/* The request, valid until the exchange ends; the path is without its query. */
SKEP_EXPORT struct skep_str skep_http_method(const struct skep_http_exchange *x);
SKEP_EXPORT struct skep_str skep_http_path(const struct skep_http_exchange *x); /* decoded */
/* A parameter of the query, decoded; false: not there. */
SKEP_EXPORT bool skep_http_query(const struct skep_http_exchange *x, const char *name,
                                 struct skep_str *value);
SKEP_EXPORT struct skep_str skep_http_header(const struct skep_http_exchange *x, const char *name);
SKEP_EXPORT struct skep_str skep_http_body(const struct skep_http_exchange *x);
SKEP_EXPORT struct skep_str skep_http_peer(const struct skep_http_exchange *x);
/* Adds a header to the answer. */
SKEP_EXPORT void skep_http_set_header(struct skep_http_exchange *x, const char *name,
                                      const char *value);
/* Ends the exchange; body is copied.  A client that left meanwhile makes it a no-op. */
SKEP_EXPORT void skep_http_answer(struct skep_http_exchange *x, unsigned status,
                                  const char *content_type, struct skep_str body);

SKEP_END
#endif
