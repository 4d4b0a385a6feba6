/* A whole store out of its tables; for tools, with no broker running.
 *
 * store_load() tells everything but what these functions add, the messages that several queues
 * share and the numbers in the meta table.  store/import.h is the way back.  One thread. */
#ifndef SKEP_STORE_EXPORT_H
#define SKEP_STORE_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/load.h"

/* Both return ERR_DAMAGED or ERR_SYSTEM with a line in `why`, or what the callback returned. */

/* Each message that queue entries share: its id is their load_entry.shared. */
typedef int export_message_fn(void *arg, uint64_t id, const struct record_message *m);
int export_messages(struct tables *t, export_message_fn *fn, void *arg, char *why, size_t why_size);

/* What the tables note by name: the moment of store time (moment.h) and the last number of a
 * session among it; but nothing that says how these very tables stand to their log. */
typedef int export_meta_fn(void *arg, struct str name, uint64_t value);
int export_meta(struct tables *t, export_meta_fn *fn, void *arg, char *why, size_t why_size);

/* Whether a number is left out for that reason: an import makes it anew. */
bool export_meta_is_own(struct str name);

#endif
