/* The registry of counters, gauges and histograms (sdk/include/skep/metric.h).
 *
 *     family   one name: kind, help
 *       series   one set of labels: a shard for each loop, the management loop, and everybody else
 *
 * A shard is written by its own thread with plain stores; the last one, for threads that are no
 * loop's, with atomic additions.  Readers sum the shards.  Series live as long as the host, so that
 * a module that is loaded again goes on counting; those of a module that is gone are not shown. */
#ifndef SKEP_HOST_METRICS_H
#define SKEP_HOST_METRICS_H

#include <skep/metric.h>

#include "host/instance.h"

/* Series in all; what is made beyond counts into one that is not shown. */
enum { METRICS_SERIES_MAX = 20000, METRICS_BOUNDS_MAX = 32 };

struct host_metrics *metrics_open(struct host *h);
void metrics_close(struct host_metrics **metrics);

/* A metric that the host keeps about a module, under its whole name.  m's name goes into the
 * labels. Never NULL.  Any thread. */
struct skep_counter *metric_counter(struct skep_module *m, const char *name, const char *labels,
                                    const char *help);
struct skep_histogram *metric_histogram(struct skep_module *m, const char *name, const char *labels,
                                        const char *help, const double *bounds, size_t count);

/* m is unloaded and about to be freed: its series are no longer shown, unless another instance made
 * them, too. */
void metrics_forget(struct skep_module *m);

typedef void metric_each_fn(const struct skep_sample *sample, void *arg);

/* Where samples go, for those that are made only when somebody looks. */
struct metric_out {
    metric_each_fn *each;
    void *arg;
};

/* One sample of a counter or gauge; labels as in <skep/metric.h>, "" for none. */
void metric_value(const struct metric_out *out, enum skep_metric_kind kind, const char *name,
                  const char *help, const char *labels, double value);

/* Figures of a layer above: fn is called whenever somebody looks, on his thread.  Up to
 * METRICS_SOURCES_MAX.  Remove it before arg goes. */
enum { METRICS_SOURCES_MAX = 8 };
typedef void metric_source_fn(void *arg, const struct metric_out *out);
void metrics_source_add(struct host *h, metric_source_fn *fn, void *arg);
void metrics_source_remove(struct host *h, metric_source_fn *fn, void *arg);

/* Everything: see skep_metrics(). */
void metrics_walk(struct host *h, metric_each_fn *each, void *arg);

/* The parts, in the order of the walk.  metrics_core.c: */
void metrics_core(struct host *h, const struct metric_out *out);
/* metrics_process.c: */
void metrics_process(struct host *h, const struct metric_out *out);
/* metrics_modules.c; with the registry locked, so that no module of the roll goes. */
void metrics_modules(struct host *h, const struct metric_out *out);

#endif
