/* <skep/loop.h>: descriptors.  A watch belongs to its place's thread; its module's list has a
 * lock, because modules make watches on all loops. */
#include <errno.h>
#include <skep/loop.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/api_loop.h"
#include "host/services.h"
#include "net/loop.h"

struct skep_watch {
    struct loop_watch *watch; /* NULL once the module is quiet */
    struct skep_module *module;
    struct host_place *place;
    void (*fn)(int fd, unsigned what, void *arg);
    void *arg;
    struct skep_watch *next, **link; /* the module's list */
};

_Static_assert((int)SKEP_READABLE == (int)LOOP_READ && (int)SKEP_WRITABLE == (int)LOOP_WRITE,
               "the SDK's events are the loop's");

/* Its fn may free the watch. */
static void fired(struct loop *l, int fd, unsigned what, void *arg)
{
    struct skep_watch *w = arg;
    struct blame before = blame_begin(w->module, "watch");

    w->fn(fd, what, w->arg);
    blame_end(before);
}

static void list_put(struct module_things *things, struct skep_watch *w)
{
    lock_take(&things->lock);
    w->next = things->watches;
    w->link = &things->watches;
    if (w->next)
        w->next->link = &w->next;
    things->watches = w;
    lock_drop(&things->lock);
}

struct skep_watch *skep_watch_new(struct skep_module *m, int fd, unsigned what,
                                  void (*fn)(int fd, unsigned what, void *arg), void *arg)
{
    if (!host_here || atomic_load(&m->things.quiet)) {
        log_error("host", "module %s wants to watch a descriptor outside of a loop", m->name);
        errno = EINVAL;
        return NULL;
    }
    struct skep_watch *w = xcalloc(1, sizeof *w);
    *w = (struct skep_watch){.module = m, .place = host_here, .fn = fn, .arg = arg};
    if (loop_watch_start(&w->watch, w->place->loop, fd, what, fired, w) < 0) {
        free(w);
        return NULL;
    }
    list_put(&m->things, w);
    return w;
}

static bool may_touch(const struct skep_watch *w)
{
    if (host_here == w->place)
        return true;
    log_limited(LOG_LEVEL_ERROR, "host",
                "module %s uses a watch outside of its loop: it is left as it is", w->module->name);
    return false;
}

void skep_watch_set(struct skep_watch *w, unsigned what)
{
    if (!w->watch || !may_touch(w))
        return;
    if (loop_watch_set(w->watch, what) < 0)
        log_error("host", "module %s: cannot watch a descriptor: %m", w->module->name);
}

/* With the list's lock. */
static void unlink_watch(struct skep_watch *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
}

void skep_watch_free(struct skep_watch *w)
{
    if (!w)
        return;
    struct module_things *things = &w->module->things;
    if (w->watch) {
        if (!may_touch(w))
            return;
        loop_watch_stop(&w->watch);
    }
    lock_take(&things->lock);
    unlink_watch(w);
    lock_drop(&things->lock);
    free(w);
}

void watches_quiesce(struct skep_module *m, struct host_place *p)
{
    lock_take(&m->things.lock);
    for (struct skep_watch *w = m->things.watches; w; w = w->next) {
        if (w->place == p)
            loop_watch_stop(&w->watch);
    }
    lock_drop(&m->things.lock);
}

unsigned watches_forget(struct skep_module *m)
{
    unsigned count = 0;

    while (m->things.watches) {
        struct skep_watch *w = m->things.watches;
        unlink_watch(w);
        free(w);
        count++;
    }
    return count;
}
