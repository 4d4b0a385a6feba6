/* What only front can tell about the broker, for those who read metrics (host/metrics.h). */
#ifndef SKEP_FRONT_FIGURES_H
#define SKEP_FRONT_FIGURES_H

#include "host/metrics.h"

/* A metric_source_fn; storage: the server's open store. */
void figures_store(void *storage, const struct metric_out *out);

#endif
