/* Where Skep keeps its data on this machine, for commands that are not told. */
#ifndef SKEP_CTL_PLACE_H
#define SKEP_CTL_PLACE_H

#include <limits.h>
#include <stdbool.h>

/* The data folder of the source tree this program was built in (TREE/build/PRESET/bin/skepctl);
 * false when it was not.  The folder may be missing. */
bool place_tree_data(char out[PATH_MAX]);

/* The store in the first of the customary data folders that has one; the last one looked at when
 * none has, and false. */
bool place_store(char out[PATH_MAX]);

/* The program of that name (at most 24 bytes) that belongs to this skepctl: beside it, or in the
 * sbin, bin or libexec/skep beside its folder. */
bool place_program(char out[PATH_MAX], const char *name);

/* The skep that belongs to this skepctl: beside it, or in the sbin or bin beside its folder. */
bool place_skep(char out[PATH_MAX]);

#endif
