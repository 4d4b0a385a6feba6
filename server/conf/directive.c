#include "conf/directive.h"

#include <inttypes.h>

#include "base/mem.h"
#include "conf/field.h"
#include "conf/near.h"
#include "conf/value.h"

/* Where a directive was given, to tell "twice" and to let the command line win. */
struct directive_seen {
    struct directive_seen *next;
    const void *base;
    const struct directive *directive;
    struct text_pos pos;
    bool overridden;
};

const struct directive *directive_find(const struct directive_table *table, struct str name)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_eq(name, str_of(table->items[i].name)))
            return &table->items[i];
    return NULL;
}

static struct directive_seen *seen_find(struct directive_context *ctx, const struct directive *d,
                                        const void *base)
{
    struct directive_seen *s = ctx->seen;
    while (s && (s->directive != d || s->base != base))
        s = s->next;
    return s;
}

/* False when the directive may not be given again (complained about).  *fresh: forget
 * what was there. */
static bool note_seen(struct directive_context *ctx, const struct directive *d,
                      const struct syntax_node *node, const void *base, bool *fresh)
{
    struct directive_seen *s = seen_find(ctx, d, base);

    *fresh = !s;
    if (!s) {
        s = ARENA_NEW(ctx->arena, struct directive_seen);
        *s = (struct directive_seen){ctx->seen, base, d, node->words[0].pos, node->overrides};
        ctx->seen = s;
        return true;
    }
    if (node->overrides && !s->overridden) {
        s->overridden = *fresh = true;
        return true;
    }
    if ((d->flags & DIRECTIVE_REPEATABLE) || d->type == DIRECTIVE_LINES)
        return true;
    complaint_error(
        ctx->complaints, node->words[0].pos,
        arena_printf(ctx->arena, "it stands already at %s:%u", s->pos.file, s->pos.line),
        "%s is given twice", d->name);
    return false;
}

/* Every table reachable from `table`: does one of its blocks know the name? */
static const struct directive *find_below(const struct directive_table *table, struct str name,
                                          const struct directive **block)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i], *found;
        if (!d->body)
            continue;
        if ((found = directive_find(d->body, name)) != NULL) {
            *block = d;
            return found;
        }
        if ((found = find_below(d->body, name, block)) != NULL)
            return found;
    }
    return NULL;
}

static void complain_unknown(const struct directive_table *table, const struct syntax_node *node,
                             struct directive_context *ctx)
{
    struct str name = node->words[0].text;
    const struct directive *block;
    const char *hint = NULL;
    struct near near;

    near_init(&near, name);
    for (size_t i = 0; i < table->count; i++)
        near_offer(&near, str_of(table->items[i].name));
    if (find_below(table, name, &block))
        hint = arena_printf(ctx->arena, "it belongs inside %s { }", block->name);
    else if (near_best(&near).len)
        hint = arena_printf(ctx->arena, "did you mean %.*s?", STR_ARG(near_best(&near)));
    complaint_error(ctx->complaints, node->words[0].pos, hint, "unknown directive %s",
                    value_quote(ctx->arena, name));
}

static void apply_nodes(const struct directive_table *table, const struct syntax_node *nodes,
                        void *base, struct directive_context *ctx);

static void check_required(const struct directive_table *table, struct text_pos pos, void *base,
                           struct directive_context *ctx)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        if ((d->flags & DIRECTIVE_REQUIRED) && !seen_find(ctx, d, base))
            complaint_error(ctx->complaints, pos,
                            arena_printf(ctx->arena, "add: %s %s;", d->name,
                                         directive_type_text(d, ctx->arena)),
                            "%s is missing here", d->name);
    }
}

/* Runs once all nodes were read: a block may be given in several pieces. */
static void finish(const struct directive_table *table, struct text_pos pos, void *base,
                   struct directive_context *ctx)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        void *at = (char *)base + d->offset;
        if (d->type == DIRECTIVE_BLOCK) {
            struct directive_seen *s = seen_find(ctx, d, base);
            if (s)
                finish(d->body, s->pos, at, ctx);
        } else if (d->type == DIRECTIVE_BLOCKS) {
            struct directive_blocks *blocks = at;
            for (size_t j = 0; j < blocks->count; j++) {
                struct directive_block *head = blocks->items[j];
                finish(head->table, head->pos, head, ctx);
            }
        }
    }
    check_required(table, pos, base, ctx);
    if (table->check)
        table->check(base, pos, ctx);
}

static void apply_block(const struct directive *d, const struct syntax_node *node, void *base,
                        struct directive_context *ctx)
{
    void *at = (char *)base + d->offset;

    if (node->count != 1) {
        complaint_error(ctx->complaints, node->words[1].pos, NULL, "%s { } takes no name", d->name);
        return;
    }
    if (!seen_find(ctx, d, base)) {
        struct directive_seen *s = ARENA_NEW(ctx->arena, struct directive_seen);
        *s = (struct directive_seen){ctx->seen, base, d, node->words[0].pos, false};
        ctx->seen = s;
        if (d->flags & DIRECTIVE_HEADED)
            *(struct directive_block *)at =
                (struct directive_block){.pos = node->words[0].pos, .table = d->body};
    }
    apply_nodes(d->body, node->children, at, ctx);
}

static struct directive_block *block_named(const struct directive_blocks *blocks, struct str label)
{
    for (size_t i = 0; i < blocks->count; i++) {
        struct directive_block *head = blocks->items[i];
        if (str_eq(label, str_of(head->label)))
            return head;
    }
    return NULL;
}

static struct directive_block *block_add(const struct directive *d, const struct syntax_node *node,
                                         struct directive_blocks *blocks,
                                         struct directive_context *ctx)
{
    struct str label = node->words[1].text;
    unsigned errors = ctx->complaints->errors;
    const struct directive_table *table = d->find ? d->find(d, &node->words[1], ctx) : d->body;
    void **items = ARENA_ARRAY(ctx->arena, void *, blocks->count + 1);
    struct directive_block *head;

    if (!table) {
        if (ctx->complaints->errors == errors)
            complaint_error(ctx->complaints, node->words[1].pos, NULL, "%s: there is no %s",
                            d->name, value_quote(ctx->arena, label));
        return NULL;
    }
    head = arena_alloc(ctx->arena, table->size);
    directive_defaults(table, head, ctx);
    *head = (struct directive_block){label.ptr, node->words[0].pos, table};
    if (blocks->count)
        memcpy(items, blocks->items, blocks->count * sizeof *items);
    items[blocks->count] = head;
    *blocks = (struct directive_blocks){items, blocks->count + 1};
    return head;
}

static void apply_labelled(const struct directive *d, const struct syntax_node *node, void *base,
                           struct directive_context *ctx)
{
    struct directive_blocks *blocks = (void *)((char *)base + d->offset);
    struct directive_block *head;

    if (node->count != 2 || node->words[1].text.len == 0) {
        complaint_error(ctx->complaints, node->words[0].pos,
                        arena_printf(ctx->arena, "for example: %s main { ... }", d->name),
                        "%s takes one name before its '{'", d->name);
        return;
    }
    head = block_named(blocks, node->words[1].text);
    if (head && !node->overrides) {
        complaint_error(
            ctx->complaints, node->words[1].pos,
            arena_printf(ctx->arena, "the first is at %s:%u", head->pos.file, head->pos.line),
            "a second %s with the name %s", d->name, value_quote(ctx->arena, node->words[1].text));
        return;
    }
    if (head || (head = block_add(d, node, blocks, ctx)) != NULL)
        apply_nodes(head->table, node->children, head, ctx);
}

static void apply_one(const struct directive *d, const struct syntax_node *node, void *base,
                      struct directive_context *ctx)
{
    bool wants_block = d->type == DIRECTIVE_BLOCK || d->type == DIRECTIVE_BLOCKS, fresh;

    if (wants_block != node->block && !(d->flags & DIRECTIVE_BARE))
        complaint_error(ctx->complaints, node->words[0].pos, NULL,
                        wants_block ? "%s needs a block: %s { ... }"
                                    : "%s is no block, write: %s VALUE;",
                        d->name, d->name);
    else if (d->type == DIRECTIVE_BLOCK)
        apply_block(d, node, base, ctx);
    else if (d->type == DIRECTIVE_BLOCKS)
        apply_labelled(d, node, base, ctx);
    else if (note_seen(ctx, d, node, base, &fresh))
        field_set(d, node, base, fresh, ctx);
}

static void apply_nodes(const struct directive_table *table, const struct syntax_node *nodes,
                        void *base, struct directive_context *ctx)
{
    for (const struct syntax_node *n = nodes; n && !complaints_full(ctx->complaints); n = n->next) {
        const struct directive *d = directive_find(table, n->words[0].text);
        if (d)
            apply_one(d, n, base, ctx);
        else
            complain_unknown(table, n, ctx);
    }
}

/* A default is a line of configuration that nobody wrote. */
static void apply_default(const struct directive *d, void *base, struct directive_context *ctx)
{
    struct complaints none;
    struct syntax tree;

    complaints_init(&none, ctx->arena);
    syntax_init(&tree, ctx->arena, &none, ctx->source);
    syntax_parse(&tree, "", str_of(arena_printf(ctx->arena, "%s %s;", d->name, d->fallback)),
                 false);
    ASSERT(none.errors == 0 && tree.top && !tree.top->next);
    struct directive_context quiet = {
        .arena = ctx->arena, .complaints = &none, .source = ctx->source};
    field_set(d, tree.top, base, true, &quiet);
    ASSERT(none.errors == 0); /* a table's default must be legal */
}

void directive_defaults(const struct directive_table *table, void *base,
                        struct directive_context *ctx)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        if (d->type == DIRECTIVE_BLOCK)
            directive_defaults(d->body, (char *)base + d->offset, ctx);
        else if (d->fallback)
            apply_default(d, base, ctx);
    }
}

void directive_apply(const struct directive_table *table, const struct syntax_node *nodes,
                     struct text_pos pos, void *base, struct directive_context *ctx)
{
    directive_defaults(table, base, ctx);
    apply_nodes(table, nodes, base, ctx);
    finish(table, pos, base, ctx);
}
