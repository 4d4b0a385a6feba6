/* A configuration in force as text, and the difference between two. */
#ifndef SKEP_CONF_SHOW_H
#define SKEP_CONF_SHOW_H

#include <stdio.h>

#include "conf/directive.h"

/* Every directive with its value, defaults included: readable by the parser again.
 * Secrets appear as their source or as "hidden". */
void show_effective(FILE *to, const struct directive_table *table, const void *base);

struct show_change {
    struct show_change *next;
    const char *path;      /* "limits.max_packet", "listener mqtt.bind", "listener mqtt" */
    const char *from, *to; /* NULL: not there */
    bool fixed;            /* only a restart changes it */
};

/* What differs, in the order of the table; NULL for nothing.  In the arena. */
struct show_change *show_changes(const struct directive_table *table, const void *old_base,
                                 const void *new_base, struct arena *arena);

/* "limits.max_packet: 1m -> 2m" in the arena. */
const char *show_change_text(const struct show_change *c, struct arena *arena);

#endif
