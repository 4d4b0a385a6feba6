#include "host/host.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/worker.h"
#include "host/crash.h"
#include "host/decide.h"
#include "host/event.h"
#include "host/guard.h"
#include "host/life.h"
#include "host/services.h"
#include "host/trace.h"
#include "host/traffic.h"
#include "net/loop.h"

_Thread_local struct host_place *host_here;

static void management_begin(struct loop *l, void *host)
{
    struct host *h = host;
    host_enter(h, h->loop_count);
}

struct host *host_new(struct broker *broker, struct loop *const *loops,
                      struct worker *const *workers, unsigned count, const char *data_dir)
{
    static const struct loop_hooks hooks = {.begin = management_begin};
    struct host *h = xcalloc(1, sizeof *h);

    h->broker = broker;
    h->loop_count = count;
    h->data_dir = data_dir ? str_dup(str_of(data_dir)) : NULL;
    h->places = xcalloc(count + 1, sizeof *h->places);
    for (unsigned i = 0; i < count; i++)
        h->places[i] =
            (struct host_place){.host = h, .loop = loops[i], .worker = workers[i], .index = i};
    if (loop_open(&h->management, count, &hooks, h) < 0)
        h->management = NULL;
    h->places[count] =
        (struct host_place){.host = h, .loop = h->management, .index = HOST_MANAGEMENT};
    qsbr_join(&h->main_slot);
    qsbr_offline(&h->main_slot);
    h->nowhere = chain_slot(h, "");
    host_on_leave(h, host_forget_slots);
    traces_open(h);
    services_open(h);
    events_open(h);
    traffic_open(h);
    life_open(h);
    guard_open(h);
    return h;
}

int host_start(struct host *h)
{
    return loop_start(h->management);
}

void host_serving(struct host *h)
{
    h->serving = true;
}

void host_stop(struct host *h)
{
    life_stop(h);
    h->serving = false;
    loop_stop(h->management);
}

void host_end(struct host *h)
{
    services_stop(h);
    life_end(h);
}

void host_enter(struct host *h, unsigned at)
{
    host_here = &h->places[at];
    crash_thread();
}

struct host_place *host_place(struct host *h)
{
    return host_here ? host_here : &h->places[h->loop_count];
}

void host_on_leave(struct host *h, host_leave_fn *fn)
{
    ASSERT(h->leave_count < HOST_LEAVE_MAX);
    h->leave[h->leave_count++] = fn;
}

bool host_has_modules(const struct host *h)
{
    return atomic_load(&h->roll)->count > 0;
}

void host_free(struct host **host)
{
    struct host *h = *host;

    if (!h)
        return;
    loop_free(&h->management);
    life_close(h);
    services_close(h);
    traffic_close(h);
    traces_close(h);
    events_close(h);
    chains_free(h);
    qsbr_online(&h->main_slot);
    qsbr_leave(&h->main_slot);
    for (unsigned i = 0; i <= h->loop_count; i++)
        request_spares_free(&h->places[i]);
    free(h->places);
    free(h->data_dir);
    free(h);
    *host = NULL;
}
