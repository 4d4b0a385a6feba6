/* What the host counts of each module's hooks (struct hook_stats), summed over the loops. */
#include <stdio.h>

#include "base/mem.h"
#include "host/metrics.h"

static const char *const hook_names[SKEP_STAGES] = {
    [SKEP_STAGE_CONNECT] = "connect",     [SKEP_STAGE_AUTH] = "auth",
    [SKEP_STAGE_SUBSCRIBE] = "subscribe", [SKEP_STAGE_PUBLISH] = "publish",
    [SKEP_STAGE_WILL] = "will",           [SKEP_STAGE_DELIVER] = "deliver",
    [SKEP_STAGE_MESSAGE] = "message",
};

static const struct {
    const char *name, *help;
    size_t at; /* in struct hook_stats */
} figures[] = {
    {"skep_module_calls_total", "Decisions that a module was asked for",
     offsetof(struct hook_stats, calls)},
    {"skep_module_allowed_total", "Decisions of a module that allowed",
     offsetof(struct hook_stats, allowed)},
    {"skep_module_denied_total", "Decisions of a module that denied",
     offsetof(struct hook_stats, denied)},
    {"skep_module_errors_total", "Decisions that a module could not make",
     offsetof(struct hook_stats, errors)},
    {"skep_module_timeouts_total", "Decisions that a module did not make in time",
     offsetof(struct hook_stats, timeouts)},
    {"skep_module_cancelled_total", "Decisions given up because the client left",
     offsetof(struct hook_stats, cancelled)},
};

/* A member of one hook's statistics, summed over the places. */
static uint64_t sum(const struct skep_module *m, unsigned stage, size_t at)
{
    uint64_t total = 0;

    for (unsigned i = 0; i <= m->host->loop_count; i++) {
        const char *stats = (const char *)&m->stats[i].hooks[stage];
        total += atomic_load_explicit((const _Atomic uint64_t *)(stats + at), memory_order_relaxed);
    }
    return total;
}

static void label(char *out, size_t size, const struct skep_module *m, unsigned stage)
{
    snprintf(out, size, "module=\"%s\",hook=\"%s\"", m->name, hook_names[stage]);
}

static void one_figure(const struct skep_module *m, size_t figure, const struct metric_out *out)
{
    char labels[300];

    for (unsigned stage = 0; stage < SKEP_STAGES; stage++) {
        if (!instance_has(m, (enum skep_stage)stage))
            continue;
        label(labels, sizeof labels, m, stage);
        metric_value(out, SKEP_COUNTER, figures[figure].name, figures[figure].help, labels,
                     (double)sum(m, stage, figures[figure].at));
    }
}

/* Latencies are counted in powers of two from 1 us. */
static void latency(const struct skep_module *m, unsigned stage, const struct metric_out *out)
{
    double bounds[INSTANCE_BUCKETS - 1];
    uint64_t buckets[INSTANCE_BUCKETS], count = 0;
    char labels[300];

    for (unsigned i = 0; i < INSTANCE_BUCKETS; i++) {
        buckets[i] = sum(m, stage, offsetof(struct hook_stats, latency) + i * sizeof(uint64_t));
        count += buckets[i];
        if (i < INSTANCE_BUCKETS - 1)
            bounds[i] = (double)(1u << i) / 1e6;
    }
    label(labels, sizeof labels, m, stage);
    struct skep_sample s = {
        .name = "skep_module_seconds",
        .help = "Time from a module being asked to its verdict",
        .labels = labels,
        .kind = SKEP_HISTOGRAM,
        .bounds = bounds,
        .buckets = buckets,
        .bound_count = INSTANCE_BUCKETS - 1,
        .count = count,
        .sum = (double)sum(m, stage, offsetof(struct hook_stats, latency_us)) / 1e6,
    };
    out->each(&s, out->arg);
}

static void pending(const struct skep_module *m, const struct metric_out *out)
{
    char labels[300];

    snprintf(labels, sizeof labels, "module=\"%s\"", m->name);
    metric_value(out, SKEP_GAUGE, "skep_module_pending", "Decisions that wait for a module", labels,
                 atomic_load(&m->pending));
}

void metrics_modules(struct host *h, const struct metric_out *out)
{
    const struct roll *roll = atomic_load(&h->roll);

    for (size_t figure = 0; figure < ARRAY_LEN(figures); figure++) {
        for (size_t i = 0; i < roll->count; i++)
            one_figure(roll->modules[i], figure, out);
    }
    for (size_t i = 0; i < roll->count; i++)
        pending(roll->modules[i], out);
    for (size_t i = 0; i < roll->count; i++) {
        for (unsigned stage = 0; stage < SKEP_STAGES; stage++) {
            if (instance_has(roll->modules[i], (enum skep_stage)stage))
                latency(roll->modules[i], stage, out);
        }
    }
}
