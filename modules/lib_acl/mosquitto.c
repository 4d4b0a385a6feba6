/* Mosquitto's acl_file: `user NAME`, `topic [ACCESS] FILTER`, `pattern [ACCESS] FILTER`.
 *
 * Topics in front of the first user are for clients without a user name; patterns are for all.  A
 * client's own topics are asked before the patterns, and in each of the two the denies first: so
 * the rules are put into that order, and the first that applies decides as everywhere. */
#include <stdlib.h>

#include "acl_impl.h"

enum { CLASSES = 4 }; /* topic deny, topic, pattern deny, pattern */

struct parser {
    struct acl *acl;
    struct faults *faults;
    unsigned line;
    const char *start;     /* of the line */
    struct condition *who; /* whose topics follow */
};

static void wrong(struct parser *p, const char *at, const char *hint, const char *text)
{
    faults_error(p->faults, p->line, (unsigned)(at - p->start) + 1, hint, "%s", text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct skep_str trim(struct skep_str s)
{
    while (s.len && is_blank(s.ptr[0]))
        s = skep_bytes(s.ptr + 1, s.len - 1);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* Takes a word and the blanks behind it off. */
static struct skep_str take(struct skep_str *rest)
{
    struct skep_str word = *rest;

    word.len = 0;
    while (word.len < rest->len && !is_blank(rest->ptr[word.len]))
        word.len++;
    *rest = trim(skep_bytes(rest->ptr + word.len, rest->len - word.len));
    return word;
}

static struct condition *one_condition(struct acl *acl, enum condition_kind kind,
                                       struct skep_str text)
{
    struct condition *c = REGION_NEW(&acl->region, struct condition);

    c->kind = kind;
    c->text = region_copy(&acl->region, text);
    return c;
}

/* What stands in front of the filter; *allow and the set of actions. */
static bool access_is(struct skep_str word, bool *allow, unsigned *actions)
{
    static const struct {
        const char *name;
        bool allow;
        unsigned actions;
    } list[] = {
        {"read", true, MAY_SUBSCRIBE},
        {"write", true, MAY_PUBLISH},
        {"readwrite", true, MAY_SUBSCRIBE | MAY_PUBLISH},
        {"deny", false, MAY_SUBSCRIBE | MAY_PUBLISH},
    };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        if (skep_str_eq(word, skep_str(list[i].name))) {
            *allow = list[i].allow;
            *actions = list[i].actions;
            return true;
        }
    }
    return false;
}

static void add(struct parser *p, struct skep_str filter, bool allow, unsigned actions,
                bool pattern)
{
    struct rule rule = {
        .line = p->line,
        .allow = allow,
        .actions = (uint8_t)actions,
        .qos_max = QOS_ANY,
        .condition_count = 1,
        .conditions = p->who,
    };
    size_t at;
    const char *why = filter_compile(&rule.filter, &p->acl->region, filter,
                                     pattern ? VARIABLES_MOSQUITTO : VARIABLES_NONE, &at);

    if (pattern)
        rule.conditions = one_condition(p->acl, WHEN_PLAIN_NAMES, skep_bytes(NULL, 0));
    if (pattern && !why && !rule.filter.has_variables)
        faults_warn(p->faults, p->line, 1, NULL,
                    "a pattern without %%c and %%u: it holds for every client");
    if (why)
        wrong(p, filter.ptr + at, NULL, why);
    else
        acl_add(p->acl, &rule, p->faults, 1);
}

static void topic(struct parser *p, struct skep_str rest, bool pattern)
{
    bool allow = true;
    unsigned actions = MAY_SUBSCRIBE | MAY_PUBLISH;
    struct skep_str filter = rest, word = take(&rest);

    if (!word.len) {
        wrong(p, filter.ptr, NULL, "a topic filter is missing");
        return;
    }
    if (rest.len) {
        filter = rest;
        if (!access_is(word, &allow, &actions)) {
            wrong(p, word.ptr, NULL, "the access is none of read, write, readwrite and deny");
            return;
        }
    }
    add(p, filter, allow, actions, pattern);
}

static void line(struct parser *p, struct skep_str text)
{
    struct skep_str rest = trim(text), word;

    if (!rest.len || rest.ptr[0] == '#')
        return;
    word = take(&rest);
    if (skep_str_eq(word, SKEP_STR("topic")))
        topic(p, rest, false);
    else if (skep_str_eq(word, SKEP_STR("pattern")))
        topic(p, rest, true);
    else if (!skep_str_eq(word, SKEP_STR("user")))
        wrong(p, word.ptr, "`format skep` reads the other syntax",
              "a line begins with user, topic or pattern");
    else if (!rest.len)
        wrong(p, word.ptr, NULL, "a user name is missing");
    else
        p->who = one_condition(p->acl, WHEN_USER, rest);
}

static unsigned class_of(const struct rule *r)
{
    return (r->conditions->kind == WHEN_PLAIN_NAMES ? 2 : 0) + (r->allow ? 1 : 0);
}

static void put_in_order(struct acl *acl)
{
    struct rule **sorted = REGION_ARRAY(&acl->region, struct rule *, acl->count + 1);
    size_t n = 0;

    for (unsigned class = 0; class < CLASSES; class ++) {
        for (size_t i = 0; i < acl->count; i++) {
            if (class_of(acl->rules[i]) == class)
                sorted[n++] = acl->rules[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        sorted[i]->order = (unsigned)i;
    acl->rules = sorted;
}

void acl_parse_mosquitto(struct acl *acl, struct skep_str text, struct faults *faults)
{
    struct parser p = {.acl = acl, .faults = faults};

    p.who = one_condition(acl, WHEN_ANONYMOUS, skep_bytes(NULL, 0));
    while (text.len) {
        const char *end = memchr(text.ptr, '\n', text.len);
        size_t len = end ? (size_t)(end - text.ptr) : text.len;

        p.line++;
        p.start = text.ptr;
        line(&p, skep_bytes(text.ptr, len));
        text = skep_bytes(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
    }
    put_in_order(acl);
}
