/* Where a module asks for memory that it can be told it does not get (a request's memory, a place
 * to wait), the author's test harness can say no; the broker itself has a refuse.c that never
 * does. */
#ifndef SKEP_HOST_REFUSE_H
#define SKEP_HOST_REFUSE_H

#include <stdbool.h>

/* Any thread. */
bool host_refuses(void);

#endif
