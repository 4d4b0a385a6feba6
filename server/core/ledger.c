#include "core/ledger.h"

void ledger_sum_add(struct ledger_sum *sum, const struct ledger *l)
{
#define ADD(name)         sum->name += atomic_load_explicit(&l->name, memory_order_relaxed);
#define ADD_DROP(name)    ADD(dropped_##name)
#define ADD_REFUSAL(name) ADD(refused_##name)
    LEDGER_COUNTS(ADD)
    LEDGER_DROPS(ADD_DROP)
    LEDGER_REFUSALS(ADD_REFUSAL)
#undef ADD
#undef ADD_DROP
#undef ADD_REFUSAL
}

uint64_t ledger_received(const struct ledger_sum *s)
{
    return s->received_qos0 + s->received_qos1 + s->received_qos2;
}

uint64_t ledger_refused(const struct ledger_sum *s)
{
    uint64_t n = 0;
#define ADD(name) n += s->refused_##name;
    LEDGER_REFUSALS(ADD)
#undef ADD
    return n;
}

uint64_t ledger_delivered(const struct ledger_sum *s)
{
    return s->delivered_qos0 + s->delivered_qos1 + s->delivered_qos2;
}

uint64_t ledger_dropped(const struct ledger_sum *s)
{
    uint64_t n = 0;
#define ADD(name) n += s->dropped_##name;
    LEDGER_DROPS(ADD)
#undef ADD
    return n;
}

uint64_t ledger_waiting(const struct ledger_sum *s)
{
    return s->routed - ledger_delivered(s) - ledger_dropped(s);
}

void ledger_each(const struct ledger_sum *s,
                 void (*each)(void *arg, const char *name, uint64_t value), void *arg)
{
#define EACH(name)         each(arg, #name, s->name);
#define EACH_DROP(name)    each(arg, "dropped_" #name, s->dropped_##name);
#define EACH_REFUSAL(name) each(arg, "refused_" #name, s->refused_##name);
    LEDGER_COUNTS(EACH)
    LEDGER_DROPS(EACH_DROP)
    LEDGER_REFUSALS(EACH_REFUSAL)
#undef EACH
#undef EACH_DROP
#undef EACH_REFUSAL
}
