/* The life of a connection: made, run when ready, killed, reaped, lingering. */
#include "net/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"

static const char *const cause_texts[] = {
#define CAUSE_TEXT(name, text) [name] = (text),
    CONN_CAUSE_LIST(CAUSE_TEXT)
#undef CAUSE_TEXT
};

const char *conn_cause_text(enum conn_cause cause)
{
    return (unsigned)cause < ARRAY_LEN(cause_texts) ? cause_texts[cause] : "unknown";
}

size_t conn_size(void)
{
    return sizeof(struct conn);
}

void conn_make_ready(struct conn *c)
{
    if (c->flags & (CONN_READY | CONN_DYING))
        return;
    c->flags |= CONN_READY;
    conn_list_push(&conn_home(c)->ready, c);
}

/* libevent's callback: only notes what happened. */
static void conn_event(int fd, short what, void *arg)
{
    struct conn *c = arg;
    if (what & (EV_READ | EV_CLOSED))
        c->flags |= CONN_READABLE;
    if (what & EV_WRITE)
        c->flags |= CONN_WRITABLE;
    if (what & EV_CLOSED)
        c->flags |= CONN_HANGUP;
    conn_make_ready(c);
}

/* Life */

static struct conn *conn_new(struct loop *l, int fd, uintptr_t origin)
{
    struct conn *c = xcalloc(1, sizeof *c);

    c->magic = CONN_MAGIC;
    c->origin = origin;
    c->loop_index = (uint8_t)l->index;
    c->phase = PHASE_OPEN;
    event_assign(&c->ev, l->base, fd, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST,
                 conn_event, c);
    if (event_add(&c->ev, NULL) < 0) {
        free(c);
        return NULL;
    }
    c->slot = l->conns.count;
    conn_list_push(&l->conns, c);
    counter_add(&l->counters.connections, 1);
    return c;
}

/* The last step.  Nothing else refers to the connection any more. */
static void conn_destroy(struct conn *c)
{
    struct loop *l = conn_home(c);
    int fd = conn_socket(c);

    event_del(&c->ev);
    close(fd);
    sweep_unmark(c);
    l->conns.items[c->slot] = l->conns.items[--l->conns.count];
    l->conns.items[c->slot]->slot = c->slot;
    counter_add(&l->counters.connections, (uint64_t)-1);
    input_free(c);
    residue_free(&c->out);
    phase_free(c);
    if (conn_origin(c))
        listener_conn_gone(conn_origin(c));
    c->magic = 0;
    free(c);
}

struct layer *conn_layer(struct conn *c)
{
    if (!c->layer) {
        c->layer = xcalloc(1, sizeof *c->layer);
        c->layer->conn = c;
        c->layer->timer.kind = LOOP_WHEEL_CONN;
    }
    return c->layer;
}

int conn_adopt(struct conn **out, struct loop *l, int fd, const struct conn_handler *handler,
               void *owner)
{
    struct conn *c = conn_new(l, fd, (uintptr_t)handler | 1);
    if (!c)
        return ERR_SYSTEM;
    int domain = 0;
    socklen_t len = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX)
        c->flags |= CONN_UNIX;
    c->flags |= CONN_UP;
    c->owner = owner;
    *out = c;
    return 0;
}

void conn_accept(struct loop *l, struct listener *listener, int fd)
{
    struct conn *c = conn_new(l, fd, (uintptr_t)listener);
    if (!c) {
        close(fd);
        listener_conn_gone(listener);
        return;
    }
    if (listener_is_unix(listener))
        c->flags |= CONN_UNIX;
    phase_begin(c);
}

/* Running */

/* A reset is noticed even while paused, when nothing may be read.  (libevent does not tell
 * it from readiness.) */
static bool is_reset(const struct conn *c)
{
    struct pollfd p = {.fd = conn_socket(c), .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

static void linger_run(struct conn *c);

void conn_run(struct conn *c)
{
    c->flags &= (uint16_t)~CONN_READY;
    if (c->flags & CONN_DYING)
        return;
    if (c->phase == PHASE_LINGER) {
        linger_run(c);
        return;
    }
    if (c->flags & CONN_WRITABLE) {
        c->flags &= (uint16_t)~CONN_WRITABLE;
        if (atomic_load(&c->blocked)) {
            if (c->phase == PHASE_OPEN)
                conn_handler_of(c)->writable(c, c->owner);
            else
                conn_flush(c);
        }
    }
    if (c->flags & CONN_PAUSED) {
        if (is_reset(c))
            conn_kill(c, CONN_RESET);
        return;
    }
    if (!(c->flags & CONN_DYING) && (c->flags & (CONN_READABLE | CONN_MORE)))
        input_run(c);
}

void conn_timer_fired(void *arg, struct wheel_timer *timer)
{
    struct conn *c = CONTAINER_OF(timer, struct layer, timer)->conn;
    CHECK(c, CONN_MAGIC);
    c->flags &= (uint16_t)~CONN_LATER;
    conn_kill(c, CONN_TIMED_OUT);
}

void conn_pause(struct conn *c)
{
    c->flags |= CONN_PAUSED;
}

void conn_resume(struct conn *c)
{
    if (!(c->flags & CONN_PAUSED))
        return;
    c->flags &= (uint16_t)~CONN_PAUSED;
    if (c->in && c->in->len >= c->in->expect)
        c->flags |= CONN_MORE;
    if (c->flags & (CONN_READABLE | CONN_MORE))
        conn_make_ready(c);
}

bool conn_paused(const struct conn *c)
{
    return c->flags & CONN_PAUSED;
}

/* The end */

bool conn_dying(const struct conn *c)
{
    return c->flags & CONN_DYING;
}

void conn_kill(struct conn *c, enum conn_cause cause)
{
    if (c->flags & CONN_DYING)
        return;
    c->flags |= CONN_DYING;
    c->cause = (uint8_t)cause;
    if (cause == CONN_RESET || cause == CONN_ERROR)
        c->flags |= CONN_BROKEN;
    conn_list_push(&conn_home(c)->dead, c);
}

void conn_kill_later(struct conn *c, enum conn_cause cause, unsigned linger_ms)
{
    if (c->flags & CONN_DYING)
        return;
    conn_layer(c)->linger_ms = linger_ms;
    c->flags |= CONN_LATER;
    conn_kill(c, cause);
}

static void tell_closed(struct conn *c)
{
    if (!(c->flags & CONN_UP)) {
        if (conn_origin(c) && c->phase < PHASE_OPEN)
            listener_count_failed(conn_origin(c));
        return;
    }
    c->flags &= (uint16_t)~CONN_UP;
    conn_handler_of(c)->closed(c, c->owner, c->cause);
    c->owner = NULL;
}

/* The front has let go, so output state is ours alone from here on. */
static void last_flush(struct conn *c)
{
    if ((c->flags & CONN_BROKEN) || c->failed)
        return;
    if (conn_flush(c) == CONN_SENT && c->layer)
        phase_goodbye(c);
}

void conn_abandon(struct conn *c)
{
    if (!(c->flags & CONN_DYING)) {
        c->flags |= CONN_DYING;
        c->cause = CONN_SHUTDOWN;
    }
    tell_closed(c);
    last_flush(c);
    conn_destroy(c);
}

static void linger_begin(struct conn *c)
{
    struct loop *l = conn_home(c);

    c->phase = PHASE_LINGER;
    c->flags &= (uint16_t) ~(CONN_DYING | CONN_LATER | CONN_PAUSED | CONN_MORE);
    c->flags |= CONN_READABLE;
    input_free(c);
    wheel_add(&l->wheel, &c->layer->timer, l->now_ms + c->layer->linger_ms);
    if (!c->out)
        shutdown(conn_socket(c), SHUT_WR);
    conn_make_ready(c);
}

/* Reads and discards, writes what is left; the timer bounds it all. */
static void linger_run(struct conn *c)
{
    bool was_blocked = c->out != NULL;

    c->flags &= (uint16_t)~CONN_WRITABLE;
    if (was_blocked && conn_flush(c) == CONN_SENT) {
        phase_goodbye(c);
        if (!c->out)
            shutdown(conn_socket(c), SHUT_WR);
    }
    size_t n = input_recv(c, conn_home(c)->buffer, LOOP_READ_SIZE);
    if (n > 0 && (c->flags & CONN_READABLE))
        conn_make_ready(c);
}

void conn_reap(struct conn *c)
{
    tell_closed(c);
    last_flush(c);
    bool gone = c->failed || (c->flags & CONN_BROKEN) || c->cause == CONN_PEER_CLOSED;
    if ((c->flags & CONN_LATER) && !gone)
        linger_begin(c);
    else
        conn_destroy(c);
}

/* Facts */

struct loop *conn_loop(const struct conn *c)
{
    return conn_home(c);
}

void *conn_owner(const struct conn *c)
{
    return c->owner;
}

const struct listener *conn_listener(const struct conn *c)
{
    return conn_origin(c);
}

int conn_fd(const struct conn *c)
{
    return conn_socket(c);
}

void loop_each_owner(struct loop *l, void (*fn)(void *owner, void *arg), void *arg)
{
    for (unsigned i = 0; i < l->conns.count; i++) {
        struct conn *c = l->conns.items[i];
        if (c->owner && !(c->flags & CONN_DYING))
            fn(c->owner, arg);
    }
}
