/* net/listen.h and net/conn.h in memory, as much of them as the host's HTTP server needs: a request
 * of the test is the only thing that ever arrives, whole; an answer is never too much at once.
 *
 * One connection at a time: world_request() makes it, hands the bytes up, and takes what was sent
 * when the server lets go of it or the test has waited enough. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/listen.h"
#include "net/loop.h"
#include "world.h"

struct listener {
    struct listener *next;
    char *address;
    const struct conn_handler *handler;
    void *user;
    struct loop *loop;
};

struct conn {
    const struct listener *listener;
    struct loop *loop;
    const struct conn_handler *handler;
    void *owner;
    struct loop_task task; /* closed() is told in a turn of its own */
    enum conn_cause cause;
    bool paused, dying;
    char *in;
    size_t in_len, out_len;
    char *out;
};

static struct {
    struct listener *listeners;
    unsigned ports;
} net;

/* -- net/listen.h -- */

/* A port 0 becomes one that nobody has. */
static char *address_of(const char *asked)
{
    size_t len = strlen(asked);
    char text[256];

    if (len < 2 || strcmp(asked + len - 2, ":0") != 0)
        return str_dup(str_of(asked));
    snprintf(text, sizeof text, "%.*s:%u", (int)(len - 2), asked, 50000 + net.ports++);
    return str_dup(str_of(text));
}

static bool is_taken(const char *address, const struct listener *by)
{
    for (const struct listener *l = net.listeners; l; l = l->next) {
        if (l != by && strcmp(l->address, address) == 0)
            return true;
    }
    return false;
}

int listener_open(struct listener **out, const struct listen_conf *conf, struct loop *const *loops,
                  unsigned nloops, char *err, size_t errlen)
{
    struct listener *l;

    if (is_taken(conf->address, conf->replaces)) {
        snprintf(err, errlen, "%s: Address already in use", conf->address);
        return ERR_SYSTEM;
    }
    l = xcalloc(1, sizeof *l);
    l->address = address_of(conf->address);
    l->handler = conf->handler;
    l->user = conf->user;
    l->loop = loops[0];
    l->next = net.listeners;
    net.listeners = l;
    *out = l;
    return 0;
}

void listener_close(struct listener **listener)
{
    struct listener **at = &net.listeners, *l = *listener;

    if (!l)
        return;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    free(l->address);
    free(l);
    *listener = NULL;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

/* -- net/conn.h -- */

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    c->paused = false;
}

bool conn_paused(const struct conn *c)
{
    return c->paused;
}

bool conn_dying(const struct conn *c)
{
    return c->dying;
}

const struct listener *conn_listener(const struct conn *c)
{
    return c->listener;
}

const char *conn_peer(const struct conn *c, char out[CONN_ADDR_MAX])
{
    return strcpy(out, "127.0.0.1:40000");
}

enum conn_result conn_send(struct conn *c, const struct out_vec *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        c->out = xrealloc(c->out, c->out_len + v[i].len + 1);
        memcpy(c->out + c->out_len, v[i].ptr, v[i].len);
        c->out_len += v[i].len;
        c->out[c->out_len] = 0;
    }
    return CONN_SENT;
}

enum conn_result conn_flush(struct conn *c)
{
    return CONN_SENT;
}

static void conn_free(struct conn *c)
{
    free(c->in);
    free(c->out);
    free(c);
}

static void conn_closed(struct loop_task *task, struct loop *l)
{
    struct conn *c = CONTAINER_OF(task, struct conn, task);

    c->handler->closed(c, c->owner, c->cause);
    c->owner = NULL;
}

void conn_kill(struct conn *c, enum conn_cause cause)
{
    if (c->dying)
        return;
    c->dying = true;
    c->cause = cause;
    c->task.run = conn_closed;
    loop_post(c->loop, &c->task);
}

void conn_kill_later(struct conn *c, enum conn_cause cause, unsigned linger_ms)
{
    conn_kill(c, cause);
}

/* -- A request -- */

static void arrive(void *arg)
{
    struct conn *c = arg;

    c->owner = c->handler->up(c, c->listener->user);
    if (c->owner)
        c->handler->data(c, c->owner, (uint8_t *)c->in, c->in_len);
    else
        c->dying = true;
}

static void hang_up(void *arg)
{
    conn_kill(arg, CONN_PEER_CLOSED);
}

static struct conn *dial(const struct listener *l, const char *request, size_t len)
{
    struct conn *c = xcalloc(1, sizeof *c);

    c->listener = l;
    c->loop = l->loop;
    c->handler = l->handler;
    c->in = xmalloc(len);
    memcpy(c->in, request, len);
    c->in_len = len;
    world_as(c->loop, arrive, c);
    world_run();
    return c;
}

char *world_request(const char *request, size_t len, uint64_t wait_ms)
{
    uint64_t end = world_clock.mono_ms + wait_ms;
    struct conn *c;
    char *answer;

    if (!net.listeners)
        return NULL;
    c = dial(net.listeners, request, len);
    while (!c->out_len && !c->dying && world_clock.mono_ms < end)
        world_pass(world_clock.mono_ms + 10);
    answer = c->out ? c->out : str_dup(STR(""));
    c->out = NULL;
    if (!c->dying)
        world_as(c->loop, hang_up, c);
    world_run();
    conn_free(c);
    return answer;
}

void world_net_abandon(void)
{
    net.listeners = NULL;
}
