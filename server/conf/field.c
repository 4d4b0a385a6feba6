#include "conf/field.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "conf/value.h"

enum { SECRET_MAX_BYTES = 65536 };

static void *field_at(const struct directive *d, void *base)
{
    return (char *)base + d->offset;
}

static void store_number(const struct directive *d, void *base, uint64_t n)
{
    /* Little and big endian alike: through a variable of the right width. */
    uint8_t n8 = (uint8_t)n;
    uint16_t n16 = (uint16_t)n;
    uint32_t n32 = (uint32_t)n;
    const void *from = d->width == 1   ? (void *)&n8
                       : d->width == 2 ? (void *)&n16
                       : d->width == 4 ? (void *)&n32
                                       : (void *)&n;
    memcpy(field_at(d, base), from, d->width);
}

uint64_t field_number(const struct directive *d, const void *base)
{
    const char *at = (const char *)base + d->offset;
    uint8_t n8;
    uint16_t n16;
    uint32_t n32;
    uint64_t n64;

    switch (d->width) {
    case 1:
        return memcpy(&n8, at, 1), n8;
    case 2:
        return memcpy(&n16, at, 2), n16;
    case 4:
        return memcpy(&n32, at, 4), n32;
    default:
        return memcpy(&n64, at, 8), n64;
    }
}

uint64_t field_limit(const struct directive *d)
{
    if (d->max)
        return d->max;
    return d->width >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * d->width)) - 1;
}

const char *field_number_text(const struct directive *d, uint64_t n, struct arena *arena)
{
    switch (d->type) {
    case DIRECTIVE_SIZE:
        return value_print_size(arena, n);
    case DIRECTIVE_DURATION:
        return value_print_duration(arena, d->flags & DIRECTIVE_SECONDS ? n * 1000 : n);
    case DIRECTIVE_RATE:
        return arena_printf(arena, "%s/s", value_print_size(arena, n));
    case DIRECTIVE_MODE:
        return arena_printf(arena, "0%03o", (unsigned)n);
    default:
        return arena_printf(arena, "%" PRIu64, n);
    }
}

static int parse_percent(const struct directive *d, struct str s, uint64_t *n,
                         struct value_error *e)
{
    struct value_error unused;

    if (value_uint((struct str){s.ptr, s.len - 1}, n, &unused) < 0 || *n < 1 || *n > 100) {
        snprintf(e->message, sizeof e->message, "a share goes from 1%% to 100%%");
        e->hint[0] = '\0';
        return -1;
    }
    *n = d->percent_of() / 100 * *n;
    return 0;
}

static int parse_number(const struct directive *d, struct str s, uint64_t *n, struct value_error *e)
{
    switch (d->type) {
    case DIRECTIVE_SIZE:
        if ((d->flags & DIRECTIVE_PERCENT) && s.len && s.ptr[s.len - 1] == '%')
            return parse_percent(d, s, n, e);
        return value_size(s, n, e);
    case DIRECTIVE_DURATION:
        return value_duration(s, n, e);
    case DIRECTIVE_RATE:
        return value_rate(s, n, e);
    case DIRECTIVE_MODE:
        return value_mode(s, n, e);
    case DIRECTIVE_ENUM:
        return value_choice(s, d->choices, n, e);
    default:
        return value_uint(s, n, e);
    }
}

static void complain_value(const struct directive *d, struct text_pos pos,
                           const struct value_error *e, struct directive_context *ctx)
{
    const char *hint = e->hint[0] ? arena_cstr(ctx->arena, str_of(e->hint)) : NULL;

    if (!hint && d->word)
        hint = arena_printf(ctx->arena, "'%s' may be written instead of a value", d->word);
    complaint_error(ctx->complaints, pos, hint, "%s: %s", d->name, e->message);
}

static void set_number(const struct directive *d, const struct syntax_word *w, void *base,
                       struct directive_context *ctx)
{
    struct value_error e;
    uint64_t n;

    if (d->word && str_eq(w->text, str_of(d->word))) {
        store_number(d, base, d->word_value);
        return;
    }
    if (parse_number(d, w->text, &n, &e) < 0) {
        complain_value(d, w->pos, &e, ctx);
        return;
    }
    if (d->type == DIRECTIVE_DURATION && (d->flags & DIRECTIVE_SECONDS)) {
        if (n % 1000) {
            complaint_error(ctx->complaints, w->pos, NULL, "%s takes whole seconds", d->name);
            return;
        }
        n /= 1000;
    }
    if ((n < d->min || n > field_limit(d)) && !(d->word && n == d->word_value)) {
        complaint_error(ctx->complaints, w->pos, NULL, "%s: %s is out of range (%s)", d->name,
                        value_quote(ctx->arena, w->text), directive_range_text(d, ctx->arena));
        return;
    }
    store_number(d, base, n);
}

static void set_bool(const struct directive *d, const struct syntax_word *w, void *base,
                     struct directive_context *ctx)
{
    struct value_error e;
    bool on;

    if (value_bool(w->text, &on, &e) < 0)
        complain_value(d, w->pos, &e, ctx);
    else
        memcpy(field_at(d, base), &on, sizeof on);
}

static void set_choices(const struct directive *d, const struct syntax_node *node, void *base,
                        struct directive_context *ctx)
{
    struct value_error e;
    uint64_t bits = 0, index;

    for (size_t i = 1; i < node->count; i++) {
        if (value_choice(node->words[i].text, d->choices, &index, &e) < 0)
            complain_value(d, node->words[i].pos, &e, ctx);
        else
            bits |= UINT64_C(1) << index;
    }
    store_number(d, base, bits);
}

/* One word as text of the wanted kind; NULL when it was complained about. */
static const char *word_text(const struct directive *d, enum directive_type type,
                             const struct syntax_word *w, struct directive_context *ctx)
{
    struct value_address address;
    struct value_error e;

    if (type == DIRECTIVE_ADDRESS && value_address(w->text, &address, &e) < 0) {
        complain_value(d, w->pos, &e, ctx);
        return NULL;
    }
    if (type == DIRECTIVE_ADDRESS && address.is_unix)
        return arena_printf(ctx->arena, "unix:%s",
                            source_relative(ctx->arena, w->pos.file, address.host));
    if (type == DIRECTIVE_PATH) {
        if (w->text.len == 0) {
            complaint_error(ctx->complaints, w->pos, NULL, "%s: an empty path", d->name);
            return NULL;
        }
        return source_relative(ctx->arena, w->pos.file, w->text);
    }
    return w->text.ptr;
}

static void set_string(const struct directive *d, const struct syntax_word *w, void *base,
                       struct directive_context *ctx)
{
    const char *text;

    if (d->word && !w->quoted && str_eq(w->text, str_of(d->word)))
        text = NULL;
    else if ((text = word_text(d, d->type, w, ctx)) == NULL)
        return;
    memcpy(field_at(d, base), &text, sizeof text);
}

static void set_text(const struct directive *d, const struct syntax_word *w, void *base,
                     struct directive_context *ctx)
{
    size_t most = d->max && d->max < d->width ? d->max : d->width - 1;

    if (w->text.len > most || w->text.len < d->min) {
        complaint_error(ctx->complaints, w->pos, NULL, "%s has %zu bytes (%" PRIu64 " to %zu)",
                        d->name, w->text.len, d->min, most);
        return;
    }
    memset(field_at(d, base), 0, d->width);
    memcpy(field_at(d, base), w->text.ptr, w->text.len);
}

static void set_secret(const struct directive *d, const struct syntax_word *w, void *base,
                       struct directive_context *ctx)
{
    struct directive_secret *secret = field_at(d, base);
    const char *why = "", *path, *value;
    struct str text;

    *secret = (struct directive_secret){.value = w->text};
    if (!w->quoted && str_starts(w->text, STR("env:"))) {
        value = getenv(w->text.ptr + 4);
        if (!value)
            complaint_error(ctx->complaints, w->pos, NULL, "%s: the environment has no variable %s",
                            d->name, w->text.ptr + 4);
        secret->source = w->text.ptr;
        secret->value = value ? arena_str(ctx->arena, str_of(value)) : STR_NONE;
    } else if (!w->quoted && str_starts(w->text, STR("file:"))) {
        path = source_relative(ctx->arena, w->pos.file, str_of(w->text.ptr + 5));
        ctx->source->read(ctx->source->arg, path, SECRET_MAX_BYTES, ctx->arena, &text, &why);
        if (!text.ptr)
            complaint_error(ctx->complaints, w->pos, NULL, "%s: cannot read %s: %s", d->name, path,
                            why);
        else if (text.len && text.ptr[text.len - 1] == '\n')
            text.len--; /* editors put it there; it is not part of the secret */
        secret->source = arena_printf(ctx->arena, "file:%s", path);
        secret->value = text;
    }
}

/* The words of a line behind those that are there. */
static struct directive_list word_list(const struct directive *d, const struct syntax_node *node,
                                       struct directive_list old, struct directive_context *ctx)
{
    const char **items = ARENA_ARRAY(ctx->arena, const char *, old.count + node->count);
    struct text_pos *pos = ARENA_ARRAY(ctx->arena, struct text_pos, old.count + node->count);
    size_t count = old.count;

    if (count) {
        memcpy(items, old.items, count * sizeof *items);
        memcpy(pos, old.pos, count * sizeof *pos);
    }
    for (size_t i = 1; i < node->count; i++) {
        items[count] = word_text(d, d->item, &node->words[i], ctx);
        pos[count] = node->words[i].pos;
        count += items[count] != NULL;
    }
    return (struct directive_list){items, pos, count};
}

static void add_items(const struct directive *d, const struct syntax_node *node, void *base,
                      bool fresh, struct directive_context *ctx)
{
    struct directive_list *list = field_at(d, base);

    *list = word_list(d, node, fresh ? (struct directive_list){0} : *list, ctx);
}

static void add_line(const struct directive *d, const struct syntax_node *node, void *base,
                     bool fresh, struct directive_context *ctx)
{
    struct directive_lines *lines = field_at(d, base);
    size_t old = fresh ? 0 : lines->count;
    struct directive_list *items = ARENA_ARRAY(ctx->arena, struct directive_list, old + 1);

    if (old)
        memcpy(items, lines->items, old * sizeof *items);
    items[old] = word_list(d, node, (struct directive_list){0}, ctx);
    *lines = (struct directive_lines){items, old + 1};
}

/* How many values may stand behind the name. */
static void value_count(const struct directive *d, size_t *least, size_t *most)
{
    *least = *most = 1;
    if (d->type == DIRECTIVE_LIST || d->type == DIRECTIVE_LINES) {
        *least = d->min ? d->min : 1;
        *most = d->max ? d->max : SIZE_MAX;
    } else if (d->type == DIRECTIVE_SET) {
        *most = 64;
    }
}

/* Too many values are most often a forgotten ';': the next directive then stands among
 * the words, on a later line. */
static bool check_count(const struct directive *d, const struct syntax_node *node,
                        struct directive_context *ctx)
{
    size_t least, most, got = node->count - 1;
    const char *hint = NULL;

    value_count(d, &least, &most);
    if (got >= least && got <= most)
        return true;
    if (got < least) {
        complaint_error(
            ctx->complaints, node->words[0].pos,
            arena_printf(ctx->arena, "for example: %s %s;", d->name,
                         d->fallback ? d->fallback : directive_type_text(d, ctx->arena)),
            "%s needs a value", d->name);
        return false;
    }
    for (size_t i = 1; i < node->count && !hint; i++)
        if (node->words[i].pos.line > node->words[i - 1].pos.line)
            hint = arena_printf(ctx->arena, "is a ';' missing at the end of line %u?",
                                node->words[i - 1].pos.line);
    complaint_error(ctx->complaints, node->words[most + 1].pos, hint,
                    most == 1 ? "%s takes one value" : "%s has too many values", d->name);
    return false;
}

void field_set(const struct directive *d, const struct syntax_node *node, void *base, bool fresh,
               struct directive_context *ctx)
{
    unsigned errors = ctx->complaints->errors;

    if (!check_count(d, node, ctx))
        return;
    switch (d->type) {
    case DIRECTIVE_BOOL:
        set_bool(d, &node->words[1], base, ctx);
        break;
    case DIRECTIVE_SET:
        set_choices(d, node, base, ctx);
        break;
    case DIRECTIVE_STRING:
    case DIRECTIVE_PATH:
    case DIRECTIVE_ADDRESS:
        set_string(d, &node->words[1], base, ctx);
        break;
    case DIRECTIVE_TEXT:
        set_text(d, &node->words[1], base, ctx);
        break;
    case DIRECTIVE_SECRET:
        set_secret(d, &node->words[1], base, ctx);
        break;
    case DIRECTIVE_LIST:
        add_items(d, node, base, fresh, ctx);
        break;
    case DIRECTIVE_LINES:
        add_line(d, node, base, fresh, ctx);
        break;
    default:
        set_number(d, &node->words[1], base, ctx);
    }
    if (d->check && ctx->complaints->errors == errors)
        d->check(d, node, ctx);
}
