#include "lib_jwt/claims.h"

#include <stdlib.h>

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, list[i]) == 0)
            return true;
    }
    return false;
}

static const char *check_issuer(const cJSON *claims, const struct claims_rules *rules)
{
    const char *iss = json_text(json_member(claims, "iss"));

    if (rules->issuer_count == 0)
        return NULL;
    return iss && is_one_of(iss, rules->issuers, rules->issuer_count) ? NULL
                                                                      : "token of another issuer";
}

/* A string, or a list of strings [RFC 7519 4.1.3]. */
static const char *check_audience(const cJSON *claims, const struct claims_rules *rules)
{
    static const char *const elsewhere = "token for another audience";
    const cJSON *aud = json_member(claims, "aud"), *item;

    if (!aud && rules->audience_count == 0)
        return NULL;
    if (is_one_of("*", rules->audiences, rules->audience_count))
        return NULL;
    if (json_text(aud))
        return is_one_of(aud->valuestring, rules->audiences, rules->audience_count) ? NULL
                                                                                    : elsewhere;
    if (!cJSON_IsArray(aud))
        return elsewhere;
    cJSON_ArrayForEach(item, aud)
    {
        if (json_text(item) &&
            is_one_of(item->valuestring, rules->audiences, rules->audience_count))
            return NULL;
    }
    return elsewhere;
}

/* Seconds since 1970; false: it is there and no such number. */
static bool read_time(const cJSON *claims, const char *name, bool *given, double *out)
{
    const cJSON *value = json_member(claims, name);

    *given = value;
    *out = value ? value->valuedouble : 0;
    return !value || (cJSON_IsNumber(value) && *out >= 0 && *out < 1e12);
}

static const char *check_times(const cJSON *claims, const struct claims_rules *rules, double now_s)
{
    bool has_exp, has_nbf, has_iat;
    double exp, nbf, iat;

    if (!read_time(claims, "exp", &has_exp, &exp) || !read_time(claims, "nbf", &has_nbf, &nbf) ||
        !read_time(claims, "iat", &has_iat, &iat))
        return "token with a time that is none";
    if (!has_exp && (rules->require_exp || rules->longest_s > 0))
        return "token that never expires";
    if (has_exp && now_s >= exp + rules->leeway_s)
        return "token expired";
    if (has_exp && rules->longest_s > 0 && exp > now_s + rules->longest_s + rules->leeway_s)
        return "token valid for too long";
    if (has_nbf && now_s < nbf - rules->leeway_s)
        return "token not valid yet";
    if (has_iat && now_s < iat - rules->leeway_s)
        return "token from the future";
    return NULL;
}

const char *claims_check(const cJSON *claims, const struct claims_rules *rules, double now_s)
{
    const char *why;

    if ((why = check_issuer(claims, rules)) || (why = check_audience(claims, rules)))
        return why;
    return check_times(claims, rules, now_s);
}

uint64_t claims_expiry_ms(const cJSON *claims)
{
    const cJSON *exp = json_member(claims, "exp");
    return cJSON_IsNumber(exp) ? (uint64_t)(exp->valuedouble * 1000) : 0;
}

bool claims_hold(const cJSON *claims, const char *path, struct skep_str text)
{
    const cJSON *value = json_at(claims, path), *item;

    if (json_text(value))
        return skep_str_eq(skep_str(value->valuestring), text);
    if (!cJSON_IsArray(value))
        return false;
    cJSON_ArrayForEach(item, value)
    {
        if (json_text(item) && skep_str_eq(skep_str(item->valuestring), text))
            return true;
    }
    return false;
}

char *claims_text(const cJSON *claims, const char *path)
{
    const cJSON *value = json_at(claims, path);

    if (!value || cJSON_IsNull(value))
        return NULL;
    return json_text(value) ? strdup(value->valuestring) : cJSON_PrintUnformatted(value);
}
