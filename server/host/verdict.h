/* What decide.c knows of asking beside request.h. */
#ifndef SKEP_HOST_VERDICT_H
#define SKEP_HOST_VERDICT_H

#include "host/request.h"

/* The client left while a module was still thinking about r. */
void request_cancelled(struct skep_request *r);

#endif
