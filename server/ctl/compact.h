/* Giving back the space that a store no longer uses.  Whenever it is cut off, by a signal or by
 * the power, what is there is a whole store with everything in it. */
#ifndef SKEP_CTL_COMPACT_H
#define SKEP_CTL_COMPACT_H

#include "store/store.h"

/* conf: dir, and for tests disk and sizes.  Takes the store's lock.  What store_open() says. */
int compact_store(const struct store_conf *conf, char *why, size_t why_size);

#endif
