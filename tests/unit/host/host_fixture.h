/* What the tests of the host's services share: a host with real loops on threads of their own, an
 * instance that was not loaded from anywhere, and waiting with a deadline. */
#ifndef SKEP_TESTS_HOST_FIXTURE_H
#define SKEP_TESTS_HOST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/host.h"
#include "host/instance.h"
#include "host/services.h"
#include "net/loop.h"

enum { RIG_LOOPS = 2, RIG_DEADLINE_MS = 30000 };

struct rig {
    struct loop *loops[RIG_LOOPS];
    struct host *host;
    struct skep_module *module;
};

static const struct skep_descriptor rig_descriptor = {.size = sizeof rig_descriptor, .name = "rig"};

static inline void rig_begin(struct loop *l, void *rig)
{
    host_enter(((struct rig *)rig)->host, loop_index(l));
}

static inline struct skep_module *rig_module_new(struct host *h, const char *name)
{
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->host = h;
    m->name = str_dup(str_of(name));
    m->d = &rig_descriptor;
    m->stats = xcalloc(h->loop_count + 1, sizeof *m->stats);
    return m;
}

static inline void rig_module_free(struct skep_module *m)
{
    free(m->stats);
    free(m->name);
    free(m);
}

static inline void rig_open(struct rig *r, const char *data_dir)
{
    static const struct loop_hooks hooks = {.begin = rig_begin};
    struct worker *workers[RIG_LOOPS] = {0};

    *r = (struct rig){0};
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        assert_int_equal(loop_open(&r->loops[i], i, &hooks, r), 0);
    r->host = host_new(NULL, r->loops, workers, RIG_LOOPS, data_dir);
    r->module = rig_module_new(r->host, "rig");
}

static inline void rig_start(struct rig *r)
{
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        assert_int_equal(loop_start(r->loops[i]), 0);
    assert_int_equal(host_start(r->host), 0);
}

/* Stops everything in the order of a broker's end; the module's holds must then be gone.  Returns
 * what it forgot. */
static inline unsigned rig_close(struct rig *r)
{
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        loop_stop(r->loops[i]);
    host_stop(r->host);
    services_stop(r->host);
    services_quiesce(r->module);
    for (unsigned i = 0; i < RIG_LOOPS; i++)
        loop_free(&r->loops[i]);
    loop_free(&r->host->management);
    assert_int_equal(atomic_load(&r->module->holds), 0);
    unsigned forgotten = services_forget(r->module);
    rig_module_free(r->module);
    host_free(&r->host);
    return forgotten;
}

static inline struct loop *rig_loop(struct rig *r, unsigned at)
{
    return at == HOST_MANAGEMENT ? r->host->management : r->loops[at];
}

/* Waits until the condition, which other threads make true, holds. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        uint64_t end_ms_ = clock_mono_ms() + RIG_DEADLINE_MS;                                      \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > end_ms_)                                                         \
                fail_msg("deadline passed waiting for: %s", #condition);                           \
            poll(NULL, 0, 1);                                                                      \
        }                                                                                          \
    } while (0)

#endif
