/* Commands for modules, from the control socket to on_command and back.
 *
 *     main: command_run()  ->  management loop: on_command  ->  ... answer  ->  main: ended()
 *
 * A command is ended exactly once, on the main thread: answered, refused, or after COMMAND_MS. */
#ifndef SKEP_HOST_COMMAND_H
#define SKEP_HOST_COMMAND_H

#include <skep/command.h>

#include "host/instance.h"

enum { COMMAND_MS = 10000 };

/* json: one value as text, or NULL and one line of what was wrong. */
typedef void command_ended_fn(void *arg, uint64_t ticket, const char *json, const char *error);

/* Main thread.  Copies the words. */
void command_run(struct skep_module *m, const char *const *words, size_t count,
                 command_ended_fn *ended, void *arg, uint64_t ticket);

/* At the end of the broker nobody is kept waiting: a host_leave_fn. */
void command_leave(struct host_place *p, struct skep_module *m);

/* Frees those that were never answered: when the module is unloaded. */
void command_forget(struct skep_module *m);

#endif
