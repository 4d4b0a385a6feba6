#include "lib_json/rules.h"

#include <skep/decide.h>
#include <stdlib.h>

enum {
    PUBLISH = SKEP_MAY_PUBLISH | SKEP_MAY_RETAIN,
    SUBSCRIBE = SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE,
};

/* EMQX writes ${clientid} where we write %c.  The result is malloc'ed. */
static char *filter_translate(const char *text)
{
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"${clientid}", "%c"}, {"${username}", "%u"}};
    char *out = malloc(strlen(text) + 1), *to = out;

    while (out && *text) {
        size_t taken = 0;
        for (size_t i = 0; i < sizeof names / sizeof *names && !taken; i++) {
            if (strncmp(text, names[i].theirs, strlen(names[i].theirs)) == 0) {
                taken = strlen(names[i].theirs);
                memcpy(to, names[i].ours, 2);
                to += 2;
            }
        }
        if (!taken)
            *to++ = *text++;
        text += taken;
    }
    if (out)
        *to = '\0';
    return out;
}

static int rule_add(struct rules *out, bool allow, unsigned actions, const char *filter,
                    const char **why)
{
    bool literal = strncmp(filter, "eq ", 3) == 0;

    if (literal)
        filter += 3;
    if (literal && strpbrk(filter, "+#")) {
        *why = "a rule with `eq` and wildcards";
        return SKEP_E_INVALID;
    }
    if (*filter == '\0' || strlen(filter) > 65535) {
        *why = "a rule whose topic is empty or too long";
        return SKEP_E_INVALID;
    }
    if (out->count >= RULES_MAX) {
        *why = "too many rules";
        return SKEP_E_LIMIT;
    }
    char *copy = filter_translate(filter);
    if (!copy) {
        *why = "no memory";
        return SKEP_E_MEMORY;
    }
    if (strstr(copy, "${")) {
        free(copy);
        *why = "a rule with an unknown placeholder";
        return SKEP_E_INVALID;
    }
    out->items[out->count++] = (struct rule){allow, actions, copy};
    return 0;
}

/* What `retain` of a publishing rule narrows; only false narrows to something we can say. */
static int actions_read(const cJSON *rule, unsigned *actions, const char **why)
{
    const char *action = json_text(json_member(rule, "action"));
    const cJSON *retain = json_member(rule, "retain");
    const char *all = json_text(retain);

    *why = "a rule without an action";
    if (!action)
        return SKEP_E_INVALID;
    *actions = strcmp(action, "publish") == 0     ? PUBLISH
               : strcmp(action, "subscribe") == 0 ? SUBSCRIBE
               : strcmp(action, "all") == 0       ? PUBLISH | SUBSCRIBE
                                                  : 0;
    if (!*actions)
        return SKEP_E_INVALID;
    if (!retain || (all && strcmp(all, "all") == 0))
        return 0;
    *why = "a rule whose `retain` cannot be kept";
    if (!cJSON_IsFalse(retain))
        return SKEP_E_INVALID;
    *actions &= ~(unsigned)SKEP_MAY_RETAIN;
    return 0;
}

static int rule_read(struct rules *out, const cJSON *rule, const char **why)
{
    const char *permission = json_text(json_member(rule, "permission"));
    const char *topic = json_text(json_member(rule, "topic"));
    unsigned actions;
    int err;

    *why = "a rule that does not say `allow` or `deny`";
    if (!permission || (strcmp(permission, "allow") != 0 && strcmp(permission, "deny") != 0))
        return SKEP_E_INVALID;
    bool allow = permission[0] == 'a';
    *why = "a rule without a topic";
    if (!topic)
        return SKEP_E_INVALID;
    *why = "a rule that depends on the QoS";
    if (json_member(rule, "qos"))
        return SKEP_E_INVALID;
    if ((err = actions_read(rule, &actions, why)) < 0)
        return err;
    if (!allow && !(actions & SKEP_MAY_RETAIN) && (actions & SKEP_MAY_PUBLISH)) {
        *why = "a rule whose `retain` cannot be kept"; /* it would deny retained ones, too */
        return SKEP_E_INVALID;
    }
    return rule_add(out, allow, actions, topic, why);
}

static int filters_read(struct rules *out, const cJSON *list, unsigned actions, const char **why)
{
    const cJSON *item;

    if (list && !cJSON_IsArray(list)) {
        *why = "`pub`, `sub` and `all` are lists of topic filters";
        return SKEP_E_INVALID;
    }
    cJSON_ArrayForEach(item, list)
    {
        int err;
        *why = "`pub`, `sub` and `all` are lists of topic filters";
        if (!json_text(item))
            return SKEP_E_INVALID;
        if ((err = rule_add(out, true, actions, json_text(item), why)) < 0)
            return err;
    }
    return 0;
}

/* A misspelt name would silently take rights away: better said. */
static bool lists_known(const cJSON *lists)
{
    for (const cJSON *m = lists->child; m; m = m->next) {
        if (strcmp(m->string, "pub") != 0 && strcmp(m->string, "sub") != 0 &&
            strcmp(m->string, "all") != 0)
            return false;
    }
    return true;
}

static int lists_read(struct rules *out, const cJSON *lists, const char **why)
{
    int err;

    if (!lists_known(lists)) {
        *why = "rules under another name than `pub`, `sub` or `all`";
        return SKEP_E_INVALID;
    }
    if ((err = filters_read(out, json_member(lists, "pub"), PUBLISH, why)) < 0 ||
        (err = filters_read(out, json_member(lists, "sub"), SUBSCRIBE, why)) < 0)
        return err;
    return filters_read(out, json_member(lists, "all"), PUBLISH | SUBSCRIBE, why);
}

/* Answers are kept in caches: give back what no rule needed. */
static void rules_shrink(struct rules *out)
{
    struct rule *items = out->count ? realloc(out->items, out->count * sizeof *items) : NULL;

    if (items) {
        out->items = items;
    } else if (out->count == 0) {
        free(out->items);
        out->items = NULL;
    }
}

int rules_parse(struct rules *out, const cJSON *value, const char **why)
{
    const cJSON *rule;
    int err = 0;

    *out = (struct rules){.given = true};
    if (!cJSON_IsArray(value) && !cJSON_IsObject(value)) {
        *why = "rules that are neither a list nor `pub` and `sub`";
        return SKEP_E_INVALID;
    }
    out->items = calloc(RULES_MAX, sizeof *out->items);
    if (!out->items) {
        *why = "no memory";
        return SKEP_E_MEMORY;
    }
    if (cJSON_IsObject(value))
        err = lists_read(out, value, why);
    else
        cJSON_ArrayForEach(rule, value)
        {
            if ((err = rule_read(out, rule, why)) < 0)
                break;
        }
    if (err < 0) {
        rules_fini(out);
    } else {
        *why = NULL;
        rules_shrink(out);
    }
    return err;
}

void rules_fini(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        free(rules->items[i].filter);
    free(rules->items);
    *rules = (struct rules){0};
}
