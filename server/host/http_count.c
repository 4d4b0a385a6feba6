/* What the host measures of a module's HTTP requests. */
#include <stdlib.h>

#include "base/mem.h"
#include "host/http_impl.h"
#include "host/metrics.h"

struct http_counts {
    struct skep_counter *requests, *errors, *timeouts;
    struct skep_histogram *took;
};

static struct http_counts *counts_new(struct skep_module *m)
{
    static const double bounds[] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                    0.2,   0.5,   1,     2,    5,    10,   30};
    struct http_counts *c = xcalloc(1, sizeof *c);

    c->requests = metric_counter(m, "skep_module_http_requests_total", NULL,
                                 "HTTP requests that the module made");
    c->errors = metric_counter(m, "skep_module_http_errors_total", NULL,
                               "HTTP requests that got no whole answer, timeouts included");
    c->timeouts = metric_counter(m, "skep_module_http_timeouts_total", NULL,
                                 "HTTP requests that got no answer in time");
    c->took = metric_histogram(m, "skep_module_http_seconds", NULL,
                               "Time from asking to the whole answer or the failure, waiting for "
                               "a free connection included",
                               bounds, ARRAY_LEN(bounds));
    return c;
}

/* Two threads may make them at once: they are the same metrics. */
static struct http_counts *counts(struct skep_module *m)
{
    struct http_counts *c = atomic_load(&m->things.http), *none = NULL;

    if (c)
        return c;
    c = counts_new(m);
    if (atomic_compare_exchange_strong(&m->things.http, &none, c))
        return c;
    free(c);
    return none;
}

void http_count_request(struct skep_module *m)
{
    skep_counter_add(counts(m)->requests, 1);
}

void http_count_reply(struct skep_module *m, const struct skep_http_reply *reply)
{
    struct http_counts *c = counts(m);

    if (reply->error)
        skep_counter_add(c->errors, 1);
    if (reply->timed_out)
        skep_counter_add(c->timeouts, 1);
    skep_histogram_add(c->took, (double)reply->took_ms / 1000);
}
