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

/* m is unloaded: its series are no longer shown, unless another instance made them, too. */
void metrics_forget(struct skep_module *m);

typedef void metric_each_fn(const struct skep_sample *sample, void *arg);

/* Calls each for every series in the registry. */
void metrics_each(struct host_metrics *metrics, metric_each_fn *each, void *arg);

#endif
