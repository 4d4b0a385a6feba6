/* The life of a connection; see chan.h for its states. */
#include "chan.h"

#include "secure.h"
#include "target.h"
#include "webframe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void chan_down(struct chan *c, const char *why)
{
    if (c->state == CHAN_CLOSED)
        return;
    chan_close(c);
    c->turn->down++;
    if (c->owner->down)
        c->owner->down(c, why);
    else
        turn_fail(c->turn, "connection %u: %s", c->index, why);
}

void chan_open(struct chan *c, struct turn *t, const struct chan_owner *owner, void *scenario,
               uint32_t index)
{
    const char *greeting = c->greeting;
    bool kept = c->kept;
    *c = (struct chan){.turn = t,
                       .owner = owner,
                       .scenario = scenario,
                       .index = index,
                       .fd = -1,
                       .greeting = greeting,
                       .kept = kept,
                       .state = CHAN_CONNECTING};
    c->fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        chan_down(c, strerror(errno));
        return;
    }
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&t->addr, t->addr_len) < 0 && errno != EINPROGRESS) {
        chan_down(c, strerror(errno));
        return;
    }
    /* Registered once, edge-triggered, for life: the generator must be cheaper than any broker. */
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(t->epfd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        chan_down(c, strerror(errno));
}

void chan_close(struct chan *c)
{
    if (c->state == CHAN_CLOSED)
        return;
    if (c->state == CHAN_UP)
        c->turn->up--;
    c->state = CHAN_CLOSED;
    c->turn->backlog -= c->out_len - c->out_at;
    secure_drop(c);
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->rest);
    free(c->out);
    c->rest = c->out = NULL;
    c->rest_len = c->out_len = c->out_at = c->out_cap = 0;
}

void chan_leave(struct chan *c)
{
    uint8_t bye[2];
    if (c->state == CHAN_UP && !c->greeting)
        chan_send(c, bye, wire_disconnect(bye));
    chan_close(c);
}

/* --- output ------------------------------------------------------------------------------- */

/* What the transport took: 0 when it is full, -1 when it is gone. */
static ssize_t chan_write(struct chan *c, const uint8_t *p, size_t n)
{
    ssize_t done = c->ssl ? secure_write(c, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
    if (done < 0 && (errno == EAGAIN || errno == EINTR))
        done = 0;
    if (done > 0)
        c->turn->bytes_out += (uint64_t)done;
    return done;
}

static void chan_keep(struct chan *c, const uint8_t *p, size_t n)
{
    if (c->out_len + n > c->out_cap) {
        size_t cap = (c->out_len + n) * 2;
        uint8_t *bigger = realloc(c->out, cap);
        if (!bigger) {
            chan_down(c, "out of memory");
            return;
        }
        c->out = bigger;
        c->out_cap = cap;
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
    c->turn->backlog += n;
}

static void chan_flush(struct chan *c)
{
    while (c->out_at < c->out_len) {
        ssize_t done = chan_write(c, c->out + c->out_at, c->out_len - c->out_at);
        if (done < 0) {
            chan_down(c, "connection lost while sending");
            return;
        }
        if (done == 0)
            return;
        c->out_at += (size_t)done;
        c->turn->backlog -= (size_t)done;
    }
    c->out_at = c->out_len = 0;
}

static void chan_send_raw(struct chan *c, const uint8_t *p, size_t n)
{
    while (n > 0 && c->out_len == 0) {
        ssize_t done = chan_write(c, p, n);
        if (done < 0) {
            chan_down(c, "connection lost while sending");
            return;
        }
        p += done;
        n -= (size_t)done;
        if (done == 0)
            break;
    }
    if (n > 0)
        chan_keep(c, p, n);
}

void chan_send(struct chan *c, const uint8_t *p, size_t n)
{
    if (c->state == CHAN_CLOSED)
        return;
    if (c->turn->plan->ws_path) {
        size_t size;
        const uint8_t *frame = webframe_wrap(p, n, &size);
        chan_send_raw(c, frame, size);
        return;
    }
    chan_send_raw(c, p, n);
}

/* --- greeting ----------------------------------------------------------------------------- */

static void chan_greet(struct chan *c)
{
    const struct plan *plan = c->turn->plan;
    uint8_t packet[WIRE_SMALL];
    char id[32];

    c->state = CHAN_GREETING;
    if (c->greeting) {
        chan_send(c, (const uint8_t *)c->greeting, strlen(c->greeting));
        return;
    }
    snprintf(id, sizeof id, "bench-%04x-%06u", c->turn->run_id, c->index);
    struct wire_login login = {.version = (int)plan->version,
                               .client_id = id,
                               .kept = c->kept,
                               .user = plan->user,
                               .password = plan->password};
    chan_send(c, packet, wire_connect(packet, &login));
}

static void chan_upgrade(struct chan *c)
{
    char head[WIRE_SMALL];

    if (!c->turn->plan->ws_path) {
        chan_greet(c);
        return;
    }
    c->state = CHAN_UPGRADING;
    size_t n = webframe_request(head, sizeof head, c->turn->plan);
    chan_send_raw(c, (const uint8_t *)head, n);
}

static void chan_secure(struct chan *c)
{
    const char *why;
    int done = secure_shake(c, &why);
    if (done < 0)
        chan_down(c, why);
    else if (done)
        chan_upgrade(c);
}

static void chan_connected(struct chan *c)
{
    int err = 0;
    socklen_t len = sizeof err;

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err) {
        chan_down(c, strerror(err));
        return;
    }
    if (!c->turn->tls) {
        chan_upgrade(c);
        return;
    }
    c->state = CHAN_SECURING;
    if (secure_start(c) < 0)
        chan_down(c, "cannot start TLS");
    else
        chan_secure(c);
}

/* The answer to CONNECT, or the relay's "OK\n".  Returns the bytes it took. */
static size_t chan_welcome(struct chan *c, const uint8_t *p, size_t n)
{
    struct wire_frame f = {0};
    char why[64];
    size_t used = 3;
    int code = 0;

    if (c->greeting) {
        if (n < 3)
            return 0;
        code = memcmp(p, "OK\n", 3);
    } else {
        int whole = wire_next(p, n, &f);
        if (whole == 0)
            return 0;
        used = f.total;
        code = whole < 0 || f.head != WIRE_CONNACK << 4
                   ? -1
                   : wire_connack(&f, (int)c->turn->plan->version, &c->receive_maximum);
    }
    if (code != 0) {
        snprintf(why, sizeof why, code < 0 ? "not an answer to CONNECT" : "refused, code %d", code);
        chan_down(c, why);
        return used;
    }
    c->state = CHAN_UP;
    c->resumed = !c->greeting && f.body[0] & 1;
    c->turn->up++;
    c->turn->resumed += c->ssl && SSL_session_reused(c->ssl);
    if (c->owner->up)
        c->owner->up(c);
    return used;
}

/* --- input -------------------------------------------------------------------------------- */

/* Hand n bytes to whoever the state says; keep what nobody took. */
static void chan_feed(struct chan *c, const uint8_t *p, size_t n)
{
    if (c->state == CHAN_GREETING) {
        size_t used = chan_welcome(c, p, n);
        p += used;
        n -= used;
    }
    if (c->state == CHAN_UP && n > 0) {
        size_t used = c->owner->bytes(c, p, n);
        p += used;
        n -= used;
    }
    if (c->state == CHAN_CLOSED)
        return;
    if (n == 0) {
        if (c->rest_len) {
            free(c->rest);
            c->rest = NULL;
            c->rest_len = 0;
        }
        return;
    }
    uint8_t *rest = malloc(n);
    if (!rest || n >= TURN_INBUF) {
        free(rest);
        chan_down(c, "a frame larger than 1 MB");
        return;
    }
    memcpy(rest, p, n);
    free(c->rest);
    c->rest = rest;
    c->rest_len = n;
}

/* New bytes lie in the input buffer behind the rest: undo WebSocket framing, then feed. */
static void chan_input(struct chan *c, uint8_t *fresh, size_t n)
{
    if (c->state == CHAN_UPGRADING) {
        int used = webframe_response((const char *)c->turn->in, c->rest_len + n);
        if (used < 0)
            chan_down(c, "the WebSocket upgrade was refused");
        if (used > 0) {
            /* Nothing can follow the response: the broker speaks only after CONNECT. */
            free(c->rest);
            c->rest = NULL;
            c->rest_len = 0;
            chan_greet(c);
        }
        if (used == 0)
            chan_feed(c, c->turn->in, c->rest_len + n);
        return;
    }
    if (c->turn->plan->ws_path) {
        int closing = 0;
        n = webframe_strip(c, fresh, n, &closing);
        if (closing) {
            chan_down(c, "the broker closed the WebSocket");
            return;
        }
    }
    if (c->rest_len + n > 0)
        chan_feed(c, c->turn->in, c->rest_len + n);
}

static void chan_read(struct chan *c, bool ending)
{
    struct turn *t = c->turn;

    while (c->state != CHAN_CLOSED) {
        uint8_t *fresh = t->in + c->rest_len;
        size_t room = TURN_INBUF - c->rest_len;
        if (c->rest_len)
            memcpy(t->in, c->rest, c->rest_len);
        ssize_t n = c->ssl ? secure_read(c, fresh, room) : recv(c->fd, fresh, room, 0);
        if (n == 0) {
            chan_down(c, "closed by the broker");
            return;
        }
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                chan_down(c, strerror(errno));
            return;
        }
        t->bytes_in += (uint64_t)n;
        chan_input(c, fresh, (size_t)n);
        /* A short read drained the socket: whatever comes later raises a new edge. */
        if (!c->ssl && !ending && (size_t)n < room)
            return;
    }
}

void chan_event(struct chan *c, uint32_t events)
{
    if (c->state == CHAN_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
            chan_connected(c);
        return;
    }
    if (c->state == CHAN_SECURING) {
        chan_secure(c);
        if (c->state < CHAN_UPGRADING)
            return;
    }
    if (c->out_len && (events & EPOLLOUT))
        chan_flush(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        chan_read(c, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* The first connection may be retried for wait_ms, as the broker may still be starting. */
static bool chan_first(struct chan *c, struct turn *t, const struct chan_owner *owner,
                       void *scenario, uint32_t index)
{
    uint64_t give_up = turn_now() + t->plan->wait_ms * 1000000;

    for (;;) {
        uint64_t deadline = turn_now() + 10000000000u;
        chan_open(c, t, owner, scenario, index);
        while (!t->failed && c->state != CHAN_UP && c->state != CHAN_CLOSED &&
               turn_now() < deadline)
            turn_run(t, 100000000);
        if (c->state == CHAN_UP)
            return true;
        if (!t->failed)
            turn_fail(t, "connection %u: no answer within 10 seconds", index);
        bool gone = t->plan->pid && target_rss(t->plan->pid) == 0;
        if (gone || turn_now() >= give_up)
            return false;
        chan_close(c);
        t->failed = false;
        turn_run(t, 20000000); /* nothing is open: a plain pause between attempts */
    }
}

bool chan_open_all(struct chan *chans, size_t n, struct turn *t, const struct chan_owner *owner,
                   void *scenario, uint32_t first_index)
{
    size_t opened = 1, base = t->up;
    uint64_t seen = 0, deadline = 0;

    if (!chan_first(&chans[0], t, owner, scenario, first_index))
        return false;
    while (!t->failed && t->up < base + n) {
        while (opened < n && opened - (t->up - base) < t->plan->concurrency) {
            chan_open(&chans[opened], t, owner, scenario, first_index + (uint32_t)opened);
            opened++;
        }
        turn_run(t, 100000000);
        if (t->up != seen) {
            seen = t->up;
            deadline = turn_now() + 10000000000u;
        } else if (turn_now() > deadline) {
            turn_fail(t, "%zu of %zu connections stay without an answer", n - (t->up - base), n);
        }
    }
    return !t->failed;
}
