/* What the program says of modules without running: their options, and whether a file is good. */
#ifndef SKEP_MAIN_INSPECT_H
#define SKEP_MAIN_INSPECT_H

#include "main/options.h"

/* Each returns the process's exit status. */
int inspect_check(const struct options *o);      /* --check-module FILE */
int inspect_directives(const struct options *o); /* --directives, perhaps --module NAME */

#endif
