/* Who would get a message: for those who want to see it, not for sending. */
#ifndef SKEP_CORE_RECEIVERS_H
#define SKEP_CORE_RECEIVERS_H

#include "base/str.h"
#include "core/session.h"

/* Calls each for every session with a subscription that matches the topic, with its options and,
 * for a shared subscription, all of "$share/NAME/FILTER".  A session with several may come up
 * several times.  On a worker's thread; the session is not locked and lives until the end of the
 * turn. */
void receivers_each(struct worker *w, struct str topic,
                    void (*each)(void *arg, struct session *s, unsigned options, struct str shared),
                    void *arg);

#endif
