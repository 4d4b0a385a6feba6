/* From one set of instances to the next: start the new ones, swap all chains, stop the old ones. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "host/crash.h"
#include "host/event.h"
#include "host/life_impl.h"
#include "net/loop.h"

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
            struct skep_module *m = life_set_find(set, want->modules[i]);
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

static void swap_chains(struct host *h, const struct life_set *set)
{
    for (size_t i = 0; i < set->conf.chain_count; i++)
        chain_slot(h, set->conf.chains[i].listener); /* now all have one */
    chain_slot(h, "");
    for (struct chain_slot *slot = h->chains; slot; slot = slot->next)
        chain_swap(h, slot, chain_of(set, chain_named(set, slot->listener)));
}

void life_prepare(struct life_set *set)
{
    struct host *h = set->host;

    set->prepared = true;
    qsbr_online(&h->main_slot);
    for (size_t i = 0; i < set->conf.chain_count; i++) {
        const char *listener = set->conf.chains[i].listener;
        if (!chain_named(h->life->running, listener))
            chain_swap(h, chain_slot(h, listener), chain_new(NULL, 0, false));
    }
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
}

void life_unprepare(struct life_set *set)
{
    struct host *h = set->host;

    qsbr_online(&h->main_slot);
    swap_chains(h, h->life->running);
    qsbr_quiescent(&h->main_slot);
    qsbr_offline(&h->main_slot);
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
    life_set_free(&old);
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
    life_set_free(&h->life->running);
    h->life->running = set;
}
