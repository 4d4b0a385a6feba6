#include "host/chain.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/guard.h"

bool instance_has(const struct skep_module *m, enum skep_stage stage)
{
    const struct skep_descriptor *d = m->d;

    switch (stage) {
    case SKEP_STAGE_CONNECT:
        return d->on_connect;
    case SKEP_STAGE_AUTH:
        return d->on_auth;
    case SKEP_STAGE_SUBSCRIBE:
        return d->on_subscribe;
    case SKEP_STAGE_PUBLISH:
        return d->on_publish;
    case SKEP_STAGE_WILL:
        return d->on_will || d->on_publish;
    case SKEP_STAGE_DELIVER:
        return d->on_deliver;
    case SKEP_STAGE_MESSAGE:
        return d->on_message;
    default:
        return false;
    }
}

static size_t stage_fill(struct skep_module **at, struct skep_module *const *modules, size_t count,
                         enum skep_stage stage)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        if (instance_has(modules[i], stage))
            at[n++] = modules[i];
    }
    return n;
}

static bool is_access_list(const struct skep_descriptor *d)
{
    return d->on_deliver && (d->on_publish || d->on_subscribe) && !(d->flags & SKEP_ADVISES);
}

/* Bits of the stages that are more than a yes. */
static uint8_t stages_asked(const struct chain *c)
{
    unsigned asks = c->acl_allow ? 0
                                 : 1u << SKEP_STAGE_PUBLISH | 1u << SKEP_STAGE_SUBSCRIBE |
                                       1u << SKEP_STAGE_WILL;

    for (unsigned stage = 0; stage < SKEP_STAGES; stage++)
        asks |= (c->stages[stage].count > 0) << stage;
    return (uint8_t)asks;
}

struct chain *chain_new(struct skep_module *const *modules, size_t count, bool acl_allow)
{
    struct chain *c = xcalloc(1, sizeof *c + SKEP_STAGES * count * sizeof(struct skep_module *));
    struct skep_module **at = (struct skep_module **)(c + 1);

    c->acl_allow = acl_allow;
    for (unsigned stage = 0; stage < SKEP_STAGES; stage++) {
        c->stages[stage].modules = at;
        c->stages[stage].count = (unsigned)stage_fill(at, modules, count, (enum skep_stage)stage);
        at += c->stages[stage].count;
    }
    c->deliver_allow = true;
    for (size_t i = 0; i < count; i++) {
        const struct skep_descriptor *d = modules[i]->d;
        if (d->on_message && modules[i]->topics_named)
            topic_set_join(&c->topics, &modules[i]->topics);
        else if (d->on_message)
            topic_set_fill(&c->topics);
        c->sees_internal |= d->on_message && (d->flags & SKEP_SEE_INTERNAL);
        c->deliver_allow &= acl_allow || !is_access_list(d);
    }
    c->asks = stages_asked(c);
    return c;
}

struct chain_slot *chain_slot(struct host *h, const char *listener)
{
    struct chain_slot *slot;

    lock_take(&h->chains_lock);
    for (slot = h->chains; slot && strcmp(slot->listener, listener) != 0; slot = slot->next)
        ;
    if (!slot) {
        slot = xcalloc(1, sizeof *slot);
        slot->listener = str_dup(str_of(listener));
        atomic_init(&slot->chain, chain_new(NULL, 0, true));
        slot->next = h->chains;
        h->chains = slot;
    }
    lock_drop(&h->chains_lock);
    return slot;
}

void chain_swap(struct host *h, struct chain_slot *slot, struct chain *chain)
{
    struct chain *old = atomic_load(&slot->chain);

    chain->number = old->number + 1;
    old = atomic_exchange(&slot->chain, chain);
    guard_chains(h);
    qsbr_retire(&h->main_slot, old, free);
}

void chains_free(struct host *h)
{
    while (h->chains) {
        struct chain_slot *slot = h->chains;
        h->chains = slot->next;
        free(atomic_load(&slot->chain));
        free(slot->listener);
        free(slot);
    }
}
