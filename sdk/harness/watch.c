/* Watches of net/loop.h: descriptors are real ones, looked at without waiting (loop.c). */
#include <event2/event_struct.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "host/refuse.h"
#include "loop_impl.h"

struct loop_watch {
    struct event ev;
    struct loop *loop;
    loop_watch_fn *fn;
    void *arg;
    unsigned what; /* fired; nonzero: in the list */
    struct loop_watch *next;
};

static void watch_fired(int fd, short what, void *arg)
{
    struct loop_watch *w = arg;

    if (!w->what) {
        w->next = w->loop->fired;
        w->loop->fired = w;
    }
    w->what |= (what & EV_READ ? LOOP_READ : 0u) | (what & EV_WRITE ? LOOP_WRITE : 0u);
}

static int watch_arm(struct loop_watch *w, int fd, unsigned what)
{
    short events =
        (short)(EV_PERSIST | (what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0));

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
    if (host_refuses() || watch_arm(w, fd, what) < 0) {
        free(w);
        return ERR_SYSTEM;
    }
    *out = w;
    return 0;
}

static void watch_forget(struct loop_watch *w)
{
    struct loop_watch **at = &w->loop->fired;

    while (*at && *at != w)
        at = &(*at)->next;
    if (*at)
        *at = w->next;
    w->what = 0;
}

int loop_watch_set(struct loop_watch *w, unsigned what)
{
    event_del(&w->ev);
    if (w->what && !(w->what &= what))
        watch_forget(w);
    return watch_arm(w, event_get_fd(&w->ev), what);
}

void loop_watch_stop(struct loop_watch **watch)
{
    struct loop_watch *w = *watch;

    if (!w)
        return;
    watch_forget(w);
    event_del(&w->ev);
    free(w);
    *watch = NULL;
}

void watches_run(struct loop *l)
{
    while (l->fired) {
        struct loop_watch *w = l->fired;
        unsigned what = w->what;
        l->fired = w->next;
        w->what = 0;
        w->fn(l, event_get_fd(&w->ev), what, w->arg);
    }
}
