/* Between metrics.c and api_metric.c: a series, and how one is named. */
#ifndef SKEP_HOST_METRICS_IMPL_H
#define SKEP_HOST_METRICS_IMPL_H

#include <string.h>

#include "host/metrics.h"

struct family;

/* struct skep_counter, skep_gauge and skep_histogram are this. */
struct series {
    struct host *host;
    struct family *family;
    struct skep_module *owner; /* who made it last; NULL: gone, not shown */
    char *labels;
    enum skep_metric_kind kind;
    unsigned shards;
    size_t stride; /* slots from one shard to the next */
    /* A counter has one slot, a gauge one (the bits of a double) in one shard, a histogram one for
     * each bucket and one for the sum (the bits of a double). */
    _Atomic uint64_t *slots;
    double bounds[METRICS_BOUNDS_MAX];
    size_t bound_count;
    struct series *next, *next_hashed;
};

struct metric_key {
    const char *name, *labels, *help; /* whole */
    enum skep_metric_kind kind;
    const double *bounds;
    size_t bound_count;
    bool refused; /* it will not be shown */
};

struct series *metrics_series(struct skep_module *m, const struct metric_key *key);

/* One slot, summed over the shards. */
uint64_t series_slot(const struct series *s, size_t slot);

static inline double bits_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#endif
