#include "host/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mqtt/topic.h"

/* -- %c and %u -- */

static bool stands_alone(struct str name)
{
    return name.len > 0 && name.ptr[0] != '$' && !memchr(name.ptr, '+', name.len) &&
           !memchr(name.ptr, '#', name.len) && !memchr(name.ptr, '/', name.len);
}

/* What the place at `at` stands for; NULL: for itself. */
static const struct str *variable(struct str filter, size_t at, const struct str *client_id,
                                  const struct str *username)
{
    if (filter.ptr[at] != '%' || at + 1 == filter.len)
        return NULL;
    if (filter.ptr[at + 1] == 'c')
        return client_id;
    return filter.ptr[at + 1] == 'u' ? username : NULL;
}

/* The filter with names in it; .ptr NULL: a name does not fit there. */
static struct str fill_in(struct str filter, struct str client_id, struct str username)
{
    size_t cap = filter.len + 1, len = 0;
    char *out;

    for (size_t i = 0; i < filter.len; i++) {
        const struct str *v = variable(filter, i, &client_id, &username);
        if (v && !stands_alone(*v))
            return STR_NONE;
        cap += v ? v->len : 0;
    }
    out = xmalloc(cap);
    for (size_t i = 0; i < filter.len; i++) {
        const struct str *v = variable(filter, i, &client_id, &username);
        if (!v) {
            out[len++] = filter.ptr[i];
            continue;
        }
        memcpy(out + len, v->ptr, v->len);
        len += v->len;
        i++;
    }
    out[len] = '\0';
    return (struct str){out, len};
}

struct identity_rule *rules_fill_in(const struct identity_rule *rules, size_t count,
                                    struct str client_id, struct str username)
{
    struct identity_rule *out = xcalloc(count, sizeof *out);

    for (size_t i = 0; i < count; i++) {
        out[i] = rules[i];
        out[i].filter = fill_in(rules[i].filter, client_id, username);
        if (out[i].filter.ptr)
            continue;
        out[i].filter = (struct str){str_dup(STR("#")), 1};
        if (rules[i].allow)
            out[i].actions = 0;
    }
    return out;
}

void rules_filled_free(struct identity_rule *rules, size_t count)
{
    for (size_t i = 0; rules && i < count; i++)
        free((char *)rules[i].filter.ptr);
    free(rules);
}

/* -- Filters beside filters -- */

static struct str level_take(struct str *s, bool *more)
{
    const char *slash = s->len ? memchr(s->ptr, '/', s->len) : NULL;
    struct str level = *s;

    *more = slash != NULL;
    if (slash) {
        level.len = (size_t)(slash - s->ptr);
        *s = (struct str){slash + 1, s->len - level.len - 1};
    } else {
        *s = STR_NONE;
    }
    return level;
}

static bool is_system(struct str filter)
{
    return filter.len > 0 && filter.ptr[0] == '$';
}

static bool begins_wild(struct str filter)
{
    return filter.len > 0 && (filter.ptr[0] == '+' || filter.ptr[0] == '#');
}

bool filter_covers(struct str wide, struct str narrow)
{
    bool wide_more = true, narrow_more = true;

    if (is_system(narrow) && begins_wild(wide)) /* [MQTT-4.7.2-1] */
        return false;
    while (wide_more && narrow_more) {
        struct str w = level_take(&wide, &wide_more), n = level_take(&narrow, &narrow_more);
        if (str_eq(w, STR("#")))
            return true;
        if (str_eq(n, STR("#")) || (!str_eq(w, STR("+")) && !str_eq(w, n)))
            return false;
    }
    return (!wide_more && !narrow_more) || (wide_more && str_eq(wide, STR("#")));
}

bool filters_meet(struct str a, struct str b)
{
    bool a_more = true, b_more = true;

    if ((is_system(a) && begins_wild(b)) || (is_system(b) && begins_wild(a)))
        return false;
    while (a_more && b_more) {
        struct str x = level_take(&a, &a_more), y = level_take(&b, &b_more);
        if (str_eq(x, STR("#")) || str_eq(y, STR("#")))
            return true;
        if (!str_eq(x, STR("+")) && !str_eq(y, STR("+")) && !str_eq(x, y))
            return false;
    }
    return (!a_more && !b_more) || (a_more && str_eq(a, STR("#"))) ||
           (b_more && str_eq(b, STR("#")));
}

/* -- Asking them -- */

/* "Nothing else" means just that: `#` that denies also covers names that begin with `$`. */
static bool denies_all(const struct identity_rule *rule)
{
    return !rule->allow && str_eq(rule->filter, STR("#"));
}

static enum rule_answer first_of(const struct identity_facts *f, unsigned action, struct str topic)
{
    for (uint16_t i = 0; i < f->rule_count; i++) {
        const struct identity_rule *rule = &f->rules[i];
        if ((rule->actions & action) && (denies_all(rule) || topic_matches(rule->filter, topic)))
            return rule->allow ? RULE_ALLOW : RULE_DENY;
    }
    return RULE_SILENT;
}

enum rule_answer rules_topic(const struct identity_facts *f, unsigned actions, struct str topic)
{
    enum rule_answer all = RULE_ALLOW;

    for (unsigned action = 1; action <= actions; action <<= 1) {
        if (!(actions & action))
            continue;
        enum rule_answer one = first_of(f, action, topic);
        if (one == RULE_DENY)
            return RULE_DENY;
        if (one == RULE_SILENT)
            all = RULE_SILENT;
    }
    return all;
}

enum rule_answer rules_filter(const struct identity_facts *f, struct str filter)
{
    for (uint16_t i = 0; i < f->rule_count; i++) {
        const struct identity_rule *rule = &f->rules[i];
        if (!(rule->actions & SKEP_MAY_SUBSCRIBE))
            continue;
        if (rule->allow && filter_covers(rule->filter, filter))
            return RULE_ALLOW;
        if (denies_all(rule) || (!rule->allow && filters_meet(rule->filter, filter)))
            return RULE_DENY;
    }
    return RULE_SILENT;
}

bool rules_have(const struct identity_facts *f, unsigned action)
{
    for (uint16_t i = 0; i < f->rule_count; i++) {
        if (f->rules[i].actions & action)
            return true;
    }
    return false;
}
