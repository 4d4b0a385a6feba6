#include "conf/syntax.h"

#include "base/mem.h"
#include "conf/lexer.h"
#include "conf/value.h"

/* One file being read, and the way back to the file that included it. */
struct parse {
    struct syntax *tree;
    struct lexer lexer;
    unsigned include_depth;
    bool overrides;
};

static void parse_file(struct syntax *t, const char *path, struct text_pos from, unsigned depth,
                       struct syntax_node ***last);

void syntax_init(struct syntax *t, struct arena *arena, struct complaints *complaints,
                 const struct source *source)
{
    *t = (struct syntax){.arena = arena,
                         .complaints = complaints,
                         .last = &t->top,
                         .source = source ? source : &source_files};
}

/* Words are gathered in a chain and copied into one array when the directive ends. */
struct word_chain {
    struct word_chain *next;
    struct syntax_word word;
};

static struct syntax_word *words_flatten(struct arena *arena, struct word_chain *chain,
                                         size_t count)
{
    struct syntax_word *words = ARENA_ARRAY(arena, struct syntax_word, count);
    for (size_t i = 0; i < count; i++, chain = chain->next)
        words[i] = chain->word;
    return words;
}

static void include(struct parse *p, const struct syntax_node *node, struct syntax_node ***last)
{
    struct syntax *t = p->tree;
    struct text_pos pos = node->words[0].pos;
    const char *pattern, **paths;
    size_t count;

    if (node->count != 2 || node->block) {
        complaint_error(t->complaints, pos, "for example: include conf.d/*.conf;",
                        "include takes one path or pattern");
        return;
    }
    if (p->include_depth + 1 >= SYNTAX_INCLUDE_MAX) {
        complaint_error(t->complaints, pos, "does a file include itself?",
                        "files are included more than %d deep", SYNTAX_INCLUDE_MAX);
        return;
    }
    pattern = source_relative(t->arena, pos.file, node->words[1].text);
    paths = t->source->glob(t->source->arg, pattern, t->arena, &count);
    if (count == 0 && !strpbrk(pattern, "*?["))
        complaint_error(t->complaints, node->words[1].pos, NULL, "no such file: %s", pattern);
    for (size_t i = 0; i < count && !complaints_full(t->complaints); i++)
        parse_file(t, paths[i], pos, p->include_depth + 1, last);
}

/* Reads one directive that begins with token `t`; returns NULL when it is beyond repair
 * (complained about and skipped).  *open says whether a block follows. */
static struct syntax_node *parse_head(struct parse *p, struct token t, bool *open)
{
    struct arena *arena = p->tree->arena;
    struct syntax_node *node = ARENA_NEW(arena, struct syntax_node);
    struct word_chain *first = NULL, **last = &first;
    struct text_pos start = t.pos;
    bool broken = false;

    *open = false;
    for (; t.kind == TOKEN_WORD; t = lexer_next(&p->lexer)) {
        struct word_chain *w = ARENA_NEW(arena, struct word_chain);
        w->word = (struct syntax_word){arena_str(arena, t.text), t.pos, t.quoted};
        broken |= t.broken;
        *last = w;
        last = &w->next;
        node->count++;
    }
    node->words = words_flatten(arena, first, node->count);
    node->overrides = p->overrides;
    if (t.kind == TOKEN_OPEN) {
        node->block = *open = true;
    } else if (t.kind != TOKEN_SEMICOLON) {
        complaint_error(p->tree->complaints, t.pos, NULL, "';' is missing after '%s' (line %u)",
                        value_quote(arena, node->words[0].text), start.line);
        if (t.kind == TOKEN_CLOSE) { /* the brace belongs to whoever is open */
            p->lexer.at--;
            p->lexer.pos = t.pos;
        }
    }
    return broken ? NULL : node;
}

/* Directives up to the closing brace (depth > 0) or the end of the file. */
static void parse_list(struct parse *p, unsigned depth, struct text_pos opened,
                       struct syntax_node ***last)
{
    struct complaints *complaints = p->tree->complaints;

    while (!complaints_full(complaints)) {
        struct token t = lexer_next(&p->lexer);
        struct syntax_node *node, *nowhere = NULL, **skipped = &nowhere;
        bool open;

        if (t.kind == TOKEN_END) {
            if (depth > 0)
                complaint_error(complaints, opened, NULL, "this block is never closed");
            return;
        }
        if (t.kind == TOKEN_CLOSE) {
            if (depth > 0)
                return;
            complaint_error(complaints, t.pos, NULL, "this '}' closes nothing");
            continue;
        }
        if (t.kind == TOKEN_SEMICOLON)
            continue; /* an empty directive, as behind a block */
        if (t.kind == TOKEN_OPEN) {
            complaint_error(complaints, t.pos, NULL, "a block needs a name before its '{'");
            if (depth + 1 < SYNTAX_DEPTH_MAX)
                parse_list(p, depth + 1, t.pos, &skipped);
            continue;
        }
        node = parse_head(p, t, &open);
        if (open && depth + 1 >= SYNTAX_DEPTH_MAX) {
            complaint_error(complaints, t.pos, NULL, "blocks are nested more than %d deep",
                            SYNTAX_DEPTH_MAX);
            return;
        }
        if (open) {
            struct syntax_node **children = node ? &node->children : &nowhere;
            parse_list(p, depth + 1, t.pos, &children);
        }
        if (!node)
            continue;
        if (str_eq(node->words[0].text, STR("include"))) {
            include(p, node, last);
            continue;
        }
        **last = node;
        *last = &node->next;
    }
}

static void parse_text(struct syntax *t, const char *name, struct str text, unsigned include_depth,
                       bool overrides, struct syntax_node ***last)
{
    struct parse p = {.tree = t, .include_depth = include_depth, .overrides = overrides};

    lexer_init(&p.lexer, arena_cstr(t->arena, str_of(name)), text, t->complaints);
    parse_list(&p, 0, p.lexer.pos, last);
}

static void parse_file(struct syntax *t, const char *path, struct text_pos from, unsigned depth,
                       struct syntax_node ***last)
{
    const char *why = "";
    struct str text;

    if (++t->files > SYNTAX_FILES_MAX) {
        complaint_error(t->complaints, from, "do files include each other?",
                        "more than %d files are included", SYNTAX_FILES_MAX);
        return;
    }
    t->source->read(t->source->arg, path, SYNTAX_FILE_BYTES, t->arena, &text, &why);
    if (!text.ptr) {
        complaint_error(t->complaints, from, NULL, "cannot read %s: %s", path, why);
        return;
    }
    parse_text(t, path, text, depth, false, last);
}

void syntax_load(struct syntax *t, const char *path)
{
    const char *kept = arena_cstr(t->arena, str_of(path));
    parse_file(t, kept, (struct text_pos){.file = kept}, 0, &t->last);
}

void syntax_parse(struct syntax *t, const char *name, struct str text, bool overrides)
{
    parse_text(t, name, arena_str(t->arena, text), 0, overrides, &t->last);
}
