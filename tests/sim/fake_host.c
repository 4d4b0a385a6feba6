#include "fake_host.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/crash.h"
#include "host/decide.h"
#include "host/event.h"
#include "host/guard.h"
#include "host/http.h"
#include "host/jobs.h"
#include "host/timer.h"
#include "net/loop.h"

enum { TIMEOUT_MS = 5000 };

_Thread_local struct host_place *host_here;
_Thread_local struct blame blame_here;

struct host *fake_host_new(struct broker *broker, struct loop *const *loops,
                           struct worker *const *workers, unsigned count)
{
    struct host *h = xcalloc(1, sizeof *h);

    h->broker = broker;
    h->loop_count = count;
    h->places = xcalloc(count, sizeof *h->places);
    for (unsigned i = 0; i < count; i++) {
        h->places[i] =
            (struct host_place){.host = h, .loop = loops[i], .worker = workers[i], .index = i};
        host_timer_register(&h->places[i]);
    }
    h->nowhere = chain_slot(h, "");
    qsbr_join(&h->main_slot);
    qsbr_offline(&h->main_slot);
    guard_open(h);
    return h;
}

void fake_host_free(struct host **host)
{
    struct host *h = *host;

    for (unsigned i = 0; i < h->loop_count; i++)
        request_spares_free(&h->places[i]);
    chains_free(h);
    qsbr_online(&h->main_slot);
    qsbr_leave(&h->main_slot);
    free(h->places);
    free(h);
    *host = NULL;
}

void fake_host_chain(struct host *h, const char *listener, struct skep_module *const *modules,
                     size_t count, bool acl_allow)
{
    qsbr_online(&h->main_slot);
    chain_swap(h, chain_slot(h, listener), chain_new(modules, count, acl_allow));
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
}

struct skep_module *fake_module_new(const char *name, const struct skep_descriptor *d, void *self,
                                    unsigned loops)
{
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->name = str_dup(str_of(name));
    m->d = d;
    m->self = self;
    m->on_error = SKEP_DENY;
    m->decision_timeout_ms = TIMEOUT_MS;
    m->stats = xcalloc(loops + 1, sizeof *m->stats);
    return m;
}

void fake_module_free(struct skep_module **module)
{
    struct skep_module *m = *module;

    ASSERT(atomic_load(&m->holds) == 0 && atomic_load(&m->pending) == 0);
    free(m->stats);
    free(m->name);
    free(m);
    *module = NULL;
}

/* -- The functions of host/host.h and of services that decisions need -- */

void host_enter(struct host *h, unsigned at)
{
    host_here = &h->places[at];
}

struct host_place *host_place(struct host *h)
{
    return host_here ? host_here : &h->places[0];
}

bool host_has_modules(const struct host *h)
{
    return chain_now(h->nowhere)->asks != 0;
}

uint64_t http_send(struct host *h, struct skep_module *m, const struct skep_http_request *ask,
                   skep_http_done_fn *done, void *arg)
{
    return 0;
}

void host_event(struct host *h, const struct skep_event *event)
{
}

void http_cancel(struct host *h, uint64_t number)
{
}

int jobs_submit(struct host *h, struct skep_module *m, struct job *j)
{
    return ERR_LIMIT;
}

void jobs_cancel(struct job *j)
{
}

void instance_release(struct skep_module *m)
{
    atomic_fetch_sub(&m->holds, 1);
}
