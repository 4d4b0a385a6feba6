#include "lib_http_decision/answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const quota_names[ANSWER_QUOTAS] = {
    [SKEP_QUOTA_MESSAGE_RATE] = "message_rate",   [SKEP_QUOTA_BYTE_RATE] = "byte_rate",
    [SKEP_QUOTA_SUBSCRIPTIONS] = "subscriptions", [SKEP_QUOTA_SESSION_EXPIRY_S] = "session_expiry",
    [SKEP_QUOTA_KEEP_ALIVE_S] = "keep_alive",
};

static bool wrong(struct answer *a, const char *why)
{
    a->verdict = SKEP_ERROR;
    a->error = why;
    return false;
}

/* A whole number from 0 to max. */
static bool whole(const cJSON *value, double max, uint64_t *out)
{
    if (!cJSON_IsNumber(value) || !(value->valuedouble >= 0) || value->valuedouble > max ||
        floor(value->valuedouble) != value->valuedouble)
        return false;
    *out = (uint64_t)value->valuedouble;
    return true;
}

static char *as_text(const cJSON *value)
{
    char number[32];

    if (cJSON_IsString(value))
        return strlen(value->valuestring) <= ANSWER_ATTRIBUTE ? strdup(value->valuestring) : NULL;
    if (cJSON_IsBool(value))
        return strdup(cJSON_IsTrue(value) ? "true" : "false");
    if (!cJSON_IsNumber(value))
        return NULL;
    snprintf(number, sizeof number, "%.15g", value->valuedouble);
    return strdup(number);
}

static bool read_attributes(struct answer *a, const cJSON *object)
{
    if (!object || cJSON_IsNull(object))
        return true;
    if (!cJSON_IsObject(object))
        return wrong(a, "`attributes` is no object");
    for (const cJSON *m = object->child; m; m = m->next) {
        char *value = as_text(m);
        if (!value)
            return wrong(a, "an attribute that is no text");
        if (a->attribute_count >= ANSWER_ATTRIBUTES) {
            free(value);
            return wrong(a, "too many attributes");
        }
        a->cost += strlen(value);
        a->attributes[a->attribute_count++] = (struct answer_attribute){m->string, value};
    }
    return true;
}

/* A misspelt quota would be none at all. */
static bool read_quotas(struct answer *a, const cJSON *object)
{
    if (!object)
        return true;
    if (!cJSON_IsObject(object))
        return wrong(a, "`quotas` is no object");
    for (const cJSON *m = object->child; m; m = m->next) {
        unsigned i = 0;
        while (i < ANSWER_QUOTAS && strcmp(quota_names[i], m->string) != 0)
            i++;
        if (i == ANSWER_QUOTAS)
            return wrong(a, "an unknown quota");
        if (!whole(m, 1e15, &a->quotas[i]))
            return wrong(a, "a quota that is no whole number");
        a->quotas_given |= 1u << i;
    }
    return true;
}

static bool read_expiry(struct answer *a, const cJSON *value, uint64_t wall_ms)
{
    uint64_t seconds;

    if (!value || cJSON_IsNull(value))
        return true;
    if (!whole(value, 1e12, &seconds))
        return wrong(a, "`expire_at` is no time in seconds since 1970");
    a->expires_wall_ms = seconds * 1000;
    if (a->verdict == SKEP_ALLOW && a->expires_wall_ms <= wall_ms)
        return wrong(a, "an answer that has expired already");
    return true;
}

/* Only codes that refuse [MQTT 2.4]. */
static bool read_reason(struct answer *a, const cJSON *answer)
{
    const cJSON *code = json_member(answer, "reason_code");
    const char *text = json_text(json_member(answer, "reason"));
    uint64_t number;

    if (code && (!whole(code, 255, &number) || number < 0x80))
        return wrong(a, "`reason_code` is none that refuses");
    if (code)
        a->reason = (enum skep_reason)number;
    if (text && strlen(text) <= ANSWER_REASON)
        snprintf(a->text, sizeof a->text, "%s", text);
    return true;
}

static bool read_rules(struct answer *a, const cJSON *list)
{
    const char *why;

    if (!list || cJSON_IsNull(list))
        return true;
    if (rules_parse(&a->rules, list, &why) < 0)
        return wrong(a, why);
    for (size_t i = 0; i < a->rules.count; i++)
        a->cost += sizeof *a->rules.items + strlen(a->rules.items[i].filter);
    return true;
}

static bool read_username(struct answer *a, const cJSON *value)
{
    if (!value)
        return true;
    a->username = json_text(value);
    if (!a->username || !*a->username || strlen(a->username) > 65535)
        return wrong(a, "`username` is no name");
    return true;
}

static bool read_flags(struct answer *a, const cJSON *answer)
{
    const cJSON *superuser = json_member(answer, "is_superuser");
    const cJSON *qos = json_member(answer, "qos");
    uint64_t number;

    if (superuser && !cJSON_IsBool(superuser))
        return wrong(a, "`is_superuser` is neither true nor false");
    a->superuser = cJSON_IsTrue(superuser);
    if (qos && !whole(qos, 2, &number))
        return wrong(a, "`qos` is not 0, 1 or 2");
    if (qos)
        a->qos = (int)number;
    return true;
}

static bool read_result(struct answer *a, const cJSON *answer)
{
    const char *result = json_text(json_member(answer, "result"));

    if (!result)
        return wrong(a, "an answer without `result`");
    if (strcmp(result, "allow") == 0)
        a->verdict = SKEP_ALLOW;
    else if (strcmp(result, "deny") == 0)
        a->verdict = SKEP_DENY;
    else if (strcmp(result, "ignore") == 0)
        a->verdict = SKEP_NEXT;
    else
        return wrong(a, "a `result` that is not allow, deny or ignore");
    return true;
}

static const cJSON *attributes_of(const cJSON *answer)
{
    const cJSON *ours = json_member(answer, "attributes");
    return ours ? ours : json_member(answer, "client_attrs");
}

static void read_json(struct answer *a, struct skep_str body, uint64_t wall_ms)
{
    const char *why;
    cJSON *tree = a->tree = json_parse(body, &why);

    a->cost += body.len * 3; /* of the tree */
    if (!tree)
        wrong(a, why);
    else if (!cJSON_IsObject(tree))
        wrong(a, "an answer that is no JSON object");
    else if (read_result(a, tree) && read_reason(a, tree) && read_flags(a, tree) &&
             read_username(a, json_member(tree, "username")) &&
             read_attributes(a, attributes_of(tree)) &&
             read_quotas(a, json_member(tree, "quotas")) && read_rules(a, json_member(tree, "acl")))
        read_expiry(a, json_member(tree, "expire_at"), wall_ms);
}

/* 401 and 403 deny, whatever the body; a body that is JSON may say more. */
static void read_refusal(struct answer *a, unsigned status, struct skep_str body)
{
    const char *why;

    a->verdict = SKEP_DENY;
    a->reason = status == 401 ? SKEP_RC_BAD_CREDENTIALS : SKEP_RC_NOT_AUTHORIZED;
    cJSON *tree = a->tree = body.len ? json_parse(body, &why) : NULL;
    if (tree && !read_reason(a, tree)) { /* a bad code does not turn a refusal into anything else */
        a->verdict = SKEP_DENY;
        a->error = NULL;
    }
}

static bool is_json(const char *content_type)
{
    return !*content_type || strncasecmp(content_type, "application/json", 16) == 0 ||
           strncasecmp(content_type, "text/json", 9) == 0 ||
           strncasecmp(content_type, "application/problem+json", 24) == 0;
}

static void read_all(struct answer *a, unsigned status, struct skep_str body,
                     const char *content_type, enum answer_mode mode, uint64_t wall_ms)
{
    if (status == 401 || status == 403)
        read_refusal(a, status, body);
    else if (status < 200 || status > 299)
        wrong(a, "a status that says neither yes nor no");
    else if (mode == ANSWER_STATUS || status == 204)
        a->verdict = SKEP_ALLOW;
    else if (status != 200)
        wrong(a, "a status that says neither yes nor no");
    else if (!is_json(content_type))
        wrong(a, "an answer that is not JSON");
    else
        read_json(a, body, wall_ms);
}

struct answer *answer_new(unsigned status, struct skep_str body, const char *content_type,
                          enum answer_mode mode, uint64_t wall_ms)
{
    struct answer *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    atomic_init(&a->refs, 1);
    a->qos = -1;
    a->reason = SKEP_RC_NOT_AUTHORIZED;
    a->cost = sizeof *a;
    read_all(a, status, body, content_type, mode, wall_ms);
    return a;
}

struct answer *answer_ref(struct answer *a)
{
    atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
    return a;
}

void answer_unref(struct answer *a)
{
    if (!a || atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < a->attribute_count; i++)
        free(a->attributes[i].value);
    rules_fini(&a->rules);
    cJSON_Delete(a->tree);
    free(a);
}
