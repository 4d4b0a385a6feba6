/* Topic aliases that the broker assigns on one connection [MQTT 3.3.2.3.4].
 *
 * A small direct-mapped table: a topic's hash picks its alias.  Another topic takes the
 * place over once the one in it was passed by more often than it was met, so that a
 * subscriber to ever new topics does not pay for a table that never serves it.  Guarded by
 * the session's lock. */
#ifndef SKEP_CORE_ALIAS_H
#define SKEP_CORE_ALIAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct alias_table;

struct alias_table *alias_table_new(uint16_t size);
void alias_table_free(struct alias_table **t);

/* The alias for a topic, 1 to size, or 0: none for now.  *known: the client has the mapping,
 * so the topic may be left out; else it must be sent along once. */
uint16_t alias_assign(struct alias_table *t, struct str topic, bool *known);

#endif
