/* SCRAM messages.  Input: the client's first message, a line end, its final one.  Nobody is let in
 * without the proof, whatever the messages look like. */
#include "fuzz.h"

#include <string.h>

#include "lib_users/scram.h"

static void final_message(struct scram *s, struct skep_str message, bool known)
{
    struct password_hash verifier;
    static const unsigned char secret[32] = "secret";
    struct skep_str challenge;

    scram_make_up(&verifier, secret, scram_user(s), 4096, 16);
    challenge = scram_challenge(s, &verifier, known, "ournonce");
    MUST(challenge.len > 10 && memcmp(challenge.ptr, "r=", 2) == 0);
    MUST(scram_final(s, message) != NULL); /* the key is nobody's */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    struct skep_str first = skep_bytes(data, end ? (size_t)(end - data) : size);
    struct skep_str last = end ? skep_bytes(end + 1, size - first.len - 1) : SKEP_STR("");
    struct scram *s;
    const char *wrong = scram_first(&s, first);

    MUST(!wrong == (s != NULL));
    if (!s)
        return 0;
    MUST(first.len <= SCRAM_MESSAGE_MAX && scram_user(s).len > 0);
    MUST(!memchr(scram_user(s).ptr, '\0', scram_user(s).len));
    final_message(s, last, true);
    final_message(s, last, false);
    scram_free(&s);
    return 0;
}
