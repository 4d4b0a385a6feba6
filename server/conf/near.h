/* Which known name did somebody mean?  For hints on misspelt directives and values. */
#ifndef SKEP_CONF_NEAR_H
#define SKEP_CONF_NEAR_H

#include "base/str.h"

/* Keeps the nearest of the names offered to it. */
struct near {
    struct str wanted;
    struct str best;
    unsigned distance;
};

void near_init(struct near *n, struct str wanted);
void near_offer(struct near *n, struct str name);

/* Empty when nothing offered is near enough to be a likely slip. */
struct str near_best(const struct near *n);

/* Single characters to insert, delete, replace or swap; names above 64 bytes count as
 * unlike everything. */
unsigned near_distance(struct str a, struct str b);

#endif
