/* The scenarios: each runs to its end and notes what it found.
 *
 * They return false when the turn has failed; a report with a verdict means measured, but wrong.
 */
#ifndef SKEP_BENCH_SCENARIO_H
#define SKEP_BENCH_SCENARIO_H

#include "report.h"
#include "turn.h"

bool traffic_run(struct turn *t, struct report *r); /* pairs, fan-in, fan-out, latency */
bool filters_run(struct turn *t, struct report *r);
bool storm_run(struct turn *t, struct report *r);
bool idle_run(struct turn *t, struct report *r);
bool retained_run(struct turn *t, struct report *r);
bool offline_run(struct turn *t, struct report *r);
bool ready_run(struct turn *t, struct report *r);

#endif
