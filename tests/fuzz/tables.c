#include "tables.h"

#include "base/mem.h"

#define INNER(m) DIRECTIVE_FIELD(struct fuzz_inner, m)
#define ITEM(m)  DIRECTIVE_FIELD(struct fuzz_item, m)
#define TOP(m)   DIRECTIVE_FIELD(struct fuzz_top, m)
#define TABLE(array, T)                                                                            \
    {                                                                                              \
        .items = array, .count = ARRAY_LEN(array), .size = sizeof(T)                               \
    }

static const struct directive inner_items[] = {
    {.name = "on", .type = DIRECTIVE_BOOL, INNER(on), .fallback = "on", .help = "h"},
    {.name = "file", .type = DIRECTIVE_PATH, INNER(file), .flags = DIRECTIVE_REQUIRED, .help = "h"},
};
static const struct directive_table inner_table = TABLE(inner_items, struct fuzz_inner);

static const struct directive item_items[] = {
    {.name = "port", .type = DIRECTIVE_UINT, ITEM(port), .fallback = "1883", .min = 1, .help = "h"},
    {.name = "bind",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_ADDRESS,
     ITEM(bind),
     .flags = DIRECTIVE_REPEATABLE,
     .help = "h"},
    {.name = "tls",
     .type = DIRECTIVE_BLOCK,
     ITEM(inner),
     .body = &inner_table,
     .flags = DIRECTIVE_HEADED,
     .help = "h"},
};
static const struct directive_table item_table = TABLE(item_items, struct fuzz_item);

static const struct directive_table *find_load(const struct directive *d,
                                               const struct syntax_word *label,
                                               struct directive_context *ctx)
{
    return str_starts(label->text, STR("auth")) ? &item_table : NULL;
}

static const struct directive top_items[] = {
    {.name = "threads",
     .type = DIRECTIVE_UINT,
     TOP(small),
     .word = "auto",
     .fallback = "auto",
     .min = 1,
     .max = 200,
     .help = "h"},
    {.name = "size", .type = DIRECTIVE_SIZE, TOP(size), .fallback = "64k", .min = 16, .help = "h"},
    {.name = "expiry",
     .type = DIRECTIVE_DURATION,
     TOP(seconds),
     .flags = DIRECTIVE_SECONDS,
     .word = "none",
     .word_value = UINT32_MAX,
     .fallback = "none",
     .help = "h"},
    {.name = "timeout", .type = DIRECTIVE_DURATION, TOP(ms), .fallback = "2s", .help = "h"},
    {.name = "rate", .type = DIRECTIVE_RATE, TOP(rate), .fallback = "100/s", .help = "h"},
    {.name = "mode", .type = DIRECTIVE_MODE, TOP(mode), .fallback = "0640", .help = "h"},
    {.name = "color",
     .type = DIRECTIVE_ENUM,
     TOP(color),
     .choices = "red|green",
     .fallback = "green",
     .help = "h"},
    {.name = "versions",
     .type = DIRECTIVE_SET,
     TOP(set),
     .choices = "3.1|3.1.1|5",
     .fallback = "3.1 5",
     .help = "h"},
    {.name = "name", .type = DIRECTIVE_STRING, TOP(name), .fallback = "bob", .help = "h"},
    {.name = "path", .type = DIRECTIVE_PATH, TOP(path), .help = "h"},
    {.name = "text", .type = DIRECTIVE_TEXT, TOP(text), .fallback = "abc", .help = "h"},
    {.name = "list",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     TOP(list),
     .flags = DIRECTIVE_REPEATABLE,
     .help = "h"},
    {.name = "inner",
     .type = DIRECTIVE_BLOCK,
     TOP(inner),
     .body = &inner_table,
     .flags = DIRECTIVE_HEADED,
     .help = "h"},
    {.name = "listener", .type = DIRECTIVE_BLOCKS, TOP(items), .body = &item_table, .help = "h"},
    {.name = "lines",
     .type = DIRECTIVE_LINES,
     .item = DIRECTIVE_STRING,
     TOP(lines),
     .min = 1,
     .max = 3,
     .help = "h"},
    {.name = "load",
     .type = DIRECTIVE_BLOCKS,
     TOP(loads),
     .find = find_load,
     .flags = DIRECTIVE_BARE,
     .help = "h"},
};
const struct directive_table fuzz_table = TABLE(top_items, struct fuzz_top);
