#include <stdlib.h>

#include "acl_impl.h"

/* -- Building -- */

bool acl_add(struct acl *acl, const struct rule *rule, struct faults *faults, unsigned column)
{
    struct rule *copy;

    if (acl->count == RULES_MAX || acl->levels + rule->filter.count > LEVELS_MAX) {
        faults_error(faults, rule->line, column, NULL,
                     "too many rules: more than %d, or of more than %d levels together", RULES_MAX,
                     LEVELS_MAX);
        return false;
    }
    copy = REGION_NEW(&acl->region, struct rule);
    *copy = *rule;
    copy->order = acl->count;
    acl->rules = region_grow(&acl->region, acl->rules, acl->count, &acl->cap, sizeof *acl->rules);
    acl->rules[acl->count++] = copy;
    acl->levels += rule->filter.count;
    return true;
}

struct group *acl_group(struct acl *acl, struct skep_str name)
{
    struct group *g = map_get(&acl->groups, name);

    if (!g) {
        g = REGION_NEW(&acl->region, struct group);
        g->name = region_copy(&acl->region, name);
        *map_put(&acl->groups, &acl->region, g->name) = g;
    }
    return g;
}

void acl_join(struct acl *acl, struct group *group, struct skep_str user)
{
    struct group_list *list;
    struct skep_str name;

    if (map_get(&group->members, user))
        return;
    name = region_copy(&acl->region, user);
    *map_put(&group->members, &acl->region, name) = group;
    list = map_get(&acl->user_groups, user);
    if (!list) {
        list = REGION_NEW(&acl->region, struct group_list);
        *map_put(&acl->user_groups, &acl->region, name) = list;
    }
    list->items =
        region_grow(&acl->region, list->items, list->count, &list->cap, sizeof *list->items);
    list->items[list->count++] = group;
}

/* -- The index -- */

static struct bucket *bucket_of(struct acl *acl, struct map *map, struct skep_str key)
{
    struct bucket *b = map_get(map, key);

    if (!b) {
        b = REGION_NEW(&acl->region, struct bucket);
        *map_put(map, &acl->region, key) = b;
    }
    return b;
}

/* Puts a condition that a bucket can be for in front of the others.  Rules of one statement share
 * them, and with them the bucket. */
static bool key_by(struct rule *r, enum condition_kind kind)
{
    for (unsigned i = 0; i < r->condition_count; i++) {
        struct condition *c = &r->conditions[i], first = r->conditions[0];

        if (c->kind == kind && !c->negate && !c->prefix) {
            r->conditions[0] = *c;
            r->conditions[i] = first;
            r->keyed = true;
            return true;
        }
    }
    return false;
}

/* Whom the rule is for decides where it lies; the narrowest first. */
static struct bucket *bucket_for(struct acl *acl, struct rule *r)
{
    if (key_by(r, WHEN_USER))
        return bucket_of(acl, &acl->users, r->conditions[0].text);
    if (key_by(r, WHEN_CLIENT))
        return bucket_of(acl, &acl->clients, r->conditions[0].text);
    if (key_by(r, WHEN_GROUP))
        return &acl_group(acl, r->conditions[0].text)->bucket;
    return &acl->general;
}

static void bucket_index(struct acl *acl, struct bucket *b)
{
    if (b->rules.count <= BUCKET_SCANNED)
        return;
    b->publish = trie_new(&acl->region);
    b->receive = trie_new(&acl->region);
    for (size_t i = 0; i < b->rules.count; i++) {
        const struct rule *r = rule_list_items(&b->rules)[i];

        if (r->actions & (MAY_PUBLISH | MAY_RETAIN))
            trie_add(b->publish, &acl->region, r);
        if (r->actions & (MAY_SUBSCRIBE | MAY_RECEIVE))
            trie_add(b->receive, &acl->region, r);
    }
}

static void buckets_index(struct acl *acl, const struct map *map)
{
    for (size_t i = 0; i < map->cap; i++) {
        if (map_at(map, i))
            bucket_index(acl, map_at(map, i)->value);
    }
}

static void index_build(struct acl *acl)
{
    for (size_t i = 0; i < acl->count; i++)
        rule_list_add(&bucket_for(acl, acl->rules[i])->rules, &acl->region, acl->rules[i]);
    buckets_index(acl, &acl->users);
    buckets_index(acl, &acl->clients);
    for (size_t i = 0; i < acl->groups.cap; i++) {
        if (map_at(&acl->groups, i))
            bucket_index(acl, &((struct group *)map_at(&acl->groups, i)->value)->bucket);
    }
    bucket_index(acl, &acl->general);
}

/* -- Parsing -- */

/* Whether a line is mosquitto's.  `user bob {` and what ends in ; are slips in our own syntax. */
static bool is_mosquittos(struct skep_str line)
{
    static const char *const theirs[] = {"user", "topic", "pattern"};

    if (memchr(line.ptr, '{', line.len) || line.ptr[line.len - 1] == ';')
        return false;
    for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
        size_t n = strlen(theirs[i]);

        if (line.len >= n && memcmp(line.ptr, theirs[i], n) == 0 &&
            (line.len == n || line.ptr[n] == ' '))
            return true;
    }
    return false;
}

/* By the first line that says something: the two syntaxes have no first word in common. */
static enum acl_format guess(struct skep_str text)
{
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;
        struct skep_str line = skep_bytes(text.ptr, len);

        while (line.len && strchr(" \t\r", line.ptr[0]))
            line = skep_bytes(line.ptr + 1, line.len - 1);
        while (line.len && strchr(" \t\r", line.ptr[line.len - 1]))
            line.len--;
        if (line.len && line.ptr[0] != '#')
            return is_mosquittos(line) ? FORMAT_MOSQUITTO : FORMAT_SKEP;
        text = skep_bytes(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    return FORMAT_SKEP;
}

struct acl *acl_parse(struct skep_str text, const struct acl_options *options,
                      struct faults *faults)
{
    struct acl *acl = calloc(1, sizeof *acl);
    enum acl_format format = options->format;
    unsigned before = faults->errors;

    if (!acl)
        abort();
    if (format == FORMAT_AUTO)
        format = guess(text);
    acl->overlap = options->overlap == OVERLAP_AUTO ? OVERLAP_DENY : options->overlap;
    acl->grants_all_subscriptions = format == FORMAT_MOSQUITTO && options->overlap == OVERLAP_AUTO;
    if (format == FORMAT_MOSQUITTO)
        acl_parse_mosquitto(acl, text, faults);
    else
        acl_parse_skep(acl, text, faults);
    if (faults->errors > before)
        acl_free(&acl);
    else
        index_build(acl);
    return acl;
}

void acl_free(struct acl **acl)
{
    if (*acl) {
        region_fini(&(*acl)->region);
        free(*acl);
    }
    *acl = NULL;
}

size_t acl_rules(const struct acl *acl)
{
    return acl->count;
}

size_t acl_bytes(const struct acl *acl)
{
    return acl->region.total;
}

bool acl_needs_delivery(const struct acl *acl)
{
    return acl->grants_all_subscriptions || acl->overlap == OVERLAP_DELIVER;
}

/* -- Deciding -- */

/* How an allow and a deny rule are compared with what is asked. */
struct manner {
    enum filter_how allow, deny;
};

static struct manner manner_of(const struct acl *acl, const struct ask *ask)
{
    if (ask->action != MAY_SUBSCRIBE)
        return (struct manner){FILTER_MATCHES, FILTER_MATCHES};
    if (acl->overlap == OVERLAP_DELIVER)
        return (struct manner){FILTER_INTERSECTS, FILTER_COVERS};
    return (struct manner){FILTER_COVERS, FILTER_INTERSECTS};
}

static const struct rule *scan(const struct rule *const *rules, size_t count, const struct ask *ask,
                               struct manner manner, const struct rule *best, bool there)
{
    for (size_t i = 0; i < count && !(best && rules[i]->order >= best->order); i++) {
        const struct rule *r = rules[i];

        if ((there ? rule_fits_there(r, ask) : rule_fits(r, ask)) &&
            filter_test(&r->filter, ask->who, r->allow ? manner.allow : manner.deny, ask->topic,
                        !r->allow))
            return r;
    }
    return best;
}

static const struct rule *bucket_find(const struct bucket *b, const struct ask *ask,
                                      struct manner manner, const struct rule *best,
                                      unsigned *budget)
{
    const struct trie *t = ask->action == MAY_PUBLISH ? b->publish : b->receive;

    if (!t)
        return scan(rule_list_items(&b->rules), b->rules.count, ask, manner, best, true);
    if (manner.allow == manner.deny)
        return trie_find(t, ask, manner.allow, KIND_ALLOW | KIND_DENY, best, budget);
    best = trie_find(t, ask, manner.deny, KIND_DENY, best, budget);
    return trie_find(t, ask, manner.allow, KIND_ALLOW, best, budget);
}

struct acl_answer acl_decide(const struct acl *acl, const struct ask *ask)
{
    struct manner manner = manner_of(acl, ask);
    const struct acl_who *who = ask->who;
    const struct rule *best = NULL;
    unsigned budget = NODES_MAX;
    const struct bucket *b;

    if (ask->action == MAY_SUBSCRIBE && acl->grants_all_subscriptions)
        return (struct acl_answer){.granted_unseen = true};
    if (who->has_user) {
        const struct group_list *groups = map_get(&acl->user_groups, who->user);

        if ((b = map_get(&acl->users, who->user)) != NULL)
            best = bucket_find(b, ask, manner, best, &budget);
        for (size_t i = 0; groups && i < groups->count; i++)
            best = bucket_find(&groups->items[i]->bucket, ask, manner, best, &budget);
    }
    if ((b = map_get(&acl->clients, who->client)) != NULL)
        best = bucket_find(b, ask, manner, best, &budget);
    best = bucket_find(&acl->general, ask, manner, best, &budget);
    if (budget == 0)
        return (struct acl_answer){.too_wide = true};
    return (struct acl_answer){.rule = best};
}

struct acl_answer acl_decide_slowly(const struct acl *acl, const struct ask *ask)
{
    if (ask->action == MAY_SUBSCRIBE && acl->grants_all_subscriptions)
        return (struct acl_answer){.granted_unseen = true};
    return (struct acl_answer){.rule = scan((const struct rule *const *)acl->rules, acl->count, ask,
                                            manner_of(acl, ask), NULL, false)};
}
