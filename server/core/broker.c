#include "core/broker.h"

#include <stdlib.h>

#include "base/mem.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/sessions.h"
#include "core/share.h"

enum { SWEEP_RETAINED = 2000 };

static const struct limits *limits_copy(const struct limits *limits)
{
    struct limits *copy = xmalloc(sizeof *copy);
    *copy = *limits;
    return copy;
}

static void retained_limits_set(struct broker *b, const struct limits *l)
{
    retained_limit(b->retained, &(struct retained_limits){.max_messages = l->max_retained_messages,
                                                          .max_bytes = l->max_retained_bytes});
}

struct broker *broker_new(const struct limits *limits, const struct broker_ops *ops, void *arg)
{
    struct broker *b = xcalloc(1, sizeof *b);

    atomic_init(&b->limits, limits_copy(limits));
    b->subs = subs_new();
    b->retained = retained_new();
    b->sessions = sessions_new();
    b->shares = shares_new();
    b->ops = ops;
    b->ops_arg = arg;
    retained_limits_set(b, limits);
    return b;
}

void broker_free(struct broker **b)
{
    if (!*b)
        return;
    sessions_free(&(*b)->sessions);
    shares_free(&(*b)->shares);
    retained_free(&(*b)->retained);
    subs_free(&(*b)->subs);
    free((void *)atomic_load(&(*b)->limits));
    free(*b);
    *b = NULL;
}

void broker_limit(struct broker *b, struct qsbr_slot *slot, const struct limits *limits)
{
    const struct limits *old = atomic_exchange(&b->limits, limits_copy(limits));
    retained_limits_set(b, limits);
    qsbr_retire(slot, (void *)old, free);
}

void broker_ledger(struct broker *b, struct ledger_sum *out)
{
    uint32_t n = atomic_load(&b->worker_count);

    *out = (struct ledger_sum){0};
    for (uint32_t i = 0; i < n; i++)
        ledger_sum_add(out, &b->workers[i]->ledger);
}

bool broker_tick(struct worker *w)
{
    bool more = sessions_tick(w);
    retained_sweep(w->broker->retained, w->slot, w->now_ms, SWEEP_RETAINED);
    return more;
}
