/* A token.  Input: its text.  Whatever it is, it is taken apart or refused; what is taken has the
 * parts it should have, and none of it is good for keys it was not signed with. */
#include "fuzz.h"

#include <string.h>

#include "lib_jwt/claims.h"
#include "lib_jwt/keys.h"

static struct keys *keys_once(void)
{
    static struct keys *keys;

    if (!keys) {
        keys = keys_new();
        MUST(!keys_add_secret(keys, NULL,
                              SKEP_STR("a secret that is in no corpus; 64 bytes of it, "
                                       "for all three digests"),
                              0));
    }
    return keys;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct skep_str text = skep_bytes(data, size);
    struct token t;
    const char *why = token_parse(&t, text);

    if (!why) {
        static const char *const any[] = {"*"};
        struct claims_rules rules = {.audiences = any, .audience_count = 1, .require_exp = true};
        char *sub = claims_text(t.claims, "sub");
        MUST(size <= TOKEN_MAX && cJSON_IsObject(t.header) && cJSON_IsObject(t.claims));
        MUST((unsigned)t.algorithm < ALGORITHM_COUNT && t.signature);
        MUST(t.signed_part.ptr == text.ptr && t.signed_part.len < size);
        MUST(!t.kid || strlen(t.kid) <= TOKEN_KID);
        MUST(keys_check(keys_once(), &t) != CHECK_GOOD);
        if (!claims_check(t.claims, &rules, 1e9))
            MUST(claims_expiry_ms(t.claims) > 0);
        free(sub);
    }
    token_fini(&t);
    (void)token_is_likely(text);
    return 0;
}
