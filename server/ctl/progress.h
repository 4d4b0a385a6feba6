/* Signs of life of long work, on stderr: a line that is written over on a terminal, else a line
 * every two seconds.  Short work shows none. */
#ifndef SKEP_CTL_PROGRESS_H
#define SKEP_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress;

/* "NAME: COUNT UNIT, 12 s"; unit NULL: time alone.  NULL (for which the other functions do
 * nothing) when quiet.  Both texts are borrowed. */
struct progress *progress_start(const char *name, const char *unit, bool quiet);
void progress_add(struct progress *p, uint64_t n);
void progress_stop(struct progress **p);

#endif
