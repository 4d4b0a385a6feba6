/* A whole store into new tables; for tools, with no broker running.
 *
 * The reverse of a load (store/load.h, store/export.h), in its order: meta, shared messages, each
 * session with what belongs to it, retained messages.  It commits as it goes: tables whose import
 * failed are to be thrown away.  One thread. */
#ifndef SKEP_STORE_IMPORT_H
#define SKEP_STORE_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include "store/load.h"

struct import;

enum { IMPORT_NAME_MAX = 64 }; /* of a number in the meta table */

/* `t`: new ones, opened with a map larger than they will be; borrowed.  What tables_begin() says.
 */
int import_begin(struct import **out, struct tables *t);

/* 0; ERR_INVALID when it does not fit what came before (the order, a session it does not belong
 * to, something that is there already), ERR_LIMIT when a part is longer than a store takes,
 * ERR_SYSTEM; import_why() has the words.  After an error only import_free() is left. */
int import_meta(struct import *i, struct str name, uint64_t value);
int import_message(struct import *i, uint64_t id, const struct record_message *m);
int import_session(struct import *i, const struct load_session *s);
int import_subscription(struct import *i, const struct record_sub *sub);
int import_received(struct import *i, uint64_t session, uint16_t packet_id);
/* e->shared: the id of a message that has been imported, e->message is not looked at then. */
int import_entry(struct import *i, const struct load_entry *e);
int import_retained(struct import *i, const struct record_message *m);
const char *import_why(const struct import *i);

/* Commits the rest; the log must begin at *applied. */
int import_finish(struct import *i, uint64_t *applied);
/* Frees it, finished or not.  NULL is fine. */
void import_free(struct import **i);

#endif
