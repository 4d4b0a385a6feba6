/* The ends of what api_loop.c, api_timer.c and api_watch.c make for an instance; see services.h. */
#ifndef SKEP_HOST_API_LOOP_H
#define SKEP_HOST_API_LOOP_H

#include "host/instance.h"

/* On the place's thread: none of its timers or watches fires any more. */
void timers_quiesce(struct skep_module *m, struct host_place *p);
void watches_quiesce(struct skep_module *m, struct host_place *p);

/* Any thread: what was posted and has not run is dropped instead. */
void tasks_take_back(struct skep_module *m);

/* Behind unload(): frees what is left, and says how many that were. */
unsigned timers_forget(struct skep_module *m);
unsigned watches_forget(struct skep_module *m);

#endif
