#include <stdlib.h>

#include "auth_jwt/instance.h"
#include "lib_json/rules.h"

/* Whose token it was: a re-authentication has to be the same subject's. */
#define SUBJECT "jwt_sub"

static struct inputs inputs_of(const struct skep_request *r)
{
    const struct skep_client *c = skep_request_client(r);
    struct inputs in = {.attribute = NULL};

    in.values[VAR_CLIENT_ID] = skep_client_id(c);
    in.values[VAR_USERNAME] = skep_client_username(c);
    in.values[VAR_ADDRESS] = skep_client_host(c);
    in.values[VAR_LISTENER] = skep_client_listener(c);
    in.values[VAR_CERT_CN] = skep_client_cert_cn(c);
    in.values[VAR_CERT_SUBJECT] = skep_client_cert_subject(c);
    if (skep_stage(r) == SKEP_STAGE_CONNECT) {
        in.values[VAR_CLIENT_ID] = skep_connect_client_id(r);
        in.values[VAR_USERNAME] = skep_connect_username(r);
    }
    return in;
}

static const char *check_requirements(const struct jwt *j, const struct skep_request *r,
                                      const cJSON *claims)
{
    struct inputs in = inputs_of(r);
    const char *why = NULL;

    for (size_t i = 0; i < j->requirement_count && !why; i++) {
        struct buffer value = {.limit = 65536};
        why = template_render(j->requirements[i].value, PLACE_PLAIN, &in, &value);
        if (!why && (value.len == 0 || !claims_hold(claims, j->requirements[i].claim,
                                                    skep_bytes(value.ptr, value.len))))
            why = "token of somebody else";
        buffer_fini(&value);
    }
    return why;
}

static const char *check_subject(const struct skep_request *r, const cJSON *claims,
                                 const char *username)
{
    const struct skep_client *c = skep_request_client(r);
    struct skep_str before = skep_client_attribute(c, SUBJECT);
    const char *sub = json_text(json_member(claims, "sub"));

    if (!skep_str_eq(before, skep_str(sub)))
        return "token of somebody else";
    if (username && !skep_str_eq(skep_client_username(c), skep_str(username)))
        return "token of somebody else";
    return NULL;
}

static int give_attributes(const struct jwt *j, struct skep_request *r, const cJSON *claims)
{
    const char *sub = json_text(json_member(claims, "sub"));
    int err = sub && *sub ? skep_connect_set_attribute(r, SUBJECT, skep_str(sub)) : 0;

    for (size_t i = 0; i < j->conf->attribute.count && err >= 0; i++) {
        const struct skep_list *line = &j->conf->attribute.items[i];
        char *text = claims_text(claims, line->items[2]);
        if (text)
            err = skep_connect_set_attribute(r, line->items[0], skep_str(text));
        free(text);
    }
    return err;
}

static const char *give_rules(const struct jwt *j, struct skep_request *r, const cJSON *claims,
                              bool *error)
{
    const cJSON *value = j->conf->acl_claim ? json_at(claims, j->conf->acl_claim) : NULL;
    struct rules rules;
    const char *why;

    if (!value)
        return NULL;
    if (rules_parse(&rules, value, &why) < 0)
        return why;
    if (rules_apply(&rules, true, r) < 0) {
        *error = true;
        why = "a rule of the token that cannot be kept";
    }
    rules_fini(&rules);
    return why;
}

static const char *username_of(const struct jwt *j, const cJSON *claims, const char **name)
{
    *name = NULL;
    if (!j->conf->username_claim)
        return NULL;
    *name = json_text(json_at(claims, j->conf->username_claim));
    return *name && **name && strlen(*name) <= 65535 ? NULL : "token without a user name";
}

const char *grant(struct jwt *j, struct skep_request *r, const cJSON *claims, bool *error)
{
    const char *why, *username;
    bool again = skep_stage(r) == SKEP_STAGE_AUTH && skep_auth_is_reauth(r);
    uint64_t expiry = claims_expiry_ms(claims);

    if ((why = check_requirements(j, r, claims)) || (why = username_of(j, claims, &username)))
        return why;
    if (again && (why = check_subject(r, claims, username)))
        return why;
    if (give_attributes(j, r, claims) < 0) {
        *error = true;
        return "an attribute that cannot be given";
    }
    if ((why = give_rules(j, r, claims, error)))
        return why;
    if (username && !again)
        skep_connect_set_username(r, skep_str(username));
    if (j->conf->disconnect_at_expiry)
        skep_connect_set_expiry(r, expiry ? expiry + j->conf->leeway : 0);
    return NULL;
}
