#include "host/chain.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"

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
    for (size_t i = 0; i < count; i++)
        c->sees_internal |= modules[i]->d->on_message && (modules[i]->d->flags & SKEP_SEE_INTERNAL);
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
    qsbr_retire(&h->main_slot, old, free);
}
