/* <skep/http.h>: servers and their routes.  See http_server.h. */
#include "host/http_server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/api_http_server.h"
#include "host/services.h"
#include "net/listen.h"
#include "net/loop.h"

/* -- Opening -- */

static struct skep_http_listen whole(const struct skep_http_listen *listen)
{
    struct skep_http_listen l = {0};

    memcpy(&l, listen, listen->size < sizeof l ? listen->size : sizeof l);
    return l;
}

/* Who holds the address and is on its way out: an older instance of that name, or any that is out
 * of the chains. */
static struct skep_http_server *predecessor(const struct skep_module *m, const char *address)
{
    size_t len = strlen(address);

    if (len > 2 && strcmp(address + len - 2, ":0") == 0)
        return NULL; /* another port each time */
    for (struct skep_http_server *s = m->host->servers; s; s = s->next_open) {
        bool going = atomic_load(&s->module->going) || atomic_load(&s->module->stopped);
        bool older = s->module != m && strcmp(s->module->name, m->name) == 0;
        if (s->listener && strcmp(s->asked, address) == 0 && (older || going))
            return s;
    }
    return NULL;
}

static int open_listener(struct skep_http_server *s, const struct skep_http_listen *l,
                         struct listener *replaces, char *why, size_t why_size)
{
    struct host *h = s->module->host;
    const struct listen_cert cert = {l->certificate, l->key ? l->key : l->certificate};
    const struct listen_conf conf = {
        .name = s->module->name,
        .address = l->address,
        .unix_uid = (uid_t)-1,
        .unix_gid = (gid_t)-1,
        .tls = l->certificate != NULL,
        .tls_conf = {.certs = &cert, .cert_count = 1, .tickets = true},
        .max_connections = HTTP_SERVER_CONNECTIONS,
        .handler = &http_conn_handler,
        .user = h,
        .replaces = replaces,
    };

    return listener_open(&s->listener, &conf, &h->management, 1, why, why_size);
}

static void server_list(struct skep_http_server *s)
{
    struct module_things *things = &s->module->things;
    struct host *h = s->module->host;

    s->next = things->servers;
    s->link = &things->servers;
    if (s->next)
        s->next->link = &s->next;
    things->servers = s;
    s->next_open = h->servers;
    s->open_link = &h->servers;
    if (s->next_open)
        s->next_open->open_link = &s->next_open;
    h->servers = s;
}

/* Clients do not notice: the next request of each connection is the new server's; what the old one
 * is answering it may finish. */
static void take_connections(struct skep_http_server *s, struct skep_http_server *old)
{
    while (old->conns) {
        struct http_conn *c = old->conns;
        old->conns = c->next;
        if (c->next)
            c->next->link = &old->conns;
        c->server = s;
        c->idle_ms = s->idle_ms;
        http_conn_list(c);
    }
}

/* From plain to TLS or back nobody is taken along: what is idle ends, what is being answered ends
 * behind it. */
static void succeed(struct skep_http_server *s, struct skep_http_server *old)
{
    listener_close(&old->listener);
    if (s->tls == old->tls)
        take_connections(s, old);
    else
        http_conns_retire(old);
}

static void server_free(struct skep_http_server *s)
{
    while (s->routes) {
        struct http_route *r = s->routes;
        s->routes = r->next;
        free(r->method);
        free(r->path);
        free(r);
    }
    free(s->asked);
    free(s->address);
    free(s);
}

static bool on_management(const struct skep_module *m)
{
    return host_here == &m->host->places[m->host->loop_count];
}

struct skep_http_server *skep_http_serve(struct skep_module *m,
                                         const struct skep_http_listen *listen, char *why,
                                         size_t why_size)
{
    struct skep_http_listen l = whole(listen);

    if (!on_management(m) || atomic_load(&m->things.quiet) || !l.address) {
        snprintf(why, why_size, "%s",
                 l.address ? "this is not the management loop" : "there is no address");
        return NULL;
    }
    struct skep_http_server *s = xcalloc(1, sizeof *s);
    struct skep_http_server *old = predecessor(m, l.address);
    s->module = m;
    s->tls = l.certificate != NULL;
    s->max_body = l.max_body ? l.max_body : HTTP_SERVER_BODY;
    s->idle_ms = l.idle_timeout_ms ? l.idle_timeout_ms : HTTP_SERVER_IDLE_MS;
    if (open_listener(s, &l, old ? old->listener : NULL, why, why_size) < 0) {
        free(s);
        return NULL;
    }
    s->asked = str_dup(str_of(l.address));
    s->address = str_dup(str_of(listener_address(s->listener)));
    server_list(s);
    if (old)
        succeed(s, old);
    return s;
}

const char *skep_http_server_address(const struct skep_http_server *s)
{
    return s->address;
}

struct skep_http_server *http_server_of(struct host *h, const struct listener *l)
{
    struct skep_http_server *s = h->servers;

    while (s && s->listener != l)
        s = s->next_open;
    return s;
}

/* -- Closing -- */

static void end_connection(struct http_conn *c)
{
    c->last = true;
    if (c->state == HTTP_ANSWERING && c->exchange)
        http_exchange_plain(c->exchange, 503, "the server is closing");
    else if (!conn_dying(c->conn))
        conn_kill_later(c->conn, CONN_KILLED, HTTP_SERVER_LINGER_MS);
}

/* The network's part; the second time nothing is left to do. */
static void shut(struct skep_http_server *s)
{
    listener_close(&s->listener);
    while (s->conns) {
        struct http_conn *c = s->conns;
        s->conns = c->next;
        if (c->next)
            c->next->link = &s->conns;
        c->next = NULL; /* alone; its end finds itself */
        c->link = &c->next;
        end_connection(c);
    }
    if (s->open_link) {
        *s->open_link = s->next_open;
        if (s->next_open)
            s->next_open->open_link = s->open_link;
        s->open_link = NULL;
    }
}

static void server_drop(struct skep_http_server *s)
{
    shut(s);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    server_free(s);
}

void skep_http_server_close(struct skep_http_server *s)
{
    if (!s)
        return;
    if (on_management(s->module) || atomic_load(&s->module->things.quiet))
        server_drop(s);
    else
        log_error("host", "module %s closes an HTTP server outside of the management loop",
                  s->module->name);
}

void servers_quiesce(struct skep_module *m)
{
    for (struct skep_http_server *s = m->things.servers; s; s = s->next)
        shut(s);
}

unsigned servers_forget(struct skep_module *m)
{
    unsigned count = 0;

    for (; m->things.servers; count++)
        server_drop(m->things.servers);
    while (m->things.exchanges) {
        struct skep_http_exchange *x = m->things.exchanges;
        m->things.exchanges = x->next;
        http_exchange_free(x);
    }
    return count;
}

/* -- Routes -- */

void skep_http_route(struct skep_http_server *s, const char *method, const char *path,
                     void (*fn)(struct skep_http_exchange *x, void *arg), void *arg)
{
    struct http_route *r = xcalloc(1, sizeof *r);

    *r = (struct http_route){.next = s->routes,
                             .method = method ? str_dup(str_of(method)) : NULL,
                             .path = str_dup(str_of(path)),
                             .fn = fn,
                             .arg = arg};
    s->routes = r; /* in front: the same route again replaces the older one */
}

static bool path_matches(const struct http_route *r, struct str path)
{
    struct str route = str_of(r->path);
    bool below = route.len > 0 && route.ptr[route.len - 1] == '/';

    return below ? str_starts(path, route) : str_eq(path, route);
}

static bool method_matches(const struct http_route *r, struct str method)
{
    return !r->method || str_eq(method, str_of(r->method)) ||
           (str_eq(method, STR("HEAD")) && strcmp(r->method, "GET") == 0);
}

/* The longest path that matches, whoever has it. */
static const struct http_route *longest(const struct skep_http_server *s, struct str path)
{
    const struct http_route *best = NULL;

    for (const struct http_route *r = s->routes; r; r = r->next) {
        if (path_matches(r, path) && (!best || strlen(r->path) > strlen(best->path)))
            best = r;
    }
    return best;
}

static const struct http_route *with_method(const struct http_route *r, const char *path,
                                            struct str method)
{
    while (r && !(strcmp(r->path, path) == 0 && method_matches(r, method)))
        r = r->next;
    return r;
}

static void say_allowed(const struct skep_http_server *s, const char *path,
                        struct skep_http_exchange *x)
{
    const char *list = "";

    for (const struct http_route *r = s->routes; r; r = r->next) {
        if (strcmp(r->path, path) == 0)
            list = arena_printf(&x->arena, "%s%s%s%s", list, *list ? ", " : "", r->method,
                                strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
    }
    skep_http_set_header(x, "Allow", list);
}

/* Decoded, and with nothing in it that climbs out of the path it seems to be below. */
static bool decode_path(struct skep_http_exchange *x)
{
    struct str raw = x->head.path;
    char *path = arena_alloc(&x->arena, raw.len + 1);
    size_t len;

    if (!http_decode(raw, false, path, &len) || memchr(path, '\0', len))
        return false;
    path[len] = '\0';
    x->path = (struct str){path, len};
    return !strstr(path, "/../") && !(len >= 3 && strcmp(path + len - 3, "/..") == 0);
}

static void refuse(struct skep_http_exchange *x, unsigned status, const char *why)
{
    http_exchange_plain(x, status, why);
    http_exchange_free(x);
}

static void give(struct skep_http_exchange *x, const struct http_route *r)
{
    struct module_things *things = &x->module->things;
    struct blame before = blame_begin(x->module, "HTTP request");

    x->next = things->exchanges;
    x->link = &things->exchanges;
    if (x->next)
        x->next->link = &x->next;
    things->exchanges = x;
    r->fn(x, r->arg);
    blame_end(before);
}

void http_dispatch(struct http_conn *c, struct skep_http_exchange *x)
{
    const struct skep_http_server *s = c->server;

    x->module = s->module;
    if (!decode_path(x)) {
        refuse(x, 400, "this path makes no sense");
        return;
    }
    const struct http_route *at = longest(s, x->path);
    const struct http_route *r = at ? with_method(s->routes, at->path, x->head.method) : NULL;
    if (r) {
        give(x, r);
    } else if (at) {
        say_allowed(s, at->path, x);
        refuse(x, 405, "this method is not served here");
    } else {
        refuse(x, 404, "nothing is served at this path");
    }
}
