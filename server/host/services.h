/* What modules got from the host and may leave behind: timers, watches, tasks, servers.
 *
 * Tasks, jobs and HTTP exchanges hold the instance (they end by themselves).  Timers, watches and
 * servers do not: a stopped module may keep them until unload().  The order in which an instance
 * goes, on the main thread, once it was stopped and nobody holds it:
 *
 *     services_quiesce(m)   nothing fires any more
 *     (held again, because a timer that fired meanwhile began something: wait, and quiesce again)
 *     unload(self)          may free its timers and watches, whatever their loop was
 *     services_forget(m)    frees what is left, with a warning
 *
 * At the end of the broker, with all loops stopped and not yet freed: services_stop(h), then
 * services_quiesce() for each instance; then the loops are freed (that runs what was posted), then
 * instances are unloaded. */
#ifndef SKEP_HOST_SERVICES_H
#define SKEP_HOST_SERVICES_H

#include "host/crash.h"
#include "host/instance.h"

/* host_new(), when places and loops are there. */
void services_open(struct host *h);
/* Ends the job pool and all HTTP exchanges; from now on tasks are dropped at once. */
void services_stop(struct host *h);
/* host_free(), behind the last unload. */
void services_close(struct host *h);

void services_quiesce(struct skep_module *m);
/* The number of things that were forgotten. */
unsigned services_forget(struct skep_module *m);

#endif
