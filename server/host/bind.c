#include "host/bind.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "conf/syntax.h"

/* Values are written by conf and read by modules: both sides' structs are the same in memory. */
#define SAME(A, a, B, b)                                                                           \
    _Static_assert(offsetof(A, a) == offsetof(B, b) && sizeof(((A *)0)->a) == sizeof(((B *)0)->b), \
                   #A "." #a)
SAME(struct skep_place, file, struct text_pos, file);
SAME(struct skep_place, line, struct text_pos, line);
SAME(struct skep_place, column, struct text_pos, column);
SAME(struct skep_list, items, struct directive_list, items);
SAME(struct skep_list, places, struct directive_list, pos);
SAME(struct skep_list, count, struct directive_list, count);
SAME(struct skep_lines, items, struct directive_lines, items);
SAME(struct skep_lines, count, struct directive_lines, count);
SAME(struct skep_secret, value, struct directive_secret, value);
SAME(struct skep_secret, source, struct directive_secret, source);
SAME(struct skep_str, ptr, struct str, ptr);
SAME(struct skep_str, len, struct str, len);
SAME(struct skep_block, label, struct directive_block, label);
SAME(struct skep_block, place, struct directive_block, pos);
SAME(struct skep_block, internal, struct directive_block, table);
SAME(struct skep_blocks, items, struct directive_blocks, items);
SAME(struct skep_blocks, count, struct directive_blocks, count);
_Static_assert(sizeof(struct skep_place) == sizeof(struct text_pos), "places");
_Static_assert(sizeof(struct skep_list) == sizeof(struct directive_list), "lists");

enum { OPTIONS_MAX = 1000, DEPTH_MAX = 8 };

#define HOST(member) DIRECTIVE_FIELD(struct load_block, member)

static const struct directive host_items[] = {
    {.name = "decision_timeout",
     .type = DIRECTIVE_DURATION,
     HOST(decision_timeout_ms),
     .fallback = "10s",
     .min = 10,
     .max = 3600000,
     .help = "how long a decision of this module may take; then it counts as an error"},
    {.name = "on_error",
     .type = DIRECTIVE_ENUM,
     HOST(on_error),
     .choices = "deny|next|allow",
     .fallback = "deny",
     .help = "what an error of this module counts as: a refusal, no opinion, or a yes"},
};

const struct directive_table bind_host_table = {
    .items = host_items, .count = ARRAY_LEN(host_items), .size = sizeof(struct load_block)};

/* The table of one module, and whose it is. */
struct bound {
    struct directive_table table;
    struct object *object;
};

struct binding {
    struct arena *arena;
    char *why;
    size_t why_size;
};

static int refuse(struct binding *b, const char *option, const char *what)
{
    snprintf(b->why, b->why_size, "its option %s %s", option, what);
    return ERR_INVALID;
}

static bool is_name(const char *name)
{
    return name && *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

/* -- One option -- */

struct kind {
    enum directive_type type;
    size_t width; /* of the member; 0: a whole number of 1, 2, 4 or 8 bytes */
};

static const struct kind kinds[] = {
    [SKEP_TYPE_BOOL] = {DIRECTIVE_BOOL, sizeof(bool)},
    [SKEP_TYPE_UINT] = {DIRECTIVE_UINT, 0},
    [SKEP_TYPE_SIZE] = {DIRECTIVE_SIZE, 0},
    [SKEP_TYPE_DURATION] = {DIRECTIVE_DURATION, 0},
    [SKEP_TYPE_RATE] = {DIRECTIVE_RATE, 0},
    [SKEP_TYPE_ENUM] = {DIRECTIVE_ENUM, sizeof(int)},
    [SKEP_TYPE_SET] = {DIRECTIVE_SET, sizeof(uint32_t)},
    [SKEP_TYPE_STRING] = {DIRECTIVE_STRING, sizeof(char *)},
    [SKEP_TYPE_PATH] = {DIRECTIVE_PATH, sizeof(char *)},
    [SKEP_TYPE_ADDRESS] = {DIRECTIVE_ADDRESS, sizeof(char *)},
    [SKEP_TYPE_SECRET] = {DIRECTIVE_SECRET, sizeof(struct skep_secret)},
    [SKEP_TYPE_LIST] = {DIRECTIVE_LIST, sizeof(struct skep_list)},
    [SKEP_TYPE_LINES] = {DIRECTIVE_LINES, sizeof(struct skep_lines)},
    [SKEP_TYPE_BLOCK] = {DIRECTIVE_BLOCK, SIZE_MAX},
    [SKEP_TYPE_BLOCKS] = {DIRECTIVE_BLOCKS, sizeof(struct skep_blocks)},
};

static bool width_fits(const struct kind *k, const struct skep_option *o)
{
    size_t w = o->width;

    if (k->width == SIZE_MAX)
        return w >= sizeof(struct skep_block);
    return k->width ? w == k->width : w == 1 || w == 2 || w == 4 || w == 8;
}

static int check_option(struct binding *b, const struct skep_option *o, size_t conf_size)
{
    const struct kind *k;

    if (!is_name(o->name))
        return refuse(b, o->name ? o->name : "(none)", "needs a name of a-z, 0-9 and _");
    if (o->type <= SKEP_TYPE_NONE || (size_t)o->type >= ARRAY_LEN(kinds))
        return refuse(b, o->name,
                      "has a type this Skep does not know: it was made for a newer SDK");
    k = &kinds[o->type];
    if (!width_fits(k, o))
        return refuse(b, o->name, "has a member of another C type than its option type needs");
    if (o->offset > conf_size || o->width > conf_size - o->offset)
        return refuse(b, o->name, "lies outside of conf_size");
    if ((o->type == SKEP_TYPE_ENUM || o->type == SKEP_TYPE_SET) && (!o->choices || !*o->choices))
        return refuse(b, o->name, "needs .choices");
    if ((o->type == SKEP_TYPE_BLOCK || o->type == SKEP_TYPE_BLOCKS) && !o->body)
        return refuse(b, o->name, "needs a table of what is in it");
    if (o->type == SKEP_TYPE_BLOCKS && o->body_size < sizeof(struct skep_block))
        return refuse(b, o->name, "needs a struct that begins with struct skep_block");
    return 0;
}

/* A default must be legal: it is read each time the block is. */
static int check_default(struct binding *b, const struct directive *d, size_t conf_size)
{
    struct arena scratch = {0};
    struct complaints none;
    struct syntax tree;
    struct directive only = *d;
    struct directive_table table = {.items = &only, .count = 1};
    struct directive_context ctx = {
        .arena = &scratch, .complaints = &none, .source = &source_files};
    int err = 0;

    if (!d->fallback)
        return 0;
    only.fallback = NULL;
    complaints_init(&none, &scratch);
    syntax_init(&tree, &scratch, &none, NULL);
    syntax_parse(&tree, "", str_of(arena_printf(&scratch, "%s %s;", d->name, d->fallback)), false);
    if (none.errors == 0)
        directive_apply(&table, tree.top, (struct text_pos){0}, arena_alloc(&scratch, conf_size),
                        &ctx);
    if (none.errors || !tree.top || tree.top->next)
        err = refuse(b, d->name, "has a default that it would not take");
    arena_fini(&scratch);
    return err;
}

static const struct directive_table *bind_table(struct binding *b,
                                                const struct skep_option *options, size_t size,
                                                size_t at, bool host, int depth);

static int bind_one(struct binding *b, const struct skep_option *o, struct directive *d, size_t at,
                    int depth)
{
    bool required = o->fallback && strcmp(o->fallback, SKEP_REQUIRED) == 0;

    *d = (struct directive){
        .name = o->name,
        .type = kinds[o->type].type,
        .offset = at + o->offset,
        .width = o->width,
        .fallback = required ? NULL : o->fallback,
        .help = o->help ? o->help : "",
        .flags = required ? DIRECTIVE_REQUIRED : 0,
        .min = o->min,
        .max = o->max,
        .choices = o->choices,
        .item = DIRECTIVE_STRING,
        .syntax = o->syntax,
    };
    if (o->type == SKEP_TYPE_LIST)
        d->flags |= DIRECTIVE_REPEATABLE;
    if (o->type == SKEP_TYPE_BLOCK)
        d->flags |= DIRECTIVE_HEADED;
    if (!o->body || (o->type != SKEP_TYPE_BLOCK && o->type != SKEP_TYPE_BLOCKS))
        return 0;
    d->fallback = NULL;
    d->body = bind_table(b, o->body, o->type == SKEP_TYPE_BLOCK ? o->width : o->body_size, 0, false,
                         depth + 1);
    return d->body ? 0 : ERR_INVALID;
}

static bool is_reserved(const char *name, bool host)
{
    return host && directive_find(&bind_host_table, str_of(name));
}

/* NULL: complained.  at: where the struct of `size` bytes begins in that of the table. */
static const struct directive_table *bind_table(struct binding *b,
                                                const struct skep_option *options, size_t size,
                                                size_t at, bool host, int depth)
{
    struct bound *bound = ARENA_NEW(b->arena, struct bound);
    size_t n = host ? bind_host_table.count : 0, count = n;
    struct directive *items;

    for (const struct skep_option *o = options; o && count <= OPTIONS_MAX && o->name; o++)
        count++;
    if (count > OPTIONS_MAX || depth > DEPTH_MAX) {
        snprintf(b->why, b->why_size, "its options have no end: does the list end with {0}?");
        return NULL;
    }
    items = ARENA_ARRAY(b->arena, struct directive, count);
    if (n)
        memcpy(items, bind_host_table.items, n * sizeof *items);
    bound->table = (struct directive_table){.items = items, .count = count, .size = at + size};
    for (const struct skep_option *o = options; o && o->name; o++, n++) {
        struct directive_table before = {.items = items, .count = n};
        if (check_option(b, o, size) < 0 || bind_one(b, o, &items[n], at, depth) < 0 ||
            check_default(b, &items[n], at + size) < 0)
            return NULL;
        if (is_reserved(o->name, host))
            return refuse(b, o->name, "has a name that Skep itself uses in every load block"), NULL;
        if (directive_find(&before, str_of(o->name)))
            return refuse(b, o->name, "is there twice"), NULL;
    }
    return &bound->table;
}

int bind_object(struct object *o, char *why, size_t why_size)
{
    struct binding b = {&o->arena, why, why_size};
    const struct directive_table *table;

    if (!is_name(o->d.name)) {
        snprintf(why, why_size, "its descriptor has no name of a-z, 0-9 and _");
        return ERR_INVALID;
    }
    table = bind_table(&b, o->d.options, o->d.conf_size, BIND_CONF, true, 0);
    if (!table)
        return ERR_INVALID;
    CONTAINER_OF(table, struct bound, table)->object = o;
    o->table = table;
    return 0;
}

struct object *bind_object_of(const struct load_block *b)
{
    return CONTAINER_OF(b->block.table, struct bound, table)->object;
}
