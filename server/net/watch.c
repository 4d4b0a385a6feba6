/* Descriptors that are no connections.  libevent's callback only notes that one fired; its
 * function runs in the turn, where shared structures may be read. */
#include <event2/event_struct.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "net/loop_impl.h"

struct loop_watch {
    struct event ev;
    struct loop *loop;
    loop_watch_fn *fn;
    void *arg;
    unsigned what; /* fired, not run yet */
    bool stopped;  /* inside its own fn */
    bool running;
    struct loop_watch *next_fired;
};

static void watch_fired(int fd, short what, void *arg)
{
    struct loop_watch *w = arg;
    if (w->what == 0) {
        w->next_fired = w->loop->fired;
        w->loop->fired = w;
    }
    w->what |= (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);
}

/* The event is assigned and not added. */
static int watch_arm(struct loop_watch *w, int fd, unsigned what)
{
    short events =
        EV_PERSIST | (what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0);

    event_assign(&w->ev, w->loop->base, fd, events, watch_fired, w);
    return what && event_add(&w->ev, NULL) < 0 ? ERR_SYSTEM : 0;
}

int loop_watch_start(struct loop_watch **out, struct loop *l, int fd, unsigned what,
                     loop_watch_fn *fn, void *arg)
{
    struct loop_watch *w = xcalloc(1, sizeof *w);

    w->loop = l;
    w->fn = fn;
    w->arg = arg;
    if (watch_arm(w, fd, what) < 0) {
        free(w);
        return ERR_SYSTEM;
    }
    *out = w;
    return 0;
}

static void watch_unlink(struct loop_watch *w)
{
    for (struct loop_watch **p = &w->loop->fired; *p; p = &(*p)->next_fired) {
        if (*p == w) {
            *p = w->next_fired;
            return;
        }
    }
}

int loop_watch_set(struct loop_watch *w, unsigned what)
{
    event_del(&w->ev);
    if (w->what) {
        w->what &= what;
        if (!w->what)
            watch_unlink(w);
    }
    return watch_arm(w, event_get_fd(&w->ev), what);
}

void loop_watch_stop(struct loop_watch **wp)
{
    struct loop_watch *w = *wp;
    if (!w)
        return;
    *wp = NULL;
    event_del(&w->ev);
    if (w->what)
        watch_unlink(w);
    if (w->running)
        w->stopped = true;
    else
        free(w);
}

void watch_run_fired(struct loop *l)
{
    while (l->fired) {
        struct loop_watch *w = l->fired;
        unsigned what = w->what;
        l->fired = w->next_fired;
        w->what = 0;
        w->running = true;
        w->fn(l, event_get_fd(&w->ev), what, w->arg);
        w->running = false;
        if (w->stopped)
            free(w);
    }
}
