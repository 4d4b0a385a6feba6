/* Inside the HTTP server.  Everything here is the management loop's.
 *
 * Connections, TLS, Unix sockets and limits are those of net/listen.h; the server adds HTTP/1.1:
 *
 *     HEAD ──> BODY ──> ANSWERING ──> (SENDING) ──> HEAD ...
 *
 * While a request is answered its connection is paused.  The module owns an exchange until it
 * answers; whether there still is a connection to answer on is the exchange's business. */
#ifndef SKEP_HOST_HTTP_SERVER_H
#define SKEP_HOST_HTTP_SERVER_H

#include <skep/http.h>

#include "base/arena.h"
#include "host/http_parse.h"
#include "host/instance.h"
#include "host/timer.h"
#include "net/conn.h"

enum {
    HTTP_SERVER_CONNECTIONS = 1000,
    HTTP_SERVER_BODY = 1 << 20,
    HTTP_SERVER_IDLE_MS = 60000,
    HTTP_SERVER_LINGER_MS = 2000,
};

struct http_route {
    struct http_route *next;
    char *method; /* NULL: any */
    char *path;
    void (*fn)(struct skep_http_exchange *x, void *arg);
    void *arg;
};

struct skep_http_server {
    struct skep_http_server *next, **link;           /* the module's */
    struct skep_http_server *next_open, **open_link; /* all of the host */
    struct skep_module *module;
    struct listener *listener; /* NULL: another one has taken it over */
    char *asked, *address;
    struct http_route *routes;
    struct http_conn *conns;
    uint32_t max_body, idle_ms;
    bool tls;
};

enum http_conn_state { HTTP_HEAD, HTTP_BODY, HTTP_ANSWERING, HTTP_SENDING };

struct http_conn {
    struct http_conn *next, **link;  /* the server's */
    struct skep_http_server *server; /* valid in HTTP_HEAD and HTTP_BODY only */
    struct host_place *place;
    struct conn *conn;
    uint32_t idle_ms;
    enum http_conn_state state;
    size_t looked;                       /* of the head */
    struct skep_http_exchange *exchange; /* from HTTP_BODY on, until it is answered */
    struct http_chunks chunks;
    struct host_timer deadline;
    bool last; /* the connection ends behind this answer */
};

struct skep_http_exchange {
    struct skep_http_exchange *next, **link; /* of the module's, once its function was called */
    struct skep_module *module;
    struct http_conn *conn; /* NULL: the client left */
    struct arena arena;     /* everything below lives there, but for the body */
    struct http_head head;
    struct str path;
    char *body;
    size_t body_len, body_cap;
    char peer[CONN_ADDR_MAX];
    struct http_field {
        struct http_field *next;
        const char *name, *value;
    } * fields; /* of the answer */
};

/* http_conn.c */
extern const struct conn_handler http_conn_handler;
/* Puts it into its server's list. */
void http_conn_list(struct http_conn *c);
/* No request is waited for any more: what is idle ends, what is being answered ends behind it. */
void http_conns_retire(struct skep_http_server *s);
/* Sends an answer; the exchange is not the connection's any more. */
void http_conn_answer(struct http_conn *c, struct skep_http_exchange *x, unsigned status,
                      const char *content_type, struct str body);

/* http_server.c: gives it to a module, or answers itself. */
void http_dispatch(struct http_conn *c, struct skep_http_exchange *x);
/* The open server that owns the listener; NULL: none any more. */
struct skep_http_server *http_server_of(struct host *h, const struct listener *l);

/* http_exchange.c */
struct skep_http_exchange *http_exchange_new(struct http_conn *c, struct str head,
                                             const struct http_head *parsed);
/* False: above the limit. */
bool http_exchange_add_body(struct skep_http_exchange *x, struct str more, size_t most);
/* Not in the module's list. */
void http_exchange_free(struct skep_http_exchange *x);
void http_exchange_plain(struct skep_http_exchange *x, unsigned status, const char *text);

#endif
