/* Where a message has been: a user property that lists the brokers whose bridges it passed, in
 * order,
 * `>ID` where it left the broker with that id, `<ID` where it came in.  Two brokers that bridge
 * each other, or a ring of them, see by it that a message of theirs comes back. */
#ifndef BRIDGE_PATH_H
#define BRIDGE_PATH_H

#include <skep/message.h>

#include "buf.h"

#define PATH_PROPERTY "skep-path"

enum { PATH_MOST = 1024 }; /* bytes of a path; one that is longer is taken for a loop */

enum path_way { PATH_OUT = '>', PATH_IN = '<' };

/* Whether the message left that broker (way PATH_OUT) or has been there at all (0). */
bool path_has(const struct skep_user_property *properties, size_t count, int way,
              struct skep_str id);

/* `from` with that added at the end of its path.  The result is valid while `text` and `from` are;
 * to holds room for count + 1.  Returns how many there are. */
size_t path_add(const struct skep_user_property *from, size_t count, enum path_way way,
                struct skep_str id, struct skep_user_property *to, struct buf *text);

#endif
