/* Finding resets that no event will ever tell.
 *
 * When bytes and a reset arrive before the loop polls, the kernel raises one edge for both,
 * libevent reports it as readiness, and the short read that follows looks like the end of
 * the input.  Asking the socket after each short read would cost a system call a message.
 * Instead such connections are marked, and about a second later asked 256 at a time. */
#include <poll.h>

#include "net/conn_impl.h"

enum {
    BATCH = 256,
    SLICE = 4096, /* connections looked at in one turn */
    DELAY_MS = 1000,
    NEXT_SLICE_MS = 5,
};

void sweep_mark(struct conn *c)
{
    struct loop *l = conn_home(c);

    c->flags |= CONN_SUSPECT;
    l->suspects++;
    if (wheel_armed(&l->sweep))
        return;
    l->sweep.kind = LOOP_WHEEL_SWEEP;
    wheel_add(&l->wheel, &l->sweep, l->now_ms + DELAY_MS);
}

void sweep_unmark(struct conn *c)
{
    if (!(c->flags & CONN_SUSPECT))
        return;
    c->flags &= (uint16_t)~CONN_SUSPECT;
    conn_home(c)->suspects--;
}

static void ask(struct pollfd *fds, struct conn **conns, unsigned n)
{
    if (n == 0 || poll(fds, n, 0) <= 0)
        return;
    for (unsigned i = 0; i < n; i++) {
        if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL)) {
            conns[i]->flags |= CONN_READABLE; /* the read will say what it is */
            conn_make_ready(conns[i]);
        }
    }
}

void sweep_fired(void *arg, struct wheel_timer *timer)
{
    struct loop *l = arg;
    struct pollfd fds[BATCH];
    struct conn *conns[BATCH];
    unsigned n = 0, end = l->sweep_at + SLICE;

    if (end > l->conns.count)
        end = l->conns.count;
    for (unsigned i = l->sweep_at; i < end; i++) {
        struct conn *c = l->conns.items[i];
        if (!(c->flags & CONN_SUSPECT))
            continue;
        sweep_unmark(c);
        if (c->flags & CONN_DYING)
            continue;
        conns[n] = c;
        fds[n++] = (struct pollfd){.fd = conn_socket(c)};
        if (n == BATCH) {
            ask(fds, conns, n);
            n = 0;
        }
    }
    ask(fds, conns, n);
    l->sweep_at = end < l->conns.count ? end : 0;
    if (l->sweep_at > 0)
        wheel_add(&l->wheel, &l->sweep, l->now_ms + NEXT_SLICE_MS);
    else if (l->suspects > 0) /* newly marked, or moved to a slot that was looked at before */
        wheel_add(&l->wheel, &l->sweep, l->now_ms + DELAY_MS);
}
