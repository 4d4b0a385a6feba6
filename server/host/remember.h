/* Remembered verdicts (skep_cacheable()): a few for each client, of topics short enough.
 *
 * One is good for the chain and the generation of verdicts it was made under.  The whole topic is
 * compared. */
#ifndef SKEP_HOST_REMEMBER_H
#define SKEP_HOST_REMEMBER_H

#include "host/request.h"

struct verdicts;

/* True: r is decided by what is remembered. */
bool remembered(const struct verdicts *v, struct skep_request *r);
/* Notes the verdict of r, if it may be remembered; made if need be, freed with free(). */
void remember(struct verdicts **v, const struct skep_request *r);

#endif
