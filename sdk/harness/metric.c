/* Metrics, read as the `metrics` module reads them. */
#include <skep/metric.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "world.h"

struct search {
    char name[256], labels[1200];
    double value;
    bool found;
};

static void look(const struct skep_sample *sample, void *arg)
{
    struct search *s = arg;

    if (strcmp(sample->name, s->name) != 0 || strcmp(sample->labels, s->labels) != 0)
        return;
    s->value = sample->kind == SKEP_HISTOGRAM ? (double)sample->count : sample->value;
    s->found = true;
}

double skep_test_metric(const struct skep_test *t, const char *name, const char *labels)
{
    struct search s = {.found = false};

    snprintf(s.name, sizeof s.name, "skep_module_%s", name);
    snprintf(s.labels, sizeof s.labels, "module=\"%s\"%s%s", skep_module_name(t->module),
             labels ? "," : "", labels ? labels : "");
    skep_metrics(t->module, look, &s);
    if (!s.found)
        test_fail("there is no metric %s{%s}", s.name, s.labels);
    return s.value;
}
