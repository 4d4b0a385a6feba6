#include "conf/show.h"

#include "conf/value.h"

struct show {
    FILE *to;
    struct arena arena; /* emptied after each line */
};

static void show_table(struct show *s, const struct directive_table *table, const void *base,
                       int depth);

static void show_words(struct show *s, const struct directive *d, const struct directive_list *line,
                       int depth)
{
    fprintf(s->to, "%*s%s", depth * 4, "", d->name);
    for (size_t i = 0; i < line->count; i++)
        fprintf(s->to, " %s", value_quote(&s->arena, str_of(line->items[i])));
    fputs(";\n", s->to);
}

static void show_line(struct show *s, const struct directive *d, const void *base, int depth)
{
    const struct directive_lines *lines = (const void *)((const char *)base + d->offset);
    const char *value = directive_print(d, base, &s->arena);

    for (size_t i = 0; d->type == DIRECTIVE_LINES && i < lines->count; i++)
        show_words(s, d, &lines->items[i], depth);

    if (value && d->type != DIRECTIVE_LINES)
        fprintf(s->to, "%*s%s %s;\n", depth * 4, "", d->name, value);
    arena_reset(&s->arena);
}

static void show_blocks(struct show *s, const struct directive *d,
                        const struct directive_blocks *blocks, int depth)
{
    for (size_t i = 0; i < blocks->count; i++) {
        const struct directive_block *head = blocks->items[i];
        fprintf(s->to, "%*s%s %s {\n", depth * 4, "", d->name,
                value_quote(&s->arena, str_of(head->label)));
        show_table(s, head->table, head, depth + 1);
        fprintf(s->to, "%*s}\n", depth * 4, "");
    }
}

static bool block_given(const struct directive *d, const void *at)
{
    return !(d->flags & DIRECTIVE_HEADED) || ((const struct directive_block *)at)->table;
}

static void show_table(struct show *s, const struct directive_table *table, const void *base,
                       int depth)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        const void *at = (const char *)base + d->offset;
        if (d->type == DIRECTIVE_BLOCKS) {
            show_blocks(s, d, at, depth);
        } else if (d->type == DIRECTIVE_BLOCK && block_given(d, at)) {
            fprintf(s->to, "%*s%s {\n", depth * 4, "", d->name);
            show_table(s, d->body, at, depth + 1);
            fprintf(s->to, "%*s}\n", depth * 4, "");
        } else if (d->type != DIRECTIVE_BLOCK) {
            show_line(s, d, base, depth);
        }
    }
}

void show_effective(FILE *to, const struct directive_table *table, const void *base)
{
    struct show s = {.to = to};

    show_table(&s, table, base, 0);
    arena_fini(&s.arena);
}

/* The list being built, and where we are in the tables. */
struct diff {
    struct arena *arena;
    struct show_change *first, **last;
};

static void diff_table(struct diff *f, const struct directive_table *table, const char *prefix,
                       const void *a, const void *b);

static void change_add(struct diff *f, const char *path, const char *from, const char *to,
                       bool fixed)
{
    struct show_change *c = ARENA_NEW(f->arena, struct show_change);

    *c = (struct show_change){.path = path, .from = from, .to = to, .fixed = fixed};
    *f->last = c;
    f->last = &c->next;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void diff_value(struct diff *f, const struct directive *d, const char *prefix, const void *a,
                       const void *b)
{
    const char *from = directive_print(d, a, f->arena), *to = directive_print(d, b, f->arena);
    bool same = same_text(from, to);

    if (d->type == DIRECTIVE_SECRET) {
        const struct directive_secret *x = (const void *)((const char *)a + d->offset);
        const struct directive_secret *y = (const void *)((const char *)b + d->offset);
        same = same && str_eq(x->value, y->value);
    }
    if (!same)
        change_add(f, arena_printf(f->arena, "%s%s", prefix, d->name), from, to,
                   d->flags & DIRECTIVE_FIXED);
}

static const struct directive_block *labelled(const struct directive_blocks *blocks,
                                              const char *label)
{
    for (size_t i = 0; i < blocks->count; i++) {
        const struct directive_block *head = blocks->items[i];
        if (strcmp(head->label, label) == 0)
            return head;
    }
    return NULL;
}

static void diff_blocks(struct diff *f, const struct directive *d, const char *prefix,
                        const struct directive_blocks *a, const struct directive_blocks *b)
{
    for (size_t i = 0; i < a->count; i++) {
        const struct directive_block *x = a->items[i], *y = labelled(b, x->label);
        const char *path = arena_printf(f->arena, "%s%s %s", prefix, d->name, x->label);
        if (y && y->table == x->table)
            diff_table(f, x->table, arena_printf(f->arena, "%s.", path), x, y);
        else
            change_add(f, path, "present", y ? "present" : NULL, d->flags & DIRECTIVE_FIXED);
    }
    for (size_t i = 0; i < b->count; i++) {
        const struct directive_block *y = b->items[i], *x = labelled(a, y->label);
        if (!x)
            change_add(f, arena_printf(f->arena, "%s%s %s", prefix, d->name, y->label), NULL,
                       "present", d->flags & DIRECTIVE_FIXED);
    }
}

static void diff_block(struct diff *f, const struct directive *d, const char *prefix, const void *a,
                       const void *b)
{
    bool had = block_given(d, a), has = block_given(d, b);
    const char *path = arena_printf(f->arena, "%s%s", prefix, d->name);

    if (had && has)
        diff_table(f, d->body, arena_printf(f->arena, "%s.", path), a, b);
    else if (had != has)
        change_add(f, path, had ? "present" : NULL, has ? "present" : NULL,
                   d->flags & DIRECTIVE_FIXED);
}

static void diff_table(struct diff *f, const struct directive_table *table, const char *prefix,
                       const void *a, const void *b)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        const char *x = (const char *)a + d->offset, *y = (const char *)b + d->offset;
        if (d->type == DIRECTIVE_BLOCKS)
            diff_blocks(f, d, prefix, (const void *)x, (const void *)y);
        else if (d->type == DIRECTIVE_BLOCK)
            diff_block(f, d, prefix, x, y);
        else
            diff_value(f, d, prefix, a, b);
    }
}

struct show_change *show_changes(const struct directive_table *table, const void *old_base,
                                 const void *new_base, struct arena *arena)
{
    struct diff f = {.arena = arena};

    f.last = &f.first;
    diff_table(&f, table, "", old_base, new_base);
    return f.first;
}

const char *show_change_text(const struct show_change *c, struct arena *arena)
{
    if (!c->from)
        return arena_printf(arena, "%s: added%s%s", c->path, strcmp(c->to, "present") ? " " : "",
                            strcmp(c->to, "present") ? c->to : "");
    if (!c->to)
        return arena_printf(arena, "%s: removed", c->path);
    if (strcmp(c->from, "present") == 0 && strcmp(c->to, "present") == 0)
        return arena_printf(arena, "%s: replaced", c->path);
    if (strcmp(c->from, c->to) == 0)
        return arena_printf(arena, "%s: changed (not shown)", c->path);
    return arena_printf(arena, "%s: %s -> %s", c->path, c->from, c->to);
}
