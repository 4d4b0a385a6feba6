/* Counters, gauges and histograms.  They show up in the `metrics` module by themselves, as
 * skep_module_NAME{module="...",labels}.  Adding to a counter or histogram is a plain store on the
 * calling loop's own copy: no lock, no shared cache line.
 *
 * The host itself measures each module: calls, pending, denials, errors, timeouts and a histogram
 * of latency for each hook.
 *
 * Names are [a-z0-9_]; labels are written as in Prometheus, `kind="hit"`, NULL for none.  Making
 * the same metric again (after a reload) goes on counting where it was.  Make them in load(). */
#ifndef SKEP_METRIC_H
#define SKEP_METRIC_H

#include <skep/base.h>

SKEP_BEGIN

struct skep_counter;
struct skep_gauge;
struct skep_histogram;

/* Makes one, or finds what has that name and these labels. */
SKEP_EXPORT struct skep_counter *skep_counter(struct skep_module *m, const char *name,
                                              const char *labels, const char *help);
SKEP_EXPORT struct skep_gauge *skep_gauge(struct skep_module *m, const char *name,
                                          const char *labels, const char *help);
/* bounds: upper bounds of the buckets, rising; copied; at most 32. */
SKEP_EXPORT struct skep_histogram *skep_histogram(struct skep_module *m, const char *name,
                                                  const char *labels, const char *help,
                                                  const double *bounds, size_t count);

/* Any thread. */
SKEP_EXPORT void skep_counter_add(struct skep_counter *c, uint64_t n);
SKEP_EXPORT void skep_gauge_set(struct skep_gauge *g, double value);
SKEP_EXPORT void skep_gauge_add(struct skep_gauge *g, double by);
SKEP_EXPORT void skep_histogram_add(struct skep_histogram *h, double value);
SKEP_EXPORT uint64_t skep_counter_value(const struct skep_counter *c);

/* -- Reading everything: the broker's own figures, the host's about modules, and the modules' -- */

enum skep_metric_kind { SKEP_COUNTER, SKEP_GAUGE, SKEP_HISTOGRAM };

struct skep_sample {
    const char *name; /* whole: skep_connections, skep_module_calls_total, ... */
    const char *help;
    const char *labels; /* without braces; "" for none */
    enum skep_metric_kind kind;
    double value; /* of counters and gauges */
    const double *bounds;
    const uint64_t *buckets; /* not cumulative; buckets[bound_count] is what is above all bounds */
    size_t bound_count;
    double sum;
    uint64_t count;
};

/* Calls `each` for every metric as it stands; all samples of one name come in a row.  It may call
 * no other function of this header.  Any thread; costs microseconds a metric and nothing that grows
 * with the number of clients. */
SKEP_EXPORT void skep_metrics(struct skep_module *m,
                              void (*each)(const struct skep_sample *sample, void *arg), void *arg);

SKEP_END
#endif
