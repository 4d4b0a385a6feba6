/* Waiting: a table of those who do.
 *
 *     token = generation and place in the table
 *
 * A wait is over once, by whoever changes its one word first: a completion (any thread), the
 * deadline, or the client leaving (the client's loop).  Everybody else finds another state or
 * another generation, and does nothing.  A completion is carried to the client's loop as a task;
 * the place in the table is free again when that has run.
 *
 * Waits hold the instance.  The table grows to WAITS_MAX places and is the process's: tokens name
 * no host. */
#ifndef SKEP_HOST_WAIT_H
#define SKEP_HOST_WAIT_H

#include "host/request.h"

enum { WAITS_MAX = 1 << 20 };

/* On the client's loop: whatever r waits for is not wanted any more; the word given to the wait is
 * dropped. */
void wait_cancel(struct skep_request *r);

/* Places taken in the table; for tests and status. */
unsigned waits_now(void);

#endif
