/* A token taken apart: HEADER.CLAIMS.SIGNATURE, nothing of it believed yet [RFC 7515, RFC 7519]. */
#ifndef LIB_JWT_TOKEN_H
#define LIB_JWT_TOKEN_H

#include "lib_json/json.h"
#include "lib_jwt/algorithm.h"

enum { TOKEN_MAX = 8192, TOKEN_KID = 256 };

struct token {
    cJSON *header, *claims;
    enum algorithm algorithm;
    const char *kid;             /* NULL: none; points into header */
    struct skep_str signed_part; /* points into the text that was parsed */
    char *signature;
    size_t signature_len;
};

/* Whether it looks like one at all: three parts of base64url, the first an object. */
bool token_is_likely(struct skep_str text);

/* text must outlive the token.  NULL, or why it is none that we take; token_fini() in any case. */
const char *token_parse(struct token *t, struct skep_str text);
void token_fini(struct token *t);

#endif
