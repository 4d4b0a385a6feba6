/* Directives as text: their values as they would be written, their types and ranges as
 * the reference names them. */
#include <inttypes.h>

#include "conf/directive.h"
#include "conf/field.h"
#include "conf/value.h"

static const char *print_set(const struct directive *d, uint64_t bits, struct arena *arena)
{
    const char *out = NULL;
    struct str name;

    for (unsigned i = 0; (name = value_choice_name(d->choices, i)).len; i++)
        if (bits >> i & 1)
            out = arena_printf(arena, "%s%s%.*s", out ? out : "", out ? " " : "", STR_ARG(name));
    return out;
}

static const char *print_list(const struct directive_list *list, struct arena *arena)
{
    const char *out = NULL;

    for (size_t i = 0; i < list->count; i++)
        out = arena_printf(arena, "%s%s%s", out ? out : "", out ? " " : "",
                           value_quote(arena, str_of(list->items[i])));
    return out;
}

static const char *print_lines(const struct directive *d, const struct directive_lines *lines,
                               struct arena *arena)
{
    const char *out = NULL;

    for (size_t i = 0; i < lines->count; i++)
        out = arena_printf(arena, "%s%s%s%s", out ? out : "", out ? "; " : "",
                           out ? arena_printf(arena, "%s ", d->name) : "",
                           print_list(&lines->items[i], arena));
    return out;
}

static const char *print_secret(const struct directive_secret *secret, struct arena *arena)
{
    if (secret->source)
        return value_quote(arena, str_of(secret->source));
    return secret->value.len ? "\"hidden\"" : NULL;
}

static const char *print_bool(const struct directive *d, bool on, struct arena *arena)
{
    struct str name = value_choice_name(d->choices ? d->choices : "off|on", on);
    return arena_cstr(arena, name);
}

static const char *print_number(const struct directive *d, uint64_t n, struct arena *arena)
{
    if (d->word && n == d->word_value)
        return d->word;
    if (d->type == DIRECTIVE_ENUM)
        return arena_cstr(arena, value_choice_name(d->choices, n));
    return field_number_text(d, n, arena);
}

const char *directive_print(const struct directive *d, const void *base, struct arena *arena)
{
    const void *at = (const char *)base + d->offset;
    const char *text;
    bool on;

    switch (d->type) {
    case DIRECTIVE_BOOL:
        memcpy(&on, at, sizeof on);
        return print_bool(d, on, arena);
    case DIRECTIVE_SET:
        return print_set(d, field_number(d, base), arena);
    case DIRECTIVE_STRING:
    case DIRECTIVE_PATH:
    case DIRECTIVE_ADDRESS:
        memcpy(&text, at, sizeof text);
        return text ? value_quote(arena, str_of(text)) : d->word;
    case DIRECTIVE_TEXT:
        return value_quote(arena, str_of(at));
    case DIRECTIVE_SECRET:
        return print_secret(at, arena);
    case DIRECTIVE_LIST:
        return print_list(at, arena);
    case DIRECTIVE_LINES:
        return print_lines(d, at, arena);
    case DIRECTIVE_BLOCK:
    case DIRECTIVE_BLOCKS:
        return NULL;
    default:
        return print_number(d, field_number(d, base), arena);
    }
}

const char *directive_type_text(const struct directive *d, struct arena *arena)
{
    static const char *const names[] = {
        [DIRECTIVE_BOOL] = "on|off",
        [DIRECTIVE_UINT] = "number",
        [DIRECTIVE_SIZE] = "size",
        [DIRECTIVE_DURATION] = "duration",
        [DIRECTIVE_RATE] = "rate",
        [DIRECTIVE_MODE] = "mode",
        [DIRECTIVE_STRING] = "string",
        [DIRECTIVE_TEXT] = "string",
        [DIRECTIVE_PATH] = "path",
        [DIRECTIVE_ADDRESS] = "address",
        [DIRECTIVE_SECRET] = "secret",
        [DIRECTIVE_LIST] = "string ...",
        [DIRECTIVE_LINES] = "string ...",
        [DIRECTIVE_BLOCK] = "{ ... }",
        [DIRECTIVE_BLOCKS] = "NAME { ... }",
        [DIRECTIVE_SET] = NULL,
        [DIRECTIVE_ENUM] = NULL,
    };
    const char *base;

    if (d->syntax)
        return d->syntax;
    if (d->type == DIRECTIVE_SET)
        return arena_printf(arena, "%s ...", d->choices);
    if (d->type == DIRECTIVE_LIST && d->item != DIRECTIVE_BOOL)
        return arena_printf(arena, "%s ...", names[d->item]);
    base = d->choices ? d->choices : names[d->type];
    if (d->flags & DIRECTIVE_PERCENT)
        base = arena_printf(arena, "%s|percent%%", base);
    return d->word ? arena_printf(arena, "%s|%s", base, d->word) : base;
}

const char *directive_range_text(const struct directive *d, struct arena *arena)
{
    const char *low, *high;

    if (d->type != DIRECTIVE_UINT && d->type != DIRECTIVE_SIZE && d->type != DIRECTIVE_DURATION &&
        d->type != DIRECTIVE_RATE)
        return "";
    low = field_number_text(d, d->min, arena);
    high = field_number_text(d, field_limit(d), arena);
    if (d->max || d->width < 4)
        return arena_printf(arena, "%s to %s", low, high);
    return d->min ? arena_printf(arena, "at least %s", low) : "";
}
