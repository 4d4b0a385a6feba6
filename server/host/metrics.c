#include "host/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/metrics_impl.h"

enum { BUCKETS = 1024, LINE = 64 };

struct family {
    char *name, *help;
    enum skep_metric_kind kind;
    struct series *first, **last; /* in the order in which they were made */
    struct family *next;
};

struct host_metrics {
    struct host *host;
    struct lock lock; /* of everything but the shards */
    struct family *families, **last;
    struct series *buckets[BUCKETS];
    unsigned count;
    struct series *retired; /* replaced by one with other bounds: somebody may still write */
    struct series *spare[SKEP_HISTOGRAM + 1]; /* for what is refused; not shown */
    struct {
        metric_source_fn *fn;
        void *arg;
    } sources[METRICS_SOURCES_MAX];
    unsigned source_count;
};

struct host_metrics *metrics_open(struct host *h)
{
    struct host_metrics *r = xcalloc(1, sizeof *r);

    r->host = h;
    r->last = &r->families;
    return r;
}

/* Series */

static struct series *series_new(struct host_metrics *r, const struct metric_key *key)
{
    struct series *s = xcalloc(1, sizeof *s);
    size_t slots = key->kind == SKEP_HISTOGRAM ? key->bound_count + 2 : 1;

    s->host = r->host;
    s->labels = str_dup(str_of(key->labels));
    s->kind = key->kind;
    s->bound_count = key->bound_count;
    if (key->bound_count)
        memcpy(s->bounds, key->bounds, key->bound_count * sizeof *key->bounds);
    s->shards = key->kind == SKEP_GAUGE ? 1 : r->host->loop_count + 2;
    s->stride = (slots * sizeof *s->slots + LINE - 1) / LINE * (LINE / sizeof *s->slots);
    s->slots = aligned_alloc(LINE, s->shards * s->stride * sizeof *s->slots);
    ASSERT(s->slots != NULL);
    memset(s->slots, 0, s->shards * s->stride * sizeof *s->slots);
    return s;
}

static void series_free(struct series *s)
{
    if (!s)
        return;
    free(s->slots);
    free(s->labels);
    free(s);
}

static bool same_bounds(const struct series *s, const struct metric_key *key)
{
    return s->bound_count == key->bound_count &&
           (s->bound_count == 0 ||
            memcmp(s->bounds, key->bounds, s->bound_count * sizeof *s->bounds) == 0);
}

/* Families */

static struct family *family_find(struct host_metrics *r, const char *name)
{
    struct family *f = r->families;

    while (f && strcmp(f->name, name) != 0)
        f = f->next;
    return f;
}

static struct family *family_make(struct host_metrics *r, const struct metric_key *key)
{
    struct family *f = xcalloc(1, sizeof *f);

    f->name = str_dup(str_of(key->name));
    f->help = str_dup(str_of(key->help));
    f->kind = key->kind;
    f->last = &f->first;
    *r->last = f;
    r->last = &f->next;
    return f;
}

/* What makes no sense, or too much of it, still gets something to count in. */
static struct series *spare(struct host_metrics *r, const struct metric_key *key)
{
    struct metric_key hidden = {.name = "", .labels = "", .help = "", .kind = key->kind};

    if (!r->spare[key->kind])
        r->spare[key->kind] = series_new(r, &hidden);
    return r->spare[key->kind];
}

static struct series **bucket_of(struct host_metrics *r, const struct metric_key *key)
{
    uint64_t name = hash_bytes(key->name, strlen(key->name));
    return &r->buckets[hash_bytes_with(name, key->labels, strlen(key->labels)) % BUCKETS];
}

static void series_append(struct family *f, struct series *s)
{
    *f->last = s;
    f->last = &s->next;
}

static void series_cut(struct host_metrics *r, struct series **link)
{
    struct series *s = *link, **at = &s->family->first;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (!*at)
        s->family->last = at;
    *link = s->next_hashed;
    s->next = r->retired;
    r->retired = s;
}

/* With the lock. */
static struct series *find_or_make(struct host_metrics *r, const struct metric_key *key)
{
    struct series **bucket = bucket_of(r, key), **link = bucket;
    struct family *f = family_find(r, key->name);

    if (f && f->kind != key->kind) {
        log_error("host", "metric %s is of another kind elsewhere: it is not shown", key->name);
        return spare(r, key);
    }
    while (*link && !((*link)->family == f && strcmp((*link)->labels, key->labels) == 0))
        link = &(*link)->next_hashed;
    if (*link && same_bounds(*link, key))
        return *link;
    if (*link)
        series_cut(r, link);
    if (r->count >= METRICS_SERIES_MAX) {
        log_limited(LOG_LEVEL_ERROR, "host", "there are %u metrics: further ones are not shown",
                    r->count);
        return spare(r, key);
    }
    struct series *s = series_new(r, key);
    s->family = f ? f : family_make(r, key);
    s->next_hashed = *bucket;
    *bucket = s;
    series_append(s->family, s);
    r->count++;
    return s;
}

struct series *metrics_series(struct skep_module *m, const struct metric_key *key)
{
    struct host_metrics *r = m->host->metrics;

    lock_take(&r->lock);
    struct series *s = key->refused ? spare(r, key) : find_or_make(r, key);
    s->owner = m;
    lock_drop(&r->lock);
    return s;
}

void metrics_forget(struct skep_module *m)
{
    struct host_metrics *r = m->host->metrics;

    lock_take(&r->lock);
    for (struct family *f = r->families; f; f = f->next) {
        for (struct series *s = f->first; s; s = s->next) {
            if (s->owner == m)
                s->owner = NULL;
        }
    }
    lock_drop(&r->lock);
}

/* Reading */

uint64_t series_slot(const struct series *s, size_t slot)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->shards; i++)
        sum += atomic_load_explicit(&s->slots[i * s->stride + slot], memory_order_relaxed);
    return sum;
}

static double series_sum(const struct series *s)
{
    double sum = 0;

    for (unsigned i = 0; i < s->shards; i++)
        sum += bits_double(atomic_load_explicit(&s->slots[i * s->stride + s->bound_count + 1],
                                                memory_order_relaxed));
    return sum;
}

static void sample(const struct series *s, metric_each_fn *each, void *arg)
{
    uint64_t buckets[METRICS_BOUNDS_MAX + 1];
    struct skep_sample out = {
        .name = s->family->name, .help = s->family->help, .labels = s->labels, .kind = s->kind};

    if (s->kind == SKEP_HISTOGRAM) {
        for (size_t i = 0; i <= s->bound_count; i++) {
            buckets[i] = series_slot(s, i);
            out.count += buckets[i];
        }
        out.bounds = s->bounds;
        out.buckets = buckets;
        out.bound_count = s->bound_count;
        out.sum = series_sum(s);
    } else if (s->kind == SKEP_COUNTER) {
        out.value = (double)series_slot(s, 0);
    } else {
        out.value = bits_double(series_slot(s, 0));
    }
    each(&out, arg);
}

/* With the lock. */
static void registered(struct host_metrics *r, const struct metric_out *out)
{
    for (const struct family *f = r->families; f; f = f->next) {
        for (const struct series *s = f->first; s; s = s->next) {
            if (s->owner)
                sample(s, out->each, out->arg);
        }
    }
}

void metric_value(const struct metric_out *out, enum skep_metric_kind kind, const char *name,
                  const char *help, const char *labels, double value)
{
    struct skep_sample s = {
        .name = name, .help = help, .labels = labels, .kind = kind, .value = value};
    out->each(&s, out->arg);
}

void metrics_source_add(struct host *h, metric_source_fn *fn, void *arg)
{
    struct host_metrics *r = h->metrics;

    lock_take(&r->lock);
    ASSERT(r->source_count < METRICS_SOURCES_MAX);
    r->sources[r->source_count].fn = fn;
    r->sources[r->source_count++].arg = arg;
    lock_drop(&r->lock);
}

void metrics_source_remove(struct host *h, metric_source_fn *fn, void *arg)
{
    struct host_metrics *r = h->metrics;

    lock_take(&r->lock);
    for (unsigned i = 0; i < r->source_count; i++) {
        if (r->sources[i].fn == fn && r->sources[i].arg == arg)
            r->sources[i--] = r->sources[--r->source_count];
    }
    lock_drop(&r->lock);
}

/* The lock keeps modules from going (metrics_forget), the slot the roll on threads that are no
 * loop's. */
void metrics_walk(struct host *h, metric_each_fn *each, void *arg)
{
    struct host_metrics *r = h->metrics;
    const struct metric_out out = {each, arg};
    struct qsbr_slot slot = {0};

    if (!host_here)
        qsbr_join(&slot);
    lock_take(&r->lock);
    if (h->broker)
        metrics_core(h, &out);
    for (unsigned i = 0; i < r->source_count; i++)
        r->sources[i].fn(r->sources[i].arg, &out);
    metrics_process(h, &out);
    metrics_modules(h, &out);
    registered(r, &out);
    lock_drop(&r->lock);
    if (!host_here)
        qsbr_leave(&slot);
}

static void series_free_all(struct series *s)
{
    while (s) {
        struct series *next = s->next;
        series_free(s);
        s = next;
    }
}

void metrics_close(struct host_metrics **metrics)
{
    struct host_metrics *r = *metrics;

    if (!r)
        return;
    while (r->families) {
        struct family *f = r->families;
        r->families = f->next;
        series_free_all(f->first);
        free(f->name);
        free(f->help);
        free(f);
    }
    series_free_all(r->retired);
    for (size_t i = 0; i < ARRAY_LEN(r->spare); i++)
        series_free(r->spare[i]);
    free(r);
    *metrics = NULL;
}
