/* Our own syntax; its grammar is in acl_file/README.md. */
#include <stdio.h>
#include <stdlib.h>

#include "acl_impl.h"
#include "words.h"

enum { CONDITIONS_MAX = 32, DEPTH_MAX = 8 };

struct parser {
    struct acl *acl;
    struct faults *faults;
    struct words *words;
    unsigned at; /* among the words of the statement */
    struct condition conditions[CONDITIONS_MAX];
    unsigned condition_count;
    unsigned opened[DEPTH_MAX]; /* condition_count outside of each open block */
    unsigned depth, too_deep;
};

/* -- Words and complaints -- */

static const struct word *peek(const struct parser *p)
{
    return p->at < p->words->count ? &p->words->list[p->at] : NULL;
}

static bool word_is(const struct word *w, const char *text)
{
    return w && !w->quoted && skep_str_eq(w->text, skep_str(text));
}

static bool wrong(struct parser *p, const struct word *at, const char *hint, const char *text)
{
    char shown[60];

    if (!at)
        at = &p->words->end;
    if (at->text.len)
        faults_error(p->faults, at->line, at->column, hint, "'%s': %s",
                     printable(shown, sizeof shown, at->text), text);
    else
        faults_error(p->faults, at->line, at->column, hint, "%s", text);
    return false;
}

/* -- Conditions -- */

static const struct {
    const char *name;
    enum condition_kind kind;
    bool has_value;
} keywords[] = {
    {"user", WHEN_USER, true},
    {"client", WHEN_CLIENT, true},
    {"group", WHEN_GROUP, true},
    {"listener", WHEN_LISTENER, true},
    {"address", WHEN_ADDRESS, true},
    {"attribute", WHEN_ATTRIBUTE, true},
    {"anonymous", WHEN_ANONYMOUS, false},
};

/* NAME, or the beginning of names: NAME* without quotes. */
static bool pattern(struct parser *p, struct condition *c, struct skep_str text,
                    const struct word *word)
{
    if (!word->quoted && text.len && text.ptr[text.len - 1] == '*') {
        c->prefix = true;
        text.len--;
    }
    if (!word->quoted && text.len && memchr(text.ptr, '*', text.len))
        return wrong(p, word, "in quotes a * is itself", "a * stands at the end of a name only");
    if (!text.len && !c->prefix)
        return wrong(p, word, NULL, "an empty name is nobody's");
    c->text = region_copy(&p->acl->region, text);
    return true;
}

static bool attribute(struct parser *p, struct condition *c, const struct word *word)
{
    const char *equals = memchr(word->text.ptr, '=', word->text.len);
    size_t len = equals ? (size_t)(equals - word->text.ptr) : 0;

    if (len == 0)
        return wrong(p, word, "attribute role=admin, or 'role=station master'",
                     "an attribute is written NAME=VALUE");
    c->attribute = region_copy(&p->acl->region, skep_bytes(word->text.ptr, len));
    return pattern(p, c, skep_bytes(equals + 1, word->text.len - len - 1), word);
}

static bool value(struct parser *p, struct condition *c, const struct word *word)
{
    const struct group *g;

    switch (c->kind) {
    case WHEN_GROUP:
        g = map_get(&p->acl->groups, word->text);
        if (!g)
            return wrong(p, word, "`group NAME USER...;` above the rules that name it",
                         "there is no such group");
        c->text = g->name;
        c->members = &g->members;
        return true;
    case WHEN_ADDRESS:
        if (net_parse(word->text, &c->net))
            return true;
        return wrong(p, word,
                     "such as 192.0.2.0/24, with nothing set behind the bits of the network",
                     "this is no address or network");
    case WHEN_ATTRIBUTE:
        return attribute(p, c, word);
    default:
        return pattern(p, c, word->text, word);
    }
}

/* 1: there was one; 0: the next word begins none; -1: a complaint. */
static int condition(struct parser *p)
{
    const struct word *word = peek(p);
    struct condition c = {0};

    if (word_is(word, "*")) {
        p->at++;
        return 1;
    }
    if (word_is(word, "not")) {
        c.negate = true;
        p->at++;
        word = peek(p);
    }
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (!word_is(word, keywords[i].name))
            continue;
        c.kind = keywords[i].kind;
        p->at += 1 + keywords[i].has_value;
        if (p->at > p->words->count) {
            wrong(p, NULL, NULL, "a value is missing here");
            return -1;
        }
        if (p->condition_count == CONDITIONS_MAX) {
            wrong(p, word, NULL, "more than 32 conditions");
            return -1;
        }
        if (keywords[i].has_value && !value(p, &c, &p->words->list[p->at - 1]))
            return -1;
        p->conditions[p->condition_count++] = c;
        return 1;
    }
    if (c.negate)
        wrong(p, word, NULL, "behind `not` comes a condition");
    return c.negate ? -1 : 0;
}

static bool conditions(struct parser *p)
{
    int more;

    do
        more = condition(p);
    while (more > 0);
    return more == 0;
}

/* -- Actions -- */

static const struct {
    const char *name;
    unsigned actions;
} action_names[] = {
    {"publish", MAY_PUBLISH}, {"subscribe", MAY_SUBSCRIBE},         {"receive", MAY_RECEIVE},
    {"retain", MAY_RETAIN},   {"all", MAY_PUBLISH | MAY_SUBSCRIBE},
};

/* qos<=1, or the same in two or three words. */
static bool qos(struct parser *p, struct rule *rule)
{
    const struct word *word = peek(p);
    struct skep_str sign = skep_bytes(word->text.ptr + 3, word->text.len - 3);
    struct skep_str digit = skep_bytes(NULL, 0);

    p->at++;
    if (!sign.len && peek(p))
        sign = p->words->list[p->at++].text;
    if (sign.len == 3)
        digit = skep_bytes(sign.ptr + 2, 1);
    else if (peek(p))
        digit = p->words->list[p->at++].text;
    if (sign.len < 2 || memcmp(sign.ptr, "<=", 2) != 0 || digit.len != 1 || digit.ptr[0] < '0' ||
        digit.ptr[0] > '2')
        return wrong(p, word, NULL, "a QoS is limited by qos<=0, qos<=1 or qos<=2");
    rule->qos_max = (uint8_t)(digit.ptr[0] - '0');
    return true;
}

/* Letters in which two words differ, roughly: for "did you mean". */
static unsigned distance(struct skep_str a, const char *b)
{
    unsigned row[16];
    size_t n = strlen(b);

    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; i < a.len; i++) {
        unsigned corner = row[0]++;

        for (size_t j = 1; j <= n; j++) {
            unsigned change = corner + (a.ptr[i] != b[j - 1]);

            corner = row[j];
            row[j] = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = row[j] < change ? row[j] : change;
        }
    }
    return row[n];
}

static void no_action(struct parser *p)
{
    static const char *const words[] = {"publish",  "subscribe", "receive",   "retain",
                                        "all",      "user",      "client",    "group",
                                        "listener", "address",   "attribute", "anonymous"};
    const struct word *word = peek(p);
    char hint[60] = "";

    for (size_t i = 0; word && i < sizeof words / sizeof words[0]; i++) {
        if (word->text.len < 12 && distance(word->text, words[i]) <= 2) {
            snprintf(hint, sizeof hint, "did you mean %s?", words[i]);
            break;
        }
    }
    wrong(p, word, hint[0] ? hint : NULL,
          "here comes a condition or what it may do: publish, subscribe, receive, retain, all");
}

static bool actions(struct parser *p, struct rule *rule)
{
    const struct word *word;
    bool more = true;

    while (more && (word = peek(p)) != NULL) {
        more = false;
        if (!word->quoted && word->text.len >= 3 && memcmp(word->text.ptr, "qos", 3) == 0 &&
            (word->text.len == 3 || word->text.ptr[3] == '<')) {
            if (!qos(p, rule))
                return false;
            more = true;
        }
        for (size_t i = 0; !more && i < sizeof action_names / sizeof action_names[0]; i++) {
            if (word_is(word, action_names[i].name)) {
                rule->actions |= (uint8_t)action_names[i].actions;
                p->at++;
                more = true;
            }
        }
    }
    if (!rule->actions) {
        no_action(p);
        return false;
    }
    if (rule->qos_max != QOS_ANY && !(rule->actions & ~(unsigned)MAY_RECEIVE))
        return wrong(p, NULL, NULL, "a QoS is limited where one publishes or subscribes");
    return true;
}

/* -- Statements -- */

/* The conditions in force, shared by the filters of one rule. */
static void conditions_keep(struct parser *p, struct rule *rule)
{
    struct condition *copy =
        REGION_ARRAY(&p->acl->region, struct condition, p->condition_count + 1);

    memcpy(copy, p->conditions, sizeof *copy * p->condition_count);
    rule->conditions = copy;
    rule->condition_count = p->condition_count;
}

static void filters(struct parser *p, struct rule *rule)
{
    if (!peek(p)) {
        wrong(p, NULL, "all topics are #; a filter that is called like an action stands in quotes",
              "a topic filter is missing");
        return;
    }
    conditions_keep(p, rule);
    for (; peek(p); p->at++) {
        const struct word *word = peek(p);
        size_t at;
        const char *why =
            filter_compile(&rule->filter, &p->acl->region, word->text, VARIABLES_ALL, &at);
        struct word place = *word;

        place.column += (unsigned)at + word->quoted;
        rule->line = word->line;
        if (why)
            wrong(p, &place, NULL, why);
        else if (!acl_add(p->acl, rule, p->faults, word->column))
            return;
    }
}

static void rule(struct parser *p)
{
    unsigned outside = p->condition_count;
    struct rule rule = {.allow = word_is(peek(p), "allow"), .qos_max = QOS_ANY};

    p->at++;
    if (conditions(p) && actions(p, &rule))
        filters(p, &rule);
    p->condition_count = outside;
}

static void group(struct parser *p)
{
    const struct word *name;
    struct group *g;

    p->at++;
    name = peek(p);
    if (!name || !name->text.len || p->at + 1 >= p->words->count) {
        wrong(p, name, "group admins alice bob;", "a group has a name and users");
        return;
    }
    g = acl_group(p->acl, name->text);
    for (p->at++; peek(p); p->at++)
        acl_join(p->acl, g, peek(p)->text);
}

/* { : what stands in front of it holds for all rules up to }. */
static void block_open(struct parser *p)
{
    const struct word *first = peek(p);

    if (p->depth == DEPTH_MAX) {
        wrong(p, first, NULL, "blocks are nested more than 8 deep");
        p->too_deep++;
        return;
    }
    p->opened[p->depth++] = p->condition_count;
    if (!word_is(first, "for")) {
        wrong(p, first, "for user alice { ... }", "a block begins with `for`");
        return;
    }
    p->at++;
    if (conditions(p) && peek(p))
        wrong(p, peek(p), NULL, "in front of { stand conditions only");
}

static void block_close(struct parser *p)
{
    if (p->too_deep)
        p->too_deep--;
    else if (p->depth == 0)
        wrong(p, NULL, NULL, "this } closes nothing");
    else
        p->condition_count = p->opened[--p->depth];
}

static bool is_statement(const struct word *first)
{
    return word_is(first, "allow") || word_is(first, "deny") || word_is(first, "group");
}

static void statement(struct parser *p)
{
    const struct word *first = peek(p);

    if (word_is(first, "group"))
        group(p);
    else if (is_statement(first))
        rule(p);
    else if (first)
        wrong(p, first, word_is(first, "for") ? "{ instead of ;" : NULL,
              "a statement begins with allow, deny, group or for");
}

static void ended(struct parser *p, enum statement_end end)
{
    p->at = 0;
    if (end == END_OPEN)
        block_open(p);
    else if (end == END_SEMICOLON || (peek(p) && !is_statement(peek(p))))
        statement(p);
    else if (peek(p))
        wrong(p, NULL, NULL, "a ; is missing in front of this");
    else if (end == END_CLOSE)
        block_close(p);
}

void acl_parse_skep(struct acl *acl, struct skep_str text, struct faults *faults)
{
    struct parser *p = calloc(1, sizeof *p);
    enum statement_end end;

    if (!p || !(p->words = malloc(sizeof *p->words)))
        abort();
    p->acl = acl;
    p->faults = faults;
    words_init(p->words, text, faults);
    do {
        end = words_next(p->words);
        if (end != END_FAULT)
            ended(p, end);
    } while (end != END_FILE);
    if (p->depth)
        wrong(p, NULL, NULL, "a block is not closed by the end of the file");
    free(p->words);
    free(p);
}
