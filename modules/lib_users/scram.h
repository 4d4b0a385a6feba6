/* The server's side of SCRAM-SHA-256, messages in and out (RFC 5802, RFC 7677).
 *
 *     client-first    n,,n=user,r=NONCE             scram_first()
 *     server-first    r=NONCE+OURS,s=SALT,i=COUNT   scram_challenge()
 *     client-final    c=biws,r=NONCE+OURS,p=PROOF   scram_final()
 *     server-final    v=SIGNATURE                   scram_answer()
 *
 * Channel binding is not offered: 'n' and 'y' are taken, 'p' is refused.
 *
 * Names: control characters and what is not UTF-8 are refused, everything else is compared byte by
 * byte with the names in the users file.  No form is normalised: a name in another form than the
 * file's is simply another name.  (The password never comes here; see `skepctl passwd --scram`.)
 *
 * Functions return NULL, or the error in the words of RFC 5802 section 7. */
#ifndef LIB_USERS_SCRAM_H
#define LIB_USERS_SCRAM_H

#include "password.h"

enum { SCRAM_MESSAGE_MAX = 8192, SCRAM_NONCE_MAX = 512 };

struct scram;

/* Parses the client's first message. */
const char *scram_first(struct scram **out, struct skep_str message);
void scram_free(struct scram **s); /* wipes it; accepts NULL */

/* Until scram_free(). */
struct skep_str scram_user(const struct scram *s);
/* On whose behalf; empty: his own. */
struct skep_str scram_authzid(const struct scram *s);

/* What the client is asked.  nonce: ours, printable, without commas.  verifier: copied; known says
 * whether it is a user's, or made up. */
struct skep_str scram_challenge(struct scram *s, const struct password_hash *verifier, bool known,
                                const char *nonce);

/* Parses the answer and checks the proof; "invalid-proof" also when the verifier was made up. */
const char *scram_final(struct scram *s, struct skep_str message);

/* After scram_final() returned NULL: what proves to the client that we know its verifier. */
struct skep_str scram_answer(struct scram *s);

/* The same answer for the same name, as if it stood in the file: for users who do not. */
void scram_make_up(struct password_hash *out, const unsigned char secret[32], struct skep_str user,
                   uint32_t iterations, size_t salt_len);

#endif
