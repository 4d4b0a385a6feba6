/* What root makes in the folder of Skep's own user would be closed to Skep: the store's tools work
 * as the user whose folder it is.  For one thread of a process without others that mind. */
#ifndef SKEP_CTL_OWNER_H
#define SKEP_CTL_OWNER_H

#include "ctl/fault.h"

/* From here to owner_leave() the process acts as the owner of `path`, or of the folder it would
 * stand in.  Nothing happens unless root calls.  0, or -1 with fault. */
int owner_enter(const char *path, struct fault *fault);
void owner_leave(void);

#endif
