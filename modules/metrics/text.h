/* Samples as text, in the two formats that Prometheus reads: its own (version 0.0.4) and
 * OpenMetrics 1.0. */
#ifndef METRICS_TEXT_H
#define METRICS_TEXT_H

#include <skep/metric.h>

struct text {
    char *bytes;
    size_t len, cap;
    bool open;        /* OpenMetrics */
    bool failed;      /* no memory: what there is is not whole */
    char family[256]; /* whose HELP and TYPE stand there */
};

/* Empties it and keeps its memory. */
void text_begin(struct text *t, bool open_metrics);
/* Samples of one name come in a row. */
void text_add(struct text *t, const struct skep_sample *sample);
void text_end(struct text *t);
void text_fini(struct text *t);

/* Whether an Accept header prefers OpenMetrics to the other one. */
bool text_wants_open_metrics(struct skep_str accept);

/* Content-Type of the one and the other. */
const char *text_content_type(bool open_metrics);

#endif
