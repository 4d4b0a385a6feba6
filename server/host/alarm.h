/* Alarms that modules raised and did not clear: sdk/include/skep/module.h. */
#ifndef SKEP_HOST_ALARM_H
#define SKEP_HOST_ALARM_H

#include <cjson/cJSON.h>

#include "host/instance.h"

struct host_alarms;

struct host_alarms *alarms_open(void);
void alarms_close(struct host_alarms **alarms);

/* [{"module":..., "name":..., "text":..., "since_ms":...}], of one module or (NULL) of all.  Any
 * thread.  The caller deletes it. */
cJSON *alarm_list(struct host *h, const struct skep_module *m);

/* The instance goes: what its name has raised stays if another instance of that name took over,
 * which may clear it; else it is cleared. */
void alarm_forget(struct skep_module *m, bool taken_over);

#endif
