/* What a token says, once its signature is known to be good [RFC 7519 4.1]. */
#ifndef LIB_JWT_CLAIMS_H
#define LIB_JWT_CLAIMS_H

#include "lib_json/json.h"

struct claims_rules {
    const char *const *issuers; /* one of them; none given: any */
    size_t issuer_count;
    const char *const
        *audiences; /* one of them; "*": any; none given: a token with `aud` is refused */
    size_t audience_count;
    double leeway_s;
    bool require_exp;
    double longest_s; /* it may not be valid for longer, from now on; 0: for ever */
};

/* NULL, or why it is not (or no longer) good at that time (seconds since 1970). */
const char *claims_check(const cJSON *claims, const struct claims_rules *rules, double now_s);

/* When it ends, milliseconds since 1970; 0: never. */
uint64_t claims_expiry_ms(const cJSON *claims);

/* Whether the claim at that path is that text, or a list that holds it. */
bool claims_hold(const cJSON *claims, const char *path, struct skep_str text);

/* The claim as text, malloc'ed: strings as they are, anything else as JSON.  NULL: not there. */
char *claims_text(const cJSON *claims, const char *path);

#endif
