/* <skep/metric.h>: making metrics and adding to them. */
#include <skep/metric.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "host/metrics_impl.h"

enum { NAME_MAX_LEN = 200, LABELS_MAX_LEN = 1000 };

static bool name_valid(const char *name)
{
    return name && *name && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool bounds_valid(const double *bounds, size_t count)
{
    if (count > METRICS_BOUNDS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!(bounds[i] == bounds[i]) || (i > 0 && !(bounds[i] > bounds[i - 1])))
            return false;
    }
    return true;
}

/* key: the name as it will be shown, and the labels without the module's. */
static struct series *make(struct skep_module *m, struct metric_key key)
{
    char labels[LABELS_MAX_LEN + 1];
    const char *more = key.labels ? key.labels : "";
    int len = snprintf(labels, sizeof labels, "module=\"%s\"%s%s", m->name, *more ? "," : "", more);

    key.labels = labels;
    key.help = key.help ? key.help : "";
    key.refused |= len >= (int)sizeof labels || strchr(more, '\n');
    key.refused |= !bounds_valid(key.bounds, key.bound_count);
    if (key.refused) {
        log_error("host", "module %s makes a metric that makes no sense: %.100s", m->name,
                  key.name);
        key.bound_count = 0;
    }
    return metrics_series(m, &key);
}

static struct series *make_own(struct skep_module *m, const char *name, struct metric_key key)
{
    char whole[NAME_MAX_LEN + 1];
    int len = snprintf(whole, sizeof whole, "skep_module_%s", name ? name : "");

    key.name = whole;
    key.refused = !name_valid(name) || len >= (int)sizeof whole;
    return make(m, key);
}

struct skep_counter *skep_counter(struct skep_module *m, const char *name, const char *labels,
                                  const char *help)
{
    struct metric_key key = {.labels = labels, .help = help, .kind = SKEP_COUNTER};
    return (struct skep_counter *)make_own(m, name, key);
}

struct skep_gauge *skep_gauge(struct skep_module *m, const char *name, const char *labels,
                              const char *help)
{
    struct metric_key key = {.labels = labels, .help = help, .kind = SKEP_GAUGE};
    return (struct skep_gauge *)make_own(m, name, key);
}

struct skep_histogram *skep_histogram(struct skep_module *m, const char *name, const char *labels,
                                      const char *help, const double *bounds, size_t count)
{
    struct metric_key key = {.labels = labels,
                             .help = help,
                             .kind = SKEP_HISTOGRAM,
                             .bounds = bounds,
                             .bound_count = count};
    return (struct skep_histogram *)make_own(m, name, key);
}

struct skep_counter *metric_counter(struct skep_module *m, const char *name, const char *labels,
                                    const char *help)
{
    struct metric_key key = {.name = name, .labels = labels, .help = help, .kind = SKEP_COUNTER};
    return (struct skep_counter *)make(m, key);
}

struct skep_histogram *metric_histogram(struct skep_module *m, const char *name, const char *labels,
                                        const char *help, const double *bounds, size_t count)
{
    struct metric_key key = {.name = name,
                             .labels = labels,
                             .help = help,
                             .kind = SKEP_HISTOGRAM,
                             .bounds = bounds,
                             .bound_count = count};
    return (struct skep_histogram *)make(m, key);
}

/* Adding */

/* The shard of the calling thread, or NULL: the last one, which is everybody's. */
static _Atomic uint64_t *own_shard(const struct series *s)
{
    const struct host_place *p = host_here;

    if (!p || p->host != s->host)
        return NULL;
    size_t at = p->index == HOST_MANAGEMENT ? s->host->loop_count : p->index;
    return &s->slots[at * s->stride];
}

static _Atomic uint64_t *shared_shard(const struct series *s)
{
    return &s->slots[(s->shards - 1) * s->stride];
}

static void slot_add(const struct series *s, size_t slot, uint64_t n)
{
    _Atomic uint64_t *own = own_shard(s);

    if (own)
        atomic_store_explicit(&own[slot],
                              atomic_load_explicit(&own[slot], memory_order_relaxed) + n,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&shared_shard(s)[slot], n, memory_order_relaxed);
}

static void double_add(_Atomic uint64_t *at, double by)
{
    uint64_t before = atomic_load_explicit(at, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(at, &before,
                                                  double_bits(bits_double(before) + by),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void skep_counter_add(struct skep_counter *c, uint64_t n)
{
    slot_add((const struct series *)c, 0, n);
}

uint64_t skep_counter_value(const struct skep_counter *c)
{
    return series_slot((const struct series *)c, 0);
}

void skep_gauge_set(struct skep_gauge *g, double value)
{
    const struct series *s = (const struct series *)g;
    atomic_store_explicit(&s->slots[0], double_bits(value), memory_order_relaxed);
}

void skep_gauge_add(struct skep_gauge *g, double by)
{
    const struct series *s = (const struct series *)g;
    double_add(&s->slots[0], by);
}

void skep_histogram_add(struct skep_histogram *h, double value)
{
    const struct series *s = (const struct series *)h;
    _Atomic uint64_t *own = own_shard(s);
    size_t i = 0, sum = s->bound_count + 1;

    while (i < s->bound_count && value > s->bounds[i])
        i++;
    slot_add(s, i, 1);
    if (own)
        atomic_store_explicit(
            &own[sum],
            double_bits(bits_double(atomic_load_explicit(&own[sum], memory_order_relaxed)) + value),
            memory_order_relaxed);
    else
        double_add(&shared_shard(s)[sum], value);
}

void skep_metrics(struct skep_module *m, void (*each)(const struct skep_sample *sample, void *arg),
                  void *arg)
{
    metrics_walk(m->host, each, arg);
}
