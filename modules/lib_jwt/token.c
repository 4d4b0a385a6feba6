#include "lib_jwt/token.h"

#include <stdlib.h>

#include "lib_jwt/base64url.h"

bool token_is_likely(struct skep_str text)
{
    size_t dots = 0;

    /* base64url of `{"` or of `{` and white space */
    if (text.len < 4 || text.ptr[0] != 'e' || text.ptr[1] < 'w' || text.ptr[1] > 'y')
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.')
            dots++;
        else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_'))
            return false;
    }
    return dots == 2;
}

static bool split(struct skep_str text, struct skep_str parts[3])
{
    const char *at = text.ptr, *end = text.ptr + text.len;

    for (unsigned i = 0; i < 3; i++) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        if ((dot != NULL) != (i < 2))
            return false;
        parts[i] = skep_bytes(at, (size_t)((dot ? dot : end) - at));
        if (dot)
            at = dot + 1;
    }
    return true;
}

static const char *read_object(cJSON **out, struct skep_str part)
{
    size_t len;
    const char *why = NULL;
    char *text = base64url_decode(part, &len);

    if (!text)
        return "not base64url";
    *out = json_parse(skep_bytes(text, len), &why);
    free(text);
    if (!why && !cJSON_IsObject(*out))
        why = "not a JSON object";
    return why;
}

static const char *read_header(struct token *t)
{
    const char *name = json_text(json_member(t->header, "alg"));
    const cJSON *kid = json_member(t->header, "kid");
    int algorithm = name ? algorithm_of(skep_str(name)) : -1;

    if (algorithm < 0)
        return "an algorithm that is not accepted";
    t->algorithm = (enum algorithm)algorithm;
    if (json_member(t->header, "crit")) /* none of them is known to us [RFC 7515 4.1.11] */
        return "critical header parameters";
    if (kid && (!json_text(kid) || strlen(kid->valuestring) > TOKEN_KID))
        return "a key id that is none";
    t->kid = json_text(kid);
    return NULL;
}

const char *token_parse(struct token *t, struct skep_str text)
{
    struct skep_str parts[3];
    const char *why;

    *t = (struct token){0};
    if (text.len > TOKEN_MAX)
        return "too long";
    if (text.len == 0 || !split(text, parts))
        return "not three parts";
    if ((why = read_object(&t->header, parts[0])) || (why = read_header(t)) ||
        (why = read_object(&t->claims, parts[1])))
        return why;
    t->signature = base64url_decode(parts[2], &t->signature_len);
    if (!t->signature)
        return "not base64url";
    t->signed_part = skep_bytes(text.ptr, (size_t)(parts[2].ptr - 1 - text.ptr));
    return NULL;
}

void token_fini(struct token *t)
{
    cJSON_Delete(t->header);
    cJSON_Delete(t->claims);
    free(t->signature);
    *t = (struct token){0};
}
