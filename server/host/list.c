/* What is loaded, and how it does: for `skepctl module list` and `info`. */
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "conf/show.h"
#include "host/alarm.h"
#include "host/life_impl.h"

static const char *const stage_names[SKEP_STAGES] = {
    [SKEP_STAGE_CONNECT] = "connect",     [SKEP_STAGE_AUTH] = "auth",
    [SKEP_STAGE_SUBSCRIBE] = "subscribe", [SKEP_STAGE_PUBLISH] = "publish",
    [SKEP_STAGE_WILL] = "will",           [SKEP_STAGE_DELIVER] = "deliver",
    [SKEP_STAGE_MESSAGE] = "message",
};

/* Of one hook, over all loops. */
struct sum {
    uint64_t calls, allowed, denied, errors, timeouts, cancelled, pending_ended, latency_us;
    uint64_t latency[INSTANCE_BUCKETS], answers;
};

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct sum sum_of(const struct skep_module *m, enum skep_stage stage)
{
    struct sum out = {0};

    for (unsigned i = 0; i <= m->host->loop_count; i++) {
        const struct hook_stats *s = &m->stats[i].hooks[stage];
        out.calls += read_counter(&s->calls);
        out.allowed += read_counter(&s->allowed);
        out.denied += read_counter(&s->denied);
        out.errors += read_counter(&s->errors);
        out.timeouts += read_counter(&s->timeouts);
        out.cancelled += read_counter(&s->cancelled);
        out.pending_ended += read_counter(&s->pending_ended);
        out.latency_us += read_counter(&s->latency_us);
        for (unsigned b = 0; b < INSTANCE_BUCKETS; b++) {
            out.latency[b] += read_counter(&s->latency[b]);
            out.answers += read_counter(&s->latency[b]);
        }
    }
    return out;
}

/* The upper bound of the bucket in which that share of all answers is reached, in us. */
static double percentile(const struct sum *s, double share)
{
    uint64_t seen = 0;
    unsigned b = 0;

    while (b < INSTANCE_BUCKETS - 1 && (double)(seen += s->latency[b]) < share * (double)s->answers)
        b++;
    return s->answers ? (double)(UINT64_C(1) << b) : 0;
}

static void add_hook(cJSON *hooks, const struct skep_module *m, enum skep_stage stage)
{
    struct sum s = sum_of(m, stage);
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "hook", stage_names[stage]);
    cJSON_AddNumberToObject(o, "calls", (double)s.calls);
    cJSON_AddNumberToObject(o, "allowed", (double)s.allowed);
    cJSON_AddNumberToObject(o, "denied", (double)s.denied);
    cJSON_AddNumberToObject(o, "errors", (double)s.errors);
    cJSON_AddNumberToObject(o, "timeouts", (double)s.timeouts);
    cJSON_AddNumberToObject(o, "cancelled", (double)s.cancelled);
    cJSON_AddNumberToObject(o, "waited", (double)s.pending_ended);
    cJSON_AddNumberToObject(o, "mean_us", s.answers ? (double)s.latency_us / (double)s.answers : 0);
    cJSON_AddNumberToObject(o, "p50_us", percentile(&s, 0.5));
    cJSON_AddNumberToObject(o, "p99_us", percentile(&s, 0.99));
    cJSON_AddItemToArray(hooks, o);
}

static void add_totals(cJSON *o, const struct skep_module *m)
{
    struct sum all = {0};

    for (unsigned stage = 0; stage < SKEP_STAGES; stage++) {
        struct sum s = sum_of(m, (enum skep_stage)stage);
        all.calls += s.calls;
        all.denied += s.denied;
        all.errors += s.errors;
        all.timeouts += s.timeouts;
    }
    cJSON_AddNumberToObject(o, "calls", (double)all.calls);
    cJSON_AddNumberToObject(o, "denied", (double)all.denied);
    cJSON_AddNumberToObject(o, "errors", (double)all.errors);
    cJSON_AddNumberToObject(o, "timeouts", (double)all.timeouts);
    cJSON_AddNumberToObject(o, "pending", atomic_load(&m->pending));
}

static cJSON *head_of(const struct skep_module *m)
{
    cJSON *o = cJSON_CreateObject(), *hooks;

    cJSON_AddStringToObject(o, "name", m->name);
    cJSON_AddStringToObject(o, "version", m->d->version ? m->d->version : "");
    cJSON_AddStringToObject(o, "state", atomic_load(&m->going) ? "leaving" : "running");
    hooks = cJSON_AddArrayToObject(o, "asked");
    for (unsigned stage = 0; stage < SKEP_STAGES; stage++)
        if (instance_has(m, (enum skep_stage)stage))
            cJSON_AddItemToArray(hooks, cJSON_CreateString(stage_names[stage]));
    add_totals(o, m);
    cJSON_AddStringToObject(o, "file", m->object->path);
    return o;
}

cJSON *life_list(struct host *h)
{
    const struct life_set *set = h->life->running;
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; set && i < set->count; i++)
        cJSON_AddItemToArray(list, head_of(set->modules[i]));
    for (const struct skep_module *m = h->life->living; m; m = m->next)
        if (atomic_load(&m->going))
            cJSON_AddItemToArray(list, head_of(m));
    return list;
}

static void add_options(cJSON *o, const struct skep_module *m)
{
    const struct load_block *b = (const void *)((const char *)m->conf - BIND_CONF);
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    if (!to)
        return;
    show_effective(to, b->block.table, b);
    fclose(to);
    cJSON_AddStringToObject(o, "options", text);
    free(text);
}

cJSON *life_info(struct host *h, const char *name)
{
    struct skep_module *m = life_find(h, name);
    cJSON *o, *hooks;

    if (!m)
        return NULL;
    o = head_of(m);
    cJSON_AddStringToObject(o, "summary", m->d->summary ? m->d->summary : "");
    cJSON_AddStringToObject(o, "sdk", m->object->sdk);
    cJSON_AddBoolToObject(o, "keeps", m->d->flags & SKEP_KEEP);
    cJSON_AddBoolToObject(o, "commands", m->d->on_command != NULL);
    hooks = cJSON_AddArrayToObject(o, "hooks");
    for (unsigned stage = 0; stage < SKEP_STAGES; stage++)
        if (instance_has(m, (enum skep_stage)stage))
            add_hook(hooks, m, (enum skep_stage)stage);
    cJSON_AddItemToObject(o, "alarms", alarm_list(h, m));
    add_options(o, m);
    return o;
}
