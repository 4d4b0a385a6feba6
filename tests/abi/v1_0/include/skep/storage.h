/* Storage: keys and values of a module in the data directory, kept over restarts.
 *
 * Reading is quick and may be done on a loop.  Writing is queued; a thread of its own commits what
 * has come together.  A get() sees what was set before it on any thread.  Keys have 1 to 500 bytes,
 * values up to 16 MiB. */
#ifndef SKEP_STORAGE_H
#define SKEP_STORAGE_H

#include <skep/base.h>

SKEP_BEGIN

/* Copies at most `cap` bytes of the value to buf and returns its whole length; SKEP_E_NOT_FOUND,
 * SKEP_E_INVALID (the key), or SKEP_E_SYSTEM.  Any thread. */
SKEP_EXPORT int64_t skep_storage_get(struct skep_module *m, struct skep_str key, void *buf,
                                     size_t cap);

/* Sets or (value.ptr NULL) deletes.  done may be NULL; else it is called once the change is on the
 * disk, or error says why not, on the loop that asked (the management loop, if none did).
 * SKEP_E_LIMIT: too much waits; SKEP_E_STATE: a done, while the broker ends.  Any thread. */
SKEP_EXPORT int skep_storage_set(struct skep_module *m, struct skep_str key, struct skep_str value,
                                 void (*done)(void *arg, int error), void *arg);

/* Calls each in the order of keys, beginning with `from`, until it returns false.  What is queued
 * is not seen.  Any thread. */
SKEP_EXPORT int skep_storage_each(struct skep_module *m, struct skep_str from,
                                  bool (*each)(struct skep_str key, struct skep_str value,
                                               void *arg),
                                  void *arg);

SKEP_END
#endif
