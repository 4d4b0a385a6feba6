/* Passwords that were right a short while ago, so that a client that comes back at once does not
 * cost a hash again.  What is kept is an HMAC of user, his hash in the file and the password, under
 * a key of this process: it is good for nothing else, and void once the hash in the file changes.
 * Any thread. */
#ifndef LIB_USERS_RECALL_H
#define LIB_USERS_RECALL_H

#include "password.h"

struct recall;

struct recall *recall_new(void);
void recall_free(struct recall **r); /* accepts NULL */

struct recall_key {
    unsigned char mac[32];
};

void recall_key(const struct recall *r, struct recall_key *out, struct skep_str user,
                const struct password_hash *hash, struct skep_str password);
bool recall_knows(struct recall *r, const struct recall_key *key, uint64_t now_ms);
void recall_note(struct recall *r, const struct recall_key *key, uint64_t until_ms);

#endif
