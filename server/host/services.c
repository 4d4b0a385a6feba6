#include "host/services.h"

#include <stdlib.h>

#include "base/log.h"
#include "host/api_http_server.h"
#include "host/api_loop.h"
#include "host/http.h"
#include "host/jobs.h"
#include "host/metrics.h"
#include "host/storage.h"
#include "host/timer.h"
#include "net/loop.h"

static unsigned place_count(const struct host *h)
{
    return h->management ? h->loop_count + 1 : h->loop_count;
}

void services_open(struct host *h)
{
    for (unsigned i = 0; i < place_count(h); i++)
        host_timer_register(&h->places[i]);
    h->metrics = metrics_open(h);
    h->storage = storage_new(h);
    h->jobs = jobs_open(h);
}

void services_stop(struct host *h)
{
    atomic_store(&h->ending, true);
    jobs_stop(h->jobs);
    storage_flush(h->storage);
    for (unsigned i = 0; i < place_count(h); i++)
        http_stop(&h->places[i]);
}

void services_close(struct host *h)
{
    jobs_close(&h->jobs);
    storage_free(&h->storage);
    metrics_close(&h->metrics);
}

struct quiesce {
    struct skep_module *module;
    struct host_place *place;
};

static void quiesce_place(struct loop *l, void *arg)
{
    const struct quiesce *q = arg;

    timers_quiesce(q->module, q->place);
    watches_quiesce(q->module, q->place);
    if (q->place->index == HOST_MANAGEMENT)
        servers_quiesce(q->module);
}

void services_quiesce(struct skep_module *m)
{
    struct host *h = m->host;

    atomic_store(&m->things.quiet, true);
    for (unsigned i = 0; i < place_count(h); i++) {
        struct quiesce q = {m, &h->places[i]};
        loop_call(q.place->loop, quiesce_place, &q);
    }
    tasks_take_back(m);
}

static void warn(const struct skep_module *m, unsigned count, const char *what)
{
    if (count)
        log_warn("host", "module %s left %u %s behind: a mistake in the module", m->name, count,
                 what);
}

unsigned services_forget(struct skep_module *m)
{
    unsigned timers = timers_forget(m), watches = watches_forget(m), servers = servers_forget(m);

    warn(m, timers, "timers");
    warn(m, watches, "watches of descriptors");
    warn(m, servers, "HTTP servers");
    metrics_forget(m);
    free(atomic_exchange(&m->things.http, NULL));
    return timers + watches + servers;
}
