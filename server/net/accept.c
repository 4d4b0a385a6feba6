/* Accepting: limits, and handing sockets out to the loops.  All on the listener's home loop. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/conn_impl.h"
#include "net/listen_impl.h"

enum { ACCEPTS_PER_TURN = 64, REST_MS = 100 };

struct handover {
    struct loop_task task;
    struct listener *listener;
    int fd;
};

static void handover_run(struct loop_task *task, struct loop *loop)
{
    struct handover *h = CONTAINER_OF(task, struct handover, task);
    conn_accept(loop, h->listener, h->fd);
    free(h);
}

static void hand_out(struct listener *l, int fd)
{
    struct loop *to = l->loops[l->next_loop];
    l->next_loop = (l->next_loop + 1) % l->nloops;
    if (to == l->home) {
        conn_accept(to, l, fd);
        return;
    }
    struct handover *h = xmalloc(sizeof *h);
    *h = (struct handover){.task.run = handover_run, .listener = l, .fd = fd};
    loop_post(to, &h->task);
}

/* A token bucket: connect_rate tokens a second, as many at most. */
static bool rate_allows(struct listener *l)
{
    uint32_t rate = atomic_load_explicit(&l->connect_rate, memory_order_relaxed);
    uint64_t now_ms = loop_now_ms(l->home);

    if (rate == 0)
        return true;
    l->tokens += (double)(now_ms - l->tokens_at_ms) * rate / 1000;
    l->tokens_at_ms = now_ms;
    if (l->tokens > rate)
        l->tokens = rate;
    if (l->tokens < 1)
        return false;
    l->tokens -= 1;
    return true;
}

/* May this caller send a PROXY header?  Whoever reaches a Unix socket was let in by the
 * file's mode. */
static bool source_trusted(const struct listener *l, const struct sockaddr *from)
{
    if (l->proxy == LISTEN_PROXY_OFF || listener_is_unix(l))
        return true;
    for (size_t i = 0; i < l->proxy_source_count; i++) {
        if (cidr_has(&l->proxy_sources[i], from))
            return true;
    }
    return false;
}

static void admit(struct listener *l, int fd, const struct sockaddr *from)
{
    uint32_t most = atomic_load_explicit(&l->max_connections, memory_order_relaxed);

    listener_bump(&l->accepted);
    if (!source_trusted(l, from)) {
        listener_bump(&l->refused_source);
        close(fd);
    } else if (most && atomic_load_explicit(&l->connections, memory_order_relaxed) >= most) {
        listener_bump(&l->refused_limit);
        close(fd);
    } else if (!rate_allows(l)) {
        listener_bump(&l->refused_rate);
        close(fd);
    } else {
        atomic_fetch_add(&l->connections, 1);
        atomic_fetch_add(&l->refs, 1);
        hand_out(l, fd);
    }
}

static void rest_begin(struct listener *l)
{
    loop_watch_stop(&l->watch);
    wheel_add(&l->home->wheel, &l->rest, l->home->now_ms + REST_MS);
}

/* Out of descriptors: the spare one accepts the caller only to hang up on it, so that it
 * learns at once; then nothing is accepted for a while. */
static void turn_away(struct listener *l)
{
    listener_bump(&l->refused_descriptors);
    if (l->spare_fd >= 0) {
        close(l->spare_fd);
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    rest_begin(l);
}

void listener_accept(struct loop *loop, int listen_fd, unsigned what, void *arg)
{
    struct listener *l = arg;
    CHECK(l, LISTENER_MAGIC);

    /* A lone caller costs one accept: the call that would only say EAGAIN is left out.  In
     * a storm, when turns follow within a millisecond, each takes twice as many. */
    bool storm = l->accepted_ms == loop_now_ms(loop);
    unsigned most = !storm ? 1 : l->accepts < ACCEPTS_PER_TURN ? l->accepts * 2 : ACCEPTS_PER_TURN;
    l->accepts = most;
    l->accepted_ms = loop_now_ms(loop);
    for (unsigned i = 0; i < most; i++) {
        struct addr from = {.len = sizeof from.local};
        int fd = accept4(listen_fd, &from.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(l, fd, &from.any);
        } else if (errno == EMFILE || errno == ENFILE) {
            turn_away(l);
            return;
        } else if (errno == ENOBUFS || errno == ENOMEM) {
            rest_begin(l);
            return;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } /* else: this caller is gone already, the next one may not be */
    }
}

void listener_timer_fired(void *arg, struct wheel_timer *timer)
{
    struct listener *l = CONTAINER_OF(timer, struct listener, rest);
    CHECK(l, LISTENER_MAGIC);
    if (l->spare_fd < 0)
        l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (loop_watch_start(&l->watch, l->home, l->fd, LOOP_READ, listener_accept, l) < 0)
        wheel_add(&l->home->wheel, &l->rest, l->home->now_ms + REST_MS);
}
