#include "trie.h"

struct variable_child {
    const struct level *level;
    struct node *node;
};

struct node {
    unsigned first; /* order of the first rule from here on */
    struct map children;
    struct node *plus;
    struct variable_child *variables;
    uint32_t variable_count, variable_cap;
    struct rule_list here, hash;
    struct rule_list below[2]; /* denies, allows */
};

struct trie {
    struct node root;
};

struct trie *trie_new(struct region *region)
{
    return REGION_NEW(region, struct trie);
}

/* -- Adding -- */

static struct node *node_new(struct region *region, const struct rule *r)
{
    struct node *n = REGION_NEW(region, struct node);

    n->first = r->order;
    return n;
}

static struct node *variable_child(struct node *n, struct region *region, const struct level *l,
                                   const struct rule *r)
{
    for (size_t i = 0; i < n->variable_count; i++) {
        if (skep_str_eq(n->variables[i].level->text, l->text))
            return n->variables[i].node;
    }
    n->variables = region_grow(region, n->variables, n->variable_count, &n->variable_cap,
                               sizeof *n->variables);
    n->variables[n->variable_count] = (struct variable_child){l, node_new(region, r)};
    return n->variables[n->variable_count++].node;
}

static struct node *child(struct node *n, struct region *region, const struct level *l,
                          const struct rule *r)
{
    void **place;

    switch (l->kind) {
    case LEVEL_PLUS:
        if (!n->plus)
            n->plus = node_new(region, r);
        return n->plus;
    case LEVEL_VARIABLE:
        return variable_child(n, region, l, r);
    default:
        place = map_put(&n->children, region, l->text);
        if (!*place)
            *place = node_new(region, r);
        return *place;
    }
}

void trie_add(struct trie *t, struct region *region, const struct rule *r)
{
    struct node *n = &t->root;

    rule_list_add(&n->below[r->allow], region, r);
    for (unsigned i = 0; i < r->filter.count; i++) {
        const struct level *l = &r->filter.levels[i];

        if (l->kind == LEVEL_HASH) {
            rule_list_add(&n->hash, region, r);
            return;
        }
        n = child(n, region, l, r);
        rule_list_add(&n->below[r->allow], region, r);
    }
    rule_list_add(&n->here, region, r);
}

/* -- Finding -- */

struct search {
    const struct ask *ask;
    enum filter_how how;
    unsigned kinds;
    unsigned budget;
    const struct rule *best;
};

static bool is_late(const struct search *s, unsigned order)
{
    return s->best && order >= s->best->order;
}

/* Nothing of what is looked for lies below. */
static bool is_barren(const struct search *s, const struct node *n)
{
    return !((s->kinds & KIND_DENY) && n->below[false].count) &&
           !((s->kinds & KIND_ALLOW) && n->below[true].count);
}

static void consider(struct search *s, const struct rule_list *l)
{
    const struct rule *const *items = rule_list_items(l);

    for (size_t i = 0; i < l->count && !is_late(s, items[i]->order); i++) {
        const struct rule *r = items[i];

        if ((s->kinds & (r->allow ? KIND_ALLOW : KIND_DENY)) && rule_fits_there(r, s->ask)) {
            s->best = r;
            return;
        }
    }
}

/* All from a node on match as far as the topic goes; an allow needs its values, too. */
static void consider_below(struct search *s, const struct node *n)
{
    const struct rule_list *allows = &n->below[true];

    if (s->kinds & KIND_DENY)
        consider(s, &n->below[false]);
    for (size_t i = 0; (s->kinds & KIND_ALLOW) && i < allows->count; i++) {
        const struct rule *r = rule_list_items(allows)[i];

        if (is_late(s, r->order))
            return;
        if (rule_fits_there(r, s->ask) && filter_usable(&r->filter, s->ask->who, 0)) {
            s->best = r;
            return;
        }
    }
}

/* A variable whose value is unusable: denies stand, allows do not. */
static void consider_unusable(struct search *s, const struct node *n)
{
    if (s->kinds & KIND_DENY)
        consider(s, &n->below[false]);
}

static void walk(struct search *s, const struct node *n, struct skep_str rest, bool first);

/* Children against a plain level. */
static void walk_text(struct search *s, const struct node *n, struct skep_str text,
                      struct skep_str rest, bool first)
{
    const struct node *next = map_get(&n->children, text);

    if (next)
        walk(s, next, rest, false);
    if (n->plus && !(first && level_is_hidden(text)))
        walk(s, n->plus, rest, false);
    for (size_t i = 0; i < n->variable_count; i++) {
        const struct variable_child *v = &n->variables[i];
        enum level_match match = level_test(v->level, s->ask->who, first, text);

        if (match == LEVEL_SAME)
            walk(s, v->node, rest, false);
        else if (match == LEVEL_UNUSABLE)
            consider_unusable(s, v->node);
    }
}

/* Children that have something in common with a + (or, below: with all of a #). */
static void walk_wild(struct search *s, const struct node *n, struct skep_str rest, bool first,
                      bool below)
{
    for (size_t i = 0; i < n->children.cap; i++) {
        const struct map_slot *slot = map_at(&n->children, i);

        if (!slot || (first && level_is_hidden(slot->key)))
            continue;
        if (below)
            consider_below(s, slot->value);
        else
            walk(s, slot->value, rest, false);
    }
    if (n->plus && below)
        consider_below(s, n->plus);
    else if (n->plus)
        walk(s, n->plus, rest, false);
    for (size_t i = 0; i < n->variable_count; i++) {
        const struct variable_child *v = &n->variables[i];
        enum level_match match = level_usable(v->level, s->ask->who, first);

        if (match == LEVEL_UNUSABLE)
            consider_unusable(s, v->node);
        else if (match == LEVEL_SAME && below)
            consider_below(s, v->node);
        else if (match == LEVEL_SAME)
            walk(s, v->node, rest, false);
    }
}

/* What covers a + or #: only wildcards do, and denies whose value is unusable. */
static void walk_covers(struct search *s, const struct node *n, bool hash, struct skep_str rest,
                        bool first)
{
    if (n->plus && !hash)
        walk(s, n->plus, rest, false);
    else if (n->plus && first) /* every topic has a first level: +/# says as much as # */
        consider(s, &n->plus->hash);
    for (size_t i = 0; i < n->variable_count; i++) {
        if (level_usable(n->variables[i].level, s->ask->who, first) == LEVEL_UNUSABLE)
            consider_unusable(s, n->variables[i].node);
    }
}

static void walk_hash(struct search *s, const struct node *n, bool first)
{
    if (s->how == FILTER_COVERS) {
        consider(s, &n->hash);
        walk_covers(s, n, true, skep_bytes(NULL, 0), first);
    } else if (first) { /* $SYS and its like are not in it: child by child */
        consider(s, &n->hash);
        walk_wild(s, n, skep_bytes(NULL, 0), true, true);
    } else {
        consider_below(s, n);
    }
}

static void walk(struct search *s, const struct node *n, struct skep_str rest, bool first)
{
    bool wild = s->how != FILTER_MATCHES;
    struct skep_str text;

    if (is_late(s, n->first) || is_barren(s, n) || s->budget == 0)
        return;
    s->budget--;
    if (!rest.ptr) {
        consider(s, &n->here);
        consider(s, &n->hash); /* a/# holds a */
        return;
    }
    text = level_next(&rest);
    if (wild && level_is(text, '#')) {
        walk_hash(s, n, first);
        return;
    }
    if (!(first && level_is_hidden(text)))
        consider(s, &n->hash);
    if (!wild || !level_is(text, '+'))
        walk_text(s, n, text, rest, first);
    else if (s->how == FILTER_COVERS)
        walk_covers(s, n, false, rest, first);
    else
        walk_wild(s, n, rest, first, false);
}

const struct rule *trie_find(const struct trie *t, const struct ask *ask, enum filter_how how,
                             unsigned kinds, const struct rule *best, unsigned *budget)
{
    struct search s = {.ask = ask, .how = how, .kinds = kinds, .budget = *budget, .best = best};

    walk(&s, &t->root, ask->topic, true);
    *budget = s.budget;
    return s.best;
}
