/* The end of what a module serves; see services.h. */
#ifndef SKEP_HOST_API_HTTP_SERVER_H
#define SKEP_HOST_API_HTTP_SERVER_H

#include "host/instance.h"

/* On the management loop (or when it has stopped): no request reaches the module any more. */
void servers_quiesce(struct skep_module *m);
/* Behind unload(): the number of servers and unanswered requests that were left. */
unsigned servers_forget(struct skep_module *m);

#endif
