#include "conf/reference.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

/* A directive and the blocks around it. */
struct place {
    const struct directive *directive;
    const char *path; /* "listener NAME { tls { " */
    const char *block;
    int depth;
};

typedef void visit_fn(FILE *to, const struct place *p, struct arena *arena);

static bool is_block(const struct directive *d)
{
    return d->type == DIRECTIVE_BLOCK || d->type == DIRECTIVE_BLOCKS;
}

static void walk(FILE *to, const struct directive_table *table, const char *block, int depth,
                 visit_fn *visit, struct arena *arena)
{
    /* Plain directives first: a block's own would otherwise separate them. */
    for (int blocks = 0; blocks < 2; blocks++)
        for (size_t i = 0; i < table->count; i++) {
            const struct directive *d = &table->items[i];
            struct place p = {.directive = d, .block = block, .depth = depth};
            if (is_block(d) != (blocks == 1))
                continue;
            visit(to, &p, arena);
            if (d->body)
                walk(to, d->body,
                     arena_printf(arena, "%s%s%s", block, *block ? " / " : "", d->name), depth + 1,
                     visit, arena);
        }
}

static const char *facts(const struct directive *d, struct arena *arena)
{
    const char *range = directive_range_text(d, arena);
    const char *out = "";

    if (d->flags & DIRECTIVE_REQUIRED)
        out = "required";
    else if (d->fallback)
        out = arena_printf(arena, "default %s", d->fallback);
    if (*range)
        out = arena_printf(arena, "%s%s%s", out, *out ? "; " : "", range);
    if ((d->flags & DIRECTIVE_REPEATABLE) || d->type == DIRECTIVE_LINES)
        out = arena_printf(arena, "%s%srepeatable", out, *out ? "; " : "");
    if (d->flags & DIRECTIVE_FIXED)
        out = arena_printf(arena, "%s%sneeds a restart", out, *out ? "; " : "");
    return out;
}

static void visit_text(FILE *to, const struct place *p, struct arena *arena)
{
    const struct directive *d = p->directive;
    const char *about = facts(d, arena);

    fprintf(to, "%*s%s %s%s\n", p->depth * 4, "", d->name, directive_type_text(d, arena),
            is_block(d) ? "" : ";");
    fprintf(to, "%*s%s%s%s%s\n", p->depth * 4 + 8, "", d->help, *about ? " (" : "", about,
            *about ? ")" : "");
}

static void visit_markdown(FILE *to, const struct place *p, struct arena *arena)
{
    const struct directive *d = p->directive;
    const char *about = facts(d, arena);

    if (is_block(d)) {
        fprintf(to, "\n%s `%s %s`%s%s\n\n%s.%s%s%s\n\n", p->depth ? "###" : "##", d->name,
                directive_type_text(d, arena), *p->block ? " in " : "", p->block, d->help,
                *about ? " *" : "", about, *about ? "*" : "");
        return;
    }
    fprintf(to, "- **`%s`** `%s`: %s.%s%s%s\n", d->name, directive_type_text(d, arena), d->help,
            *about ? " *" : "", about, *about ? "*" : "");
}

/* A line must not begin with a dot or a quote, and backslashes are doubled. */
static void man_text(FILE *to, const char *s)
{
    if (*s == '.' || *s == '\'')
        fputs("\\&", to);
    for (; *s; s++)
        fputs(*s == '\\' ? "\\e" : (char[]){*s, '\0'}, to);
}

static void visit_man(FILE *to, const struct place *p, struct arena *arena)
{
    const struct directive *d = p->directive;
    const char *about = facts(d, arena);

    if (is_block(d))
        fprintf(to, ".Ss %s %s%s%s\n", d->name, directive_type_text(d, arena),
                *p->block ? " (in " : "", *p->block ? arena_printf(arena, "%s)", p->block) : "");
    else
        fprintf(to, ".Pp\n.Ic %s Ar %s ;\n.br\n", d->name, directive_type_text(d, arena));
    man_text(to, d->help);
    fprintf(to, ".%s%s%s\n", *about ? "\n(" : "", about, *about ? ")" : "");
}

static cJSON *json_table(const struct directive_table *table, struct arena *arena)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", d->name);
        cJSON_AddStringToObject(one, "type", directive_type_text(d, arena));
        cJSON_AddStringToObject(one, "help", d->help);
        if (d->fallback)
            cJSON_AddStringToObject(one, "default", d->fallback);
        if (*directive_range_text(d, arena))
            cJSON_AddStringToObject(one, "range", directive_range_text(d, arena));
        cJSON_AddBoolToObject(one, "required", d->flags & DIRECTIVE_REQUIRED);
        cJSON_AddBoolToObject(one, "repeatable",
                              d->flags & DIRECTIVE_REPEATABLE || d->type == DIRECTIVE_BLOCKS ||
                                  d->type == DIRECTIVE_LINES);
        cJSON_AddBoolToObject(one, "reloadable", !(d->flags & DIRECTIVE_FIXED));
        cJSON_AddBoolToObject(one, "secret", d->type == DIRECTIVE_SECRET);
        if (d->body)
            cJSON_AddItemToObject(one, "directives", json_table(d->body, arena));
        cJSON_AddItemToArray(list, one);
    }
    return list;
}

void reference_print(FILE *to, const struct directive_table *table, enum reference_format format)
{
    static visit_fn *const visits[] = {[REFERENCE_TEXT] = visit_text,
                                       [REFERENCE_MARKDOWN] = visit_markdown,
                                       [REFERENCE_MAN] = visit_man};
    struct arena arena = {0};

    if (format == REFERENCE_JSON) {
        cJSON *list = json_table(table, &arena);
        char *text = cJSON_Print(list);
        fprintf(to, "%s\n", text);
        cJSON_free(text);
        cJSON_Delete(list);
    } else {
        walk(to, table, "", 0, visits[format], &arena);
    }
    arena_fini(&arena);
}
