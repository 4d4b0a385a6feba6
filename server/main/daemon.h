/* The running process: settings, server, control socket, and the main thread that waits
 * for signals, control requests and time to pass.
 *
 *     STARTING --> RUNNING --TERM, INT, stop--> DRAINING --no client left, or 5 s--> end
 *
 * A second TERM or INT ends the drain at once.  Reload (HUP, `skepctl reload`) builds and
 * checks everything beside the old; on any error the old stays and the error is told. */
#ifndef SKEP_MAIN_DAEMON_H
#define SKEP_MAIN_DAEMON_H

#include "main/options.h"

/* Runs until told to stop; the process's exit status.  Complaints go to stderr and the
 * log. */
int daemon_run(const struct options *options);

/* Checks the configuration as far as that goes without using it (TLS files included);
 * complaints go to stderr.  OPTIONS_PRINT also prints it to stdout.  Exit status. */
int daemon_check(const struct options *options);

#endif
