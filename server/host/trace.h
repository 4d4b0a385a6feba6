/* `skepctl trace`: events about one client or topic, kept for whoever comes to fetch them.
 *
 * A trace holds up to TRACE_LINES events; what comes faster than it is fetched is counted and left
 * out.  One that nobody fetches from ends by itself. */
#ifndef SKEP_HOST_TRACE_H
#define SKEP_HOST_TRACE_H

#include <cjson/cJSON.h>
#include <skep/event.h>

#include "host/host.h"

enum { TRACES_MAX = 4, TRACE_LINES = 2000, TRACE_IDLE_MS = 15000 };

struct traces;

/* host_new(); host_free(). */
void traces_open(struct host *h);
void traces_close(struct host *h);

/* -- Main thread -- */

/* client NULL: any; topic: a filter, NULL: any.  A number for the next two, 0: there are too many
 * traces. */
unsigned trace_begin(struct host *h, const char *client, const char *topic, uint64_t now_ms);
/* What came since, as an array; *dropped: events that were left out meanwhile.  NULL: no such
 * trace. */
cJSON *trace_take(struct host *h, unsigned number, uint64_t now_ms, uint64_t *dropped);
void trace_end(struct host *h, unsigned number);
/* Now and then: ends those that nobody fetches from. */
void trace_tick(struct host *h, uint64_t now_ms);

#endif
