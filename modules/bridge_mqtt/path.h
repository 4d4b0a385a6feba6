/* Where a message has been: a user property with the ids of the bridges' brokers it left, in order.
 * Two brokers that bridge each other, or a ring of them, see a message of theirs come back. */
#ifndef BRIDGE_PATH_H
#define BRIDGE_PATH_H

#include <skep/message.h>

#include "buf.h"

#define PATH_PROPERTY "skep-path"

enum { PATH_MOST = 1024 }; /* bytes of a path; one that is longer is taken for a loop */

/* Whether the message has been at the broker with that id. */
bool path_has(const struct skep_user_property *properties, size_t count, struct skep_str id);

/* `from` with `id` added at the end of its path.  The result is valid while `text` and `from` are;
 * to holds room for count + 1.  Returns how many there are. */
size_t path_add(const struct skep_user_property *from, size_t count, struct skep_str id,
                struct skep_user_property *to, struct buf *text);

#endif
