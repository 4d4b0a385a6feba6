#include "filter.h"

#include "lib_file/utf8.h"

enum { TOPIC_MAX_BYTES = 65535, PIECES_MAX = 16 };

/* -- Compiling -- */

struct compiler {
    struct region *region;
    enum filter_variables variables;
    const char *start;
    const char *at; /* where the fault is */
};

static bool name_is_good(struct skep_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] <= ' ' || name.ptr[i] == '%')
            return false;
    }
    return name.len > 0;
}

/* What begins at text.ptr with %; *len is how much of the text it is. */
static const char *variable(struct compiler *c, struct skep_str text, struct piece *out,
                            size_t *len)
{
    const char *end;

    *len = 2;
    if (text.len >= 2 && (text.ptr[1] == 'c' || text.ptr[1] == 'u')) {
        out->kind = text.ptr[1] == 'c' ? PIECE_CLIENT : PIECE_USER;
        return NULL;
    }
    if (c->variables == VARIABLES_MOSQUITTO) { /* any other is itself */
        *out = (struct piece){PIECE_TEXT, skep_bytes(text.ptr, *len = 1)};
        return NULL;
    }
    if (text.len >= 2 && text.ptr[1] == '%') {
        *out = (struct piece){PIECE_TEXT, skep_bytes(text.ptr, 1)};
        return NULL;
    }
    end = text.len > 2 && text.ptr[1] == '{' ? memchr(text.ptr, '}', text.len) : NULL;
    if (!end)
        return "a % that is none of %c, %u, %{NAME} and %%";
    *out = (struct piece){PIECE_ATTRIBUTE, skep_bytes(text.ptr + 2, (size_t)(end - text.ptr) - 2)};
    *len = out->text.len + 3;
    if (!name_is_good(out->text))
        return "the attribute in %{...} has no name";
    out->text = region_copy(c->region, out->text);
    return NULL;
}

static const char *pieces_cut(struct compiler *c, struct level *l, struct piece pieces[PIECES_MAX])
{
    struct skep_str rest = l->text;
    const char *wrong;
    size_t len;

    while (rest.len) {
        const char *sign = memchr(rest.ptr, '%', rest.len);

        if (l->piece_count == PIECES_MAX)
            return "more than 16 pieces in one level";
        c->at = rest.ptr;
        if (sign == rest.ptr) {
            if ((wrong = variable(c, rest, &pieces[l->piece_count++], &len)) != NULL)
                return wrong;
        } else {
            len = sign ? (size_t)(sign - rest.ptr) : rest.len;
            pieces[l->piece_count++] = (struct piece){PIECE_TEXT, skep_bytes(rest.ptr, len)};
        }
        rest = skep_bytes(rest.ptr + len, rest.len - len);
    }
    return NULL;
}

/* %% alone makes no variable: the level is a text after all. */
static void level_fold(struct compiler *c, struct level *l, const struct piece *pieces)
{
    char *text;
    size_t len = 0;

    for (unsigned i = 0; i < l->piece_count; i++) {
        if (pieces[i].kind != PIECE_TEXT) {
            l->kind = LEVEL_VARIABLE;
            l->pieces = REGION_ARRAY(c->region, struct piece, l->piece_count);
            memcpy(l->pieces, pieces, sizeof *pieces * l->piece_count);
            return;
        }
    }
    text = region_get(c->region, l->text.len + 1);
    for (unsigned i = 0; i < l->piece_count; i++) {
        memcpy(text + len, pieces[i].text.ptr, pieces[i].text.len);
        len += pieces[i].text.len;
    }
    l->text = skep_bytes(text, len);
}

static const char *level_compile(struct compiler *c, struct level *l, bool last)
{
    struct piece pieces[PIECES_MAX] = {0};
    const char *wrong;

    c->at = l->text.ptr;
    if (level_is(l->text, '#')) {
        l->kind = LEVEL_HASH;
        return last ? NULL : "# stands only at the end of a filter";
    }
    if (level_is(l->text, '+')) {
        l->kind = LEVEL_PLUS;
        return NULL;
    }
    for (size_t i = 0; i < l->text.len; i++) {
        c->at = l->text.ptr + i;
        if (*c->at == '+' || *c->at == '#')
            return "+ and # stand for whole levels only";
    }
    l->kind = LEVEL_TEXT;
    if (c->variables == VARIABLES_NONE || !memchr(l->text.ptr, '%', l->text.len))
        return NULL;
    wrong = pieces_cut(c, l, pieces);
    if (!wrong)
        level_fold(c, l, pieces);
    return wrong;
}

static unsigned levels_count(struct skep_str text)
{
    unsigned n = 1;

    for (size_t i = 0; i < text.len; i++)
        n += text.ptr[i] == '/';
    return n;
}

static const char *check(struct skep_str text)
{
    if (text.len == 0)
        return "an empty filter";
    if (text.len > TOPIC_MAX_BYTES)
        return "a filter of more than 65535 bytes";
    if (!text_is_utf8(text))
        return "the filter is not UTF-8";
    if (text.len > 7 && memcmp(text.ptr, "$share/", 7) == 0)
        return "filters are compared without $share/NAME/; leave it out";
    if (levels_count(text) > FILTER_LEVELS_MAX)
        return "a filter of more than 128 levels";
    return NULL;
}

const char *filter_compile(struct filter *out, struct region *region, struct skep_str text,
                           enum filter_variables variables, size_t *at)
{
    struct skep_str rest = region_copy(region, text);
    struct compiler c = {
        .region = region, .variables = variables, .start = rest.ptr, .at = rest.ptr};
    const char *wrong = check(text);

    *at = 0;
    *out = (struct filter){0};
    if (wrong)
        return wrong;
    out->levels = REGION_ARRAY(region, struct level, levels_count(text));
    while (rest.ptr && !wrong) {
        struct level *l = &out->levels[out->count++];

        l->text = level_next(&rest);
        wrong = level_compile(&c, l, !rest.ptr);
        out->has_variables |= l->kind == LEVEL_VARIABLE;
    }
    *at = wrong ? (size_t)(c.at - c.start) : 0;
    return wrong;
}

/* -- Comparing -- */

struct skep_str level_next(struct skep_str *rest)
{
    const char *slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    struct skep_str level = *rest;

    if (!slash) {
        *rest = skep_bytes(NULL, 0);
        return level;
    }
    level.len = (size_t)(slash - rest->ptr);
    *rest = skep_bytes(slash + 1, rest->len - level.len - 1);
    return level;
}

static struct skep_str value_of(const struct piece *p, const struct acl_who *who)
{
    switch (p->kind) {
    case PIECE_CLIENT:
        return who->client;
    case PIECE_USER:
        return who->has_user ? who->user : skep_bytes(NULL, 0);
    case PIECE_ATTRIBUTE:
        return who->attribute ? who->attribute(who->arg, p->text.ptr) : skep_bytes(NULL, 0);
    default:
        return p->text;
    }
}

/* begins: the value begins the whole filter. */
static bool value_is_usable(struct skep_str value, bool begins)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];

        if (c == '+' || c == '#' || c == '/' || c == '\0')
            return false;
    }
    return value.len > 0 && !(begins && value.ptr[0] == '$');
}

enum level_match level_test(const struct level *l, const struct acl_who *who, bool first,
                            struct skep_str text)
{
    bool same = true;

    for (unsigned i = 0; i < l->piece_count; i++) {
        const struct piece *p = &l->pieces[i];
        struct skep_str value = value_of(p, who);

        if (p->kind != PIECE_TEXT && !value_is_usable(value, first && i == 0))
            return LEVEL_UNUSABLE;
        same = same && text.len >= value.len && memcmp(text.ptr, value.ptr, value.len) == 0;
        if (same)
            text = skep_bytes(text.ptr + value.len, text.len - value.len);
    }
    return same && text.len == 0 ? LEVEL_SAME : LEVEL_OTHER;
}

enum level_match level_usable(const struct level *l, const struct acl_who *who, bool first)
{
    for (unsigned i = 0; i < l->piece_count; i++) {
        if (l->pieces[i].kind != PIECE_TEXT &&
            !value_is_usable(value_of(&l->pieces[i], who), first && i == 0))
            return LEVEL_UNUSABLE;
    }
    return first && level_is_hidden(l->text) ? LEVEL_OTHER : LEVEL_SAME;
}

bool filter_usable(const struct filter *f, const struct acl_who *who, unsigned from)
{
    for (unsigned i = from; f->has_variables && i < f->count; i++) {
        if (f->levels[i].kind == LEVEL_VARIABLE &&
            level_usable(&f->levels[i], who, i == 0) == LEVEL_UNUSABLE)
            return false;
    }
    return true;
}

/* One of our levels against a plain one. */
static enum level_match text_test(const struct level *l, const struct acl_who *who, bool first,
                                  struct skep_str text)
{
    switch (l->kind) {
    case LEVEL_PLUS:
        return first && level_is_hidden(text) ? LEVEL_OTHER : LEVEL_SAME;
    case LEVEL_VARIABLE:
        return level_test(l, who, first, text);
    default:
        return skep_str_eq(l->text, text) ? LEVEL_SAME : LEVEL_OTHER;
    }
}

/* One of our levels against a +. */
static enum level_match plus_test(const struct level *l, const struct acl_who *who, bool first,
                                  enum filter_how how)
{
    enum level_match match = LEVEL_SAME;

    if (l->kind == LEVEL_VARIABLE)
        match = level_usable(l, who, first);
    else if (l->kind == LEVEL_TEXT && first && level_is_hidden(l->text))
        match = LEVEL_OTHER;
    if (match == LEVEL_SAME && how == FILTER_COVERS && l->kind != LEVEL_PLUS)
        match = LEVEL_OTHER;
    return match;
}

/* Our levels from i on against a # that ends the other. */
static bool hash_test(const struct filter *f, const struct acl_who *who, unsigned i,
                      enum filter_how how, bool deny)
{
    const struct level *l = &f->levels[i];
    enum level_match match = plus_test(l, who, i == 0, FILTER_INTERSECTS);

    if (match != LEVEL_SAME)
        return match == LEVEL_UNUSABLE && deny;
    if (how == FILTER_INTERSECTS)
        return deny || filter_usable(f, who, i);
    /* Every topic has a first level: +/# says as much as #. */
    return i == 0 && l->kind == LEVEL_PLUS && f->count == 2 && f->levels[1].kind == LEVEL_HASH;
}

bool filter_test(const struct filter *f, const struct acl_who *who, enum filter_how how,
                 struct skep_str topic, bool deny)
{
    bool wild = how != FILTER_MATCHES;

    for (unsigned i = 0; i < f->count; i++) {
        const struct level *l = &f->levels[i];
        enum level_match match;
        struct skep_str text;

        if (!topic.ptr)
            return l->kind == LEVEL_HASH; /* a/# holds a */
        text = level_next(&topic);
        if (l->kind == LEVEL_HASH)
            return !(i == 0 && level_is_hidden(text));
        if (wild && level_is(text, '#'))
            return hash_test(f, who, i, how, deny);
        match = wild && level_is(text, '+') ? plus_test(l, who, i == 0, how)
                                            : text_test(l, who, i == 0, text);
        if (match != LEVEL_SAME)
            return match == LEVEL_UNUSABLE && deny;
    }
    return !topic.ptr || (how == FILTER_INTERSECTS && level_is(topic, '#'));
}
