#include "host/life.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/alarm.h"
#include "host/command.h"
#include "host/crash.h"
#include "host/event.h"
#include "host/life_impl.h"
#include "host/report.h"
#include "host/services.h"
#include "host/traffic.h"
#include "net/loop.h"

/* -- Looking things up -- */

static struct skep_module *set_find(const struct life_set *set, const char *name)
{
    for (size_t i = 0; set && i < set->count; i++)
        if (strcmp(set->modules[i]->name, name) == 0)
            return set->modules[i];
    return NULL;
}

struct skep_module *life_find(struct host *h, const char *name)
{
    return set_find(h->life->running, name);
}

const struct roll *life_roll(const struct host *h)
{
    return atomic_load_explicit(&h->roll, memory_order_acquire);
}

static uint16_t free_slot(const struct host_life *life)
{
    for (unsigned slot = 0;; slot++) {
        const struct skep_module *m = life->living;
        while (m && m->slot != slot)
            m = m->next;
        if (!m)
            return (uint16_t)slot;
    }
}

static struct instance_stats *stats_of(struct host_life *life, const char *name)
{
    struct life_stats *s = life->stats;

    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    if (!s) {
        s = xcalloc(1, sizeof *s);
        s->name = str_dup(str_of(name));
        s->stats = xcalloc(life->host->loop_count + 1, sizeof *s->stats);
        s->next = life->stats;
        life->stats = s;
    }
    return s->stats;
}

/* -- One instance -- */

static enum skep_verdict verdict_of(enum load_on_error on_error)
{
    static const enum skep_verdict verdicts[] = {
        [ON_ERROR_DENY] = SKEP_DENY, [ON_ERROR_NEXT] = SKEP_NEXT, [ON_ERROR_ALLOW] = SKEP_ALLOW};

    return verdicts[on_error];
}

static struct skep_module *instance_new(struct host_life *life, const struct life_conf *conf,
                                        const struct load_block *b, const char *name)
{
    struct skep_module *m = xcalloc(1, sizeof *m);

    m->magic = SKEP_MODULE_MAGIC;
    m->host = life->host;
    m->name = str_dup(str_of(name));
    m->object = object_ref(bind_object_of(b));
    m->d = &m->object->d;
    m->conf = m->self = bind_conf(b);
    m->pos = b->block.pos;
    life_digest(b, m->digest);
    m->decision_timeout_ms = b->decision_timeout_ms;
    m->on_error = verdict_of(b->on_error);
    m->stats = stats_of(life, name);
    m->slot = free_slot(life);
    atomic_init(&m->holds, 1); /* life's own, until it has left */
    if (conf->retain)
        conf->retain(conf->owner);
    m->conf_owner = conf->owner;
    m->conf_release = conf->release;
    m->next = life->living;
    life->living = m;
    return m;
}

static void instance_free(struct skep_module *m)
{
    struct skep_module **at = &m->host->life->living;

    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (m->warm)
        free(m->warm->error);
    free(m->warm);
    if (m->conf_release)
        m->conf_release(m->conf_owner);
    object_unref(&m->object);
    free(m->directory);
    free(m->name);
    m->magic = 0;
    free(m);
}

void life_unload(struct skep_module *m)
{
    struct blame mark = blame_begin(m, "unload");

    if (m->d->unload)
        m->d->unload(m->self);
    blame_end(mark);
    services_forget(m);
    instance_log_end(m);
    traffic_forget(m);
    command_forget(m);
    alarm_forget(m, life_find(m->host, m->name) != NULL);
    log_debug("modules", "%s: unloaded", m->name);
    instance_free(m);
}

/* NULL: complained. */
static struct skep_module *instance_load(struct host_life *life, const struct life_conf *conf,
                                         const struct load_block *b, const char *name,
                                         struct complaints *complaints)
{
    struct skep_module *m = instance_new(life, conf, b, name);
    struct skep_report report = {complaints, b->block.pos};
    unsigned errors = complaints->errors;
    struct blame mark = blame_begin(m, "load");
    int err = m->d->load ? m->d->load(m, m->conf, &m->self, &report) : 0;

    blame_end(mark);
    if (err == 0)
        return m;
    if (complaints->errors == errors)
        complaint_error(complaints, b->block.pos, NULL, "module %s refused to load", name);
    instance_free(m);
    return NULL;
}

/* -- A set of them -- */

static bool keeps(const struct skep_module *old, const struct load_block *b)
{
    unsigned char digest[32];

    if (!old || !(old->d->flags & SKEP_KEEP) || old->object != bind_object_of(b))
        return false;
    life_digest(b, digest);
    return memcmp(digest, old->digest, sizeof digest) == 0;
}

static void set_free(struct life_set **sp)
{
    struct life_set *set = *sp;

    if (!set)
        return;
    free(set->modules);
    free(set->kept);
    free(set);
    *sp = NULL;
}

int life_build(struct life_set **out, struct host *h, const struct life_conf *conf,
               struct complaints *complaints)
{
    struct host_life *life = h->life;
    struct life_set *set = xcalloc(1, sizeof *set);

    set->host = h;
    set->conf = *conf;
    set->modules = xcalloc(conf->loads->count + 1, sizeof(struct skep_module *));
    set->kept = xcalloc(conf->loads->count + 1, sizeof *set->kept);
    for (size_t i = 0; i < conf->loads->count; i++) {
        const struct load_block *b = conf->loads->items[i];
        const char *name = load_name(b, complaints->arena);
        struct skep_module *old = set_find(life->running, name), *m;
        set->kept[i] = keeps(old, b);
        m = set->kept[i] ? old : instance_load(life, conf, b, name, complaints);
        if (!m) {
            life_abandon(&set);
            return ERR_INVALID;
        }
        set->modules[set->count++] = m;
        if (!set->kept[i])
            m->previous = old && old->object == m->object ? old : NULL;
    }
    *out = set;
    return 0;
}

void life_abandon(struct life_set **set)
{
    struct life_set *s = *set;

    for (size_t i = s->count; i-- > 0;)
        if (!s->kept[i]) {
            s->modules[i]->previous = NULL;
            leave_begin(s->modules[i], false);
        }
    set_free(set);
}

/* -- Warming up -- */

void life_wake(struct host_life *life)
{
    uint64_t one = 1;
    ssize_t n = write(life->wake_fd, &one, sizeof one);

    (void)n; /* full means that a wake-up is pending already */
}

void skep_warm_done(struct skep_warm *warm, const char *error)
{
    CHECK(warm, WARM_MAGIC);
    if (atomic_load(&warm->done))
        return;
    warm->error = error ? str_dup(str_of(error)) : NULL;
    atomic_store(&warm->done, true);
    life_wake(warm->life);
}

void life_warm(struct life_set *set, uint64_t now_ms)
{
    set->warm_until_ms = now_ms + LIFE_WARM_MS;
    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (set->kept[i] || !m->d->warm)
            continue;
        m->warm = xcalloc(1, sizeof *m->warm);
        m->warm->magic = WARM_MAGIC;
        m->warm->life = set->host->life;
        struct blame mark = blame_begin(m, "warm");
        m->d->warm(m->self, m->warm);
        blame_end(mark);
    }
}

enum life_warmth life_warmed(struct life_set *set, uint64_t now_ms, struct complaints *complaints)
{
    enum life_warmth warmth = LIFE_WARM;

    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (set->kept[i] || !m->warm)
            continue;
        if (!atomic_load(&m->warm->done)) {
            warmth = LIFE_WARMING;
        } else if (m->warm->error) {
            complaint_error(complaints, m->pos, NULL, "module %s is not ready: %s", m->name,
                            m->warm->error);
            return LIFE_COLD;
        }
    }
    if (warmth == LIFE_WARM || now_ms < set->warm_until_ms)
        return warmth;
    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (!set->kept[i] && m->warm && !atomic_load(&m->warm->done))
            complaint_error(complaints, m->pos, NULL, "module %s was not ready within %d s",
                            m->name, LIFE_WARM_MS / 1000);
    }
    return LIFE_COLD;
}

/* -- The swap -- */

struct management_call {
    struct skep_module *module;
    void (*fn)(struct skep_module *m);
};

static void management_run(struct loop *l, void *arg)
{
    struct management_call *call = arg;
    call->fn(call->module);
}

void life_on_management(struct skep_module *m, void (*fn)(struct skep_module *m))
{
    struct management_call call = {m, fn};
    loop_call(m->host->management, management_run, &call);
}

static void start_one(struct skep_module *m)
{
    struct blame mark = blame_begin(m, "start");

    if (m->d->start)
        m->d->start(m->self, m->previous ? m->previous->self : NULL);
    blame_end(mark);
}

static bool set_authorizes(struct skep_module *const *modules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct skep_descriptor *d = modules[i]->d;
        if ((d->on_publish || d->on_subscribe) && !(d->flags & SKEP_ADVISES))
            return true;
    }
    return false;
}

static struct chain *chain_of(const struct life_set *set, const struct life_chain *want)
{
    struct skep_module **modules = xcalloc(set->count + 1, sizeof(struct skep_module *));
    size_t count = 0;
    struct chain *chain;
    bool allow;

    if (want && want->modules) {
        for (size_t i = 0; i < want->count && count < set->count; i++) {
            struct skep_module *m = set_find(set, want->modules[i]);
            if (m)
                modules[count++] = m;
        }
    } else {
        for (; count < set->count; count++)
            modules[count] = set->modules[count];
    }
    allow = set->conf.acl == LIFE_ACL_ALLOW ||
            (set->conf.acl == LIFE_ACL_AUTO && !set_authorizes(modules, count));
    chain = chain_new(modules, count, allow);
    free(modules);
    return chain;
}

static const struct life_chain *chain_named(const struct life_set *set, const char *listener)
{
    for (size_t i = 0; set && i < set->conf.chain_count; i++)
        if (strcmp(set->conf.chains[i].listener, listener) == 0)
            return &set->conf.chains[i];
    return NULL;
}

void life_prepare(struct life_set *set)
{
    struct host *h = set->host;

    qsbr_online(&h->main_slot);
    for (size_t i = 0; i < set->conf.chain_count; i++) {
        const char *listener = set->conf.chains[i].listener;
        if (!chain_named(h->life->running, listener))
            chain_swap(h, chain_slot(h, listener), chain_new(NULL, 0, false));
    }
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
}

static void swap_chains(struct host *h, const struct life_set *set)
{
    for (size_t i = 0; i < set->conf.chain_count; i++)
        chain_slot(h, set->conf.chains[i].listener); /* now all have one */
    chain_slot(h, "");
    for (struct chain_slot *slot = h->chains; slot; slot = slot->next)
        chain_swap(h, slot, chain_of(set, chain_named(set, slot->listener)));
}

static void swap_roll(struct host *h, const struct life_set *set)
{
    struct roll *roll = xcalloc(1, sizeof *roll + set->count * sizeof(struct skep_module *));
    uint64_t events = 0;

    roll->count = set->count;
    for (size_t i = 0; i < set->count; i++) {
        roll->modules[i] = set->modules[i];
        if (set->modules[i]->d->on_event)
            events |= set->modules[i]->d->events;
    }
    qsbr_retire(&h->main_slot, atomic_exchange(&h->roll, roll), free);
    events_swap(h, events);
}

static bool in_set(const struct life_set *set, const struct skep_module *m)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->modules[i] == m)
            return true;
    return false;
}

static void start_new(struct life_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct skep_module *m = set->modules[i];
        if (set->kept[i])
            continue;
        life_on_management(m, start_one);
        m->previous = NULL;
        log_info("modules", "%s %s loaded from %s", m->name, m->d->version ? m->d->version : "",
                 m->object->path);
    }
}

void life_commit(struct life_set **sp)
{
    struct life_set *set = *sp, *old;
    struct host *h = set->host;

    start_new(set);
    qsbr_online(&h->main_slot);
    swap_chains(h, set);
    swap_roll(h, set);
    atomic_fetch_add(&h->verdicts, 1);
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
    old = h->life->running;
    h->life->running = set;
    for (size_t i = 0; old && i < old->count; i++)
        if (!in_set(set, old->modules[i]))
            leave_begin(old->modules[i], true);
    set_free(&old);
    *sp = NULL;
}

void life_empty(struct host *h)
{
    static const struct directive_blocks none;
    struct life_set *set = xcalloc(1, sizeof *set);

    set->host = h;
    /* What the broker itself still does, such as sending wills, was allowed before. */
    set->conf = (struct life_conf){.loads = &none, .acl = LIFE_ACL_ALLOW};
    qsbr_online(&h->main_slot);
    swap_chains(h, set);
    swap_roll(h, set);
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
    set_free(&h->life->running);
    h->life->running = set;
}

/* -- The whole -- */

void life_open(struct host *h)
{
    struct host_life *life = xcalloc(1, sizeof *life);

    life->host = h;
    life->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(life->wake_fd >= 0);
    h->life = life;
    atomic_init(&h->roll, xcalloc(1, sizeof(struct roll)));
    h->alarms = alarms_open();
    host_on_leave(h, command_leave);
}

void life_free(struct host_life *life)
{
    struct host *h = life->host;

    set_free(&life->running);
    while (life->stats) {
        struct life_stats *s = life->stats;
        life->stats = s->next;
        free(s->stats);
        free(s->name);
        free(s);
    }
    alarms_close(&h->alarms);
    close(life->wake_fd);
    free(atomic_load(&h->roll));
    free(life);
}

int life_wake_fd(const struct host *h)
{
    return h->life->wake_fd;
}
