/* Opening, limits, TLS reload, and the life of a listener.
 *
 * References: one for whoever opened it, one for each connection (so `refs - open` is the
 * number of connections).  The socket and its watch belong to the accepting loop. */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/mem.h"
#include "net/addr.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"
#include "net/tls_context.h"
#include "net/ws_head.h"

enum {
    DEFAULT_BACKLOG = 4096,
    DEFAULT_HANDSHAKE_MS = 10000,
    DEFAULT_WS_HEAD = 8192,
};

bool listener_is_unix(const struct listener *l)
{
    return l->bound.any.sa_family == AF_UNIX;
}

const char *listener_name(const struct listener *l)
{
    return l->name;
}

void *listener_user(const struct listener *l)
{
    return l->user;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

uint16_t listener_port(const struct listener *l)
{
    if (l->bound.any.sa_family == AF_INET)
        return ntohs(l->bound.v4.sin_port);
    return l->bound.any.sa_family == AF_INET6 ? ntohs(l->bound.v6.sin6_port) : 0;
}

void listener_stats(const struct listener *l, struct listen_stats *out)
{
    *out = (struct listen_stats){
        .accepted = atomic_load(&l->accepted),
        .refused_limit = atomic_load(&l->refused_limit),
        .refused_rate = atomic_load(&l->refused_rate),
        .refused_source = atomic_load(&l->refused_source),
        .refused_descriptors = atomic_load(&l->refused_descriptors),
        .failed_handshakes = atomic_load(&l->failed_handshakes),
        .connections = atomic_load(&l->connections),
    };
}

void listener_count_failed(struct listener *l)
{
    listener_bump(&l->failed_handshakes);
}

enum listen_proxy listener_proxy(const struct listener *l)
{
    return l->proxy;
}

const struct ws_rules *listener_ws_rules(const struct listener *l)
{
    return l->websocket ? &l->ws_rules : NULL;
}

size_t listener_ws_max_head(const struct listener *l)
{
    return l->ws_max_head;
}

uint32_t listener_handshake_ms(const struct listener *l)
{
    return atomic_load_explicit(&l->handshake_timeout_ms, memory_order_relaxed);
}

struct tls_context *listener_tls(struct listener *l)
{
    lock_take(&l->tls_lock);
    struct tls_context *tls = l->tls ? tls_context_ref(l->tls) : NULL;
    lock_drop(&l->tls_lock);
    return tls;
}

static void listener_unref(struct listener *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    tls_context_unref(&l->tls);
    free(l->proxy_sources);
    free((char *)l->ws_rules.path.ptr);
    for (size_t i = 0; i < l->ws_rules.origins.count; i++)
        free((char *)l->ws_rules.origins.items[i]);
    free((void *)l->ws_rules.origins.items);
    l->magic = 0;
    free(l->name);
    free(l);
}

void listener_conn_gone(struct listener *l)
{
    atomic_fetch_sub(&l->connections, 1);
    listener_unref(l);
}

/* Opening */

static int say(char *err, size_t errlen, const struct listen_conf *conf, const char *what)
{
    int saved = errno;
    snprintf(err, errlen, "%s: %s: %s", conf->address, what, strerror(saved));
    errno = saved;
    return ERR_SYSTEM;
}

/* A socket file that nobody answers is left over from a crash.  One that somebody answers,
 * or a file that is no socket, stays, and bind() will complain. */
static void remove_stale(const struct addr *a)
{
    struct stat st;
    if (lstat(a->local.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, &a->any, a->len) < 0 && errno == ECONNREFUSED)
        unlink(a->local.sun_path);
    close(fd);
}

/* The mode is set before anybody can connect: bound, but not listening yet. */
static int prepare_unix(const struct listen_conf *conf, const char *path, char *err, size_t errlen)
{
    if (chmod(path, conf->unix_mode ? conf->unix_mode : 0660) < 0)
        return say(err, errlen, conf, "setting the mode");
    bool chown_wanted = conf->unix_uid != (uid_t)-1 || conf->unix_gid != (gid_t)-1;
    if (chown_wanted && chown(path, conf->unix_uid, conf->unix_gid) < 0)
        return say(err, errlen, conf, "setting the owner");
    return 0;
}

static int take_over(struct listener *l, const struct listen_conf *conf, char *err, size_t errlen)
{
    struct listener *old = conf->replaces;

    l->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
    if (l->fd < 0)
        return say(err, errlen, conf, "taking over the socket");
    l->bound = old->bound;
    l->replaced = old;
    old->heir = l;
    return 0;
}

static int bind_socket(struct listener *l, const struct listen_conf *conf, char *err, size_t errlen)
{
    struct addr *a = &l->bound;
    bool local = a->any.sa_family == AF_UNIX;
    int on = 1;

    l->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return say(err, errlen, conf, "making a socket");
    if (local)
        remove_stale(a);
    else
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->any.sa_family == AF_INET6) {
        int only = conf->v6_only;
        setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    if (bind(l->fd, &a->any, a->len) < 0) {
        a->len = 0; /* the path is not ours to remove */
        return say(err, errlen, conf, "binding");
    }
    if (local && prepare_unix(conf, a->local.sun_path, err, errlen) < 0)
        return ERR_SYSTEM;
    if (!local) { /* accepted sockets inherit both, which saves two calls for each */
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (conf->keepalive)
            setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (listen(l->fd, conf->backlog ? conf->backlog : DEFAULT_BACKLOG) < 0)
        return say(err, errlen, conf, "listening");
    if (!local) {
        socklen_t len = sizeof l->bound.v6;
        getsockname(l->fd, &a->any, &len);
    }
    return 0;
}

/* The context's complaint, with the listener in front. */
static int make_tls(struct tls_context **out, const struct listen_conf *conf, char *err,
                    size_t errlen)
{
    char why[512];
    int result = tls_context_new(out, &conf->tls_conf, why, sizeof why);
    if (result < 0)
        snprintf(err, errlen, "listener %s: %s", conf->name ? conf->name : conf->address, why);
    return result;
}

int listener_check_tls(const struct listen_conf *conf, char *err, size_t errlen)
{
    struct tls_context *tls = NULL;
    int result = make_tls(&tls, conf, err, errlen);
    tls_context_unref(&tls);
    return result;
}

int listener_reload_tls(struct listener *l, const struct listen_conf *conf, char *err,
                        size_t errlen)
{
    struct tls_context *fresh;
    int result = make_tls(&fresh, conf, err, errlen);
    if (result < 0)
        return result;
    lock_take(&l->tls_lock);
    struct tls_context *old = l->tls;
    if (old)
        l->tls = fresh;
    lock_drop(&l->tls_lock);
    if (!old) {
        tls_context_unref(&fresh);
        snprintf(err, errlen, "listener %s does not speak TLS; this needs a restart", l->name);
        return ERR_INVALID;
    }
    tls_context_unref(&old);
    return 0;
}

static void write_address(struct listener *l)
{
    if (listener_is_unix(l))
        snprintf(l->address, sizeof l->address, "unix:%s", l->bound.local.sun_path);
    else
        addr_text(&l->bound.any, l->address, sizeof l->address);
}

static void set_limits(struct listener *l, const struct listen_conf *conf)
{
    atomic_store(&l->max_connections, conf->max_connections);
    atomic_store(&l->connect_rate, conf->connect_rate);
    atomic_store(&l->handshake_timeout_ms,
                 conf->handshake_timeout_ms ? conf->handshake_timeout_ms : DEFAULT_HANDSHAKE_MS);
}

void listener_set_limits(struct listener *l, const struct listen_conf *conf)
{
    set_limits(l, conf);
}

static void start_on_loop(struct loop *loop, void *arg)
{
    struct listener *l = arg;
    l->tokens = atomic_load(&l->connect_rate);
    l->tokens_at_ms = loop->now_ms;
    if (loop_watch_start(&l->watch, loop, l->fd, LOOP_READ, listener_accept, l) < 0)
        l->watch = NULL;
}

static void stop_on_loop(struct loop *loop, void *arg)
{
    struct listener *l = arg;
    loop_watch_stop(&l->watch);
    wheel_cancel(&loop->wheel, &l->rest);
    if (l->fd >= 0)
        close(l->fd);
    if (l->spare_fd >= 0)
        close(l->spare_fd);
    l->fd = l->spare_fd = -1;
    /* While two share the socket its file belongs to whoever lives longer. */
    if (listener_is_unix(l) && l->bound.len > 0 && !l->heir && !l->replaced)
        unlink(l->bound.local.sun_path);
    if (l->heir)
        l->heir->replaced = NULL;
    if (l->replaced)
        l->replaced->heir = NULL;
}

static uint64_t shape_text(uint64_t h, const char *text)
{
    return text ? hash_bytes_with(h, text, strlen(text) + 1) : h + 1;
}

static uint64_t shape_of(const struct listen_conf *conf)
{
    uint64_t h = shape_text(conf->tls ? 2 : 1, conf->websocket ? "ws" : "");

    if (conf->websocket) {
        h = shape_text(h, conf->ws_path ? conf->ws_path : "/mqtt");
        for (size_t i = 0; i < conf->ws_origins.count; i++)
            h = shape_text(h, conf->ws_origins.items[i]);
        h += conf->ws_max_head ? conf->ws_max_head : DEFAULT_WS_HEAD;
    }
    h = shape_text(h, conf->keepalive ? "k" : "");
    if (conf->proxy != LISTEN_PROXY_OFF) {
        h = shape_text(h + conf->proxy, "proxy");
        for (size_t i = 0; i < conf->proxy_sources.count; i++)
            h = shape_text(h, conf->proxy_sources.items[i]);
    }
    return h;
}

bool listener_differs(const struct listener *l, const struct listen_conf *conf)
{
    return l->shape != shape_of(conf);
}

static struct listener *listener_new(const struct listen_conf *conf, struct loop *const *loops,
                                     unsigned nloops)
{
    struct listener *l = xcalloc(1, sizeof *l + nloops * sizeof l->loops[0]);

    l->magic = LISTENER_MAGIC;
    atomic_store(&l->refs, 1);
    l->name = str_dup(str_of(conf->name ? conf->name : conf->address));
    l->shape = shape_of(conf);
    l->handler = conf->handler;
    l->user = conf->user;
    l->fd = l->spare_fd = -1;
    l->home = loops[0];
    l->rest.kind = LOOP_WHEEL_LISTENER;
    l->nloops = nloops;
    memcpy(l->loops, loops, nloops * sizeof loops[0]);
    set_limits(l, conf);
    return l;
}

static int set_proxy(struct listener *l, const struct listen_conf *conf, char *err, size_t errlen)
{
    l->proxy = conf->proxy;
    if (conf->proxy == LISTEN_PROXY_OFF)
        return 0;
    l->proxy_sources = xcalloc(conf->proxy_sources.count, sizeof *l->proxy_sources);
    for (; l->proxy_source_count < conf->proxy_sources.count; l->proxy_source_count++) {
        const char *text = conf->proxy_sources.items[l->proxy_source_count];
        if (cidr_parse(&l->proxy_sources[l->proxy_source_count], text) < 0) {
            snprintf(err, errlen, "'%s' is not an address block: write 10.0.0.0/8 or 2001:db8::/32",
                     text);
            return ERR_SYNTAX;
        }
    }
    return 0;
}

static void set_websocket(struct listener *l, const struct listen_conf *conf)
{
    size_t count = conf->ws_origins.count;

    l->websocket = conf->websocket;
    l->ws_max_head = conf->ws_max_head ? conf->ws_max_head : DEFAULT_WS_HEAD;
    if (!conf->websocket)
        return;
    l->ws_rules.path.ptr = str_dup(str_of(conf->ws_path ? conf->ws_path : "/mqtt"));
    l->ws_rules.path.len = strlen(l->ws_rules.path.ptr);
    const char **copies = xcalloc(count, sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copies[i] = str_dup(str_of(conf->ws_origins.items[i]));
    l->ws_rules.origins = (struct listen_strings){copies, count};
}

int listener_open(struct listener **out, const struct listen_conf *conf, struct loop *const *loops,
                  unsigned nloops, char *err, size_t errlen)
{
    ASSERT(nloops > 0 && conf->handler);
    struct listener *l = listener_new(conf, loops, nloops);
    char why[160];
    int result;

    if ((result = addr_parse(&l->bound, conf->address, why, sizeof why)) < 0) {
        snprintf(err, errlen, "%s", why);
        goto fail;
    }
    if (conf->tls && (result = make_tls(&l->tls, conf, err, errlen)) < 0)
        goto fail;
    if ((result = set_proxy(l, conf, err, errlen)) < 0)
        goto fail;
    set_websocket(l, conf);
    result = conf->replaces ? take_over(l, conf, err, errlen) : bind_socket(l, conf, err, errlen);
    if (result < 0)
        goto fail;
    write_address(l);
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    loop_call(l->home, start_on_loop, l);
    if (!l->watch) {
        result = say(err, errlen, conf, "watching the socket");
        goto fail;
    }
    *out = l;
    return 0;
fail:
    listener_close(&l);
    return result;
}

void listener_close(struct listener **lp)
{
    struct listener *l = *lp;
    if (!l)
        return;
    *lp = NULL;
    loop_call(l->home, stop_on_loop, l);
    listener_unref(l);
}
