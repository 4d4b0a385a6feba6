/* Typed tables of directives, and what follows from them.
 *
 * A table says once, for each directive: its name, type, default, range, where its value
 * goes in a struct, and a line of help.  Parsing, validation with place and hint, the
 * printed configuration (conf/show.h) and the reference (conf/reference.h) all come from
 * it.  The core's tables are in main/settings_table.c; a module's are made from its
 * option list and found by name when `load NAME { }` is read (DIRECTIVE_BLOCKS, find).
 *
 * A default is text, read by the same parser.  Values point into the arena given. */
#ifndef SKEP_CONF_DIRECTIVE_H
#define SKEP_CONF_DIRECTIVE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "conf/complaint.h"
#include "conf/syntax.h"

enum directive_type {
    DIRECTIVE_BOOL,     /* bool */
    DIRECTIVE_UINT,     /* unsigned of 1, 2, 4 or 8 bytes, as are the next four */
    DIRECTIVE_SIZE,     /* bytes */
    DIRECTIVE_DURATION, /* milliseconds, or seconds with DIRECTIVE_SECONDS */
    DIRECTIVE_RATE,     /* a second */
    DIRECTIVE_MODE,     /* file mode */
    DIRECTIVE_ENUM,     /* enum: place in `choices` */
    DIRECTIVE_SET,      /* unsigned: bit i for the i-th of `choices`; several words */
    DIRECTIVE_STRING,   /* const char * */
    DIRECTIVE_TEXT,     /* char[] */
    DIRECTIVE_PATH,     /* const char *, resolved against the file it is written in */
    DIRECTIVE_ADDRESS,  /* const char * */
    DIRECTIVE_SECRET,   /* struct directive_secret */
    DIRECTIVE_LIST,     /* struct directive_list; several words, each of type `item` */
    DIRECTIVE_LINES,    /* struct directive_lines; as a list, each line kept apart */
    DIRECTIVE_BLOCK,    /* a struct described by `body`, inside the outer one */
    DIRECTIVE_BLOCKS,   /* struct directive_blocks: `name LABEL { ... }`, any number */
};

enum {
    DIRECTIVE_REQUIRED = 1,
    DIRECTIVE_REPEATABLE = 2, /* a list may be given in several lines */
    DIRECTIVE_FIXED = 4,      /* only a restart changes it */
    DIRECTIVE_SECONDS = 8,    /* a duration in whole seconds */
    DIRECTIVE_HEADED = 16,    /* the block's struct begins with struct directive_block */
    DIRECTIVE_PERCENT = 32,   /* a size may also be a share of `percent_of()` */
    DIRECTIVE_BARE = 64,      /* blocks: `name LABEL;` is an empty one */
};

struct directive_context {
    struct arena *arena;
    struct complaints *complaints;
    const struct source *source; /* for file: secrets */
    struct directive_seen *seen; /* internal, NULL at first */
    void *user;                  /* for `find` */
};

struct directive;
struct directive_table;

/* A further check of one directive's words; complains itself. */
typedef void directive_check_fn(const struct directive *d, const struct syntax_node *node,
                                struct directive_context *ctx);
/* The table for a labelled block; NULL when nothing has that name, which it may complain about
 * itself. */
typedef const struct directive_table *directive_find_fn(const struct directive *d,
                                                        const struct syntax_word *label,
                                                        struct directive_context *ctx);

struct directive {
    const char *name;
    enum directive_type type;
    size_t offset, width;
    const char *fallback; /* the default; NULL: zero, or nothing */
    const char *help;     /* one line, no full stop */
    unsigned flags;
    uint64_t min, max; /* in the unit stored (words, for a list); max 0: what fits */
    const char *word;  /* stands for word_value: "off", "auto" */
    uint64_t word_value;
    const char *choices; /* "a|b|c" */
    enum directive_type item;
    uint64_t (*percent_of)(void);
    directive_check_fn *check;
    const struct directive_table *body;
    /* For DIRECTIVE_BLOCKS, instead of body, which then holds what all such blocks have in common,
     * for hints and the reference. */
    directive_find_fn *find;
    const char *syntax; /* for the reference, where the type says too little */
};

#define DIRECTIVE_FIELD(T, member)                                                                 \
    .offset = offsetof(T, member), .width = sizeof(((T *)NULL)->member)

struct directive_table {
    const struct directive *items;
    size_t count;
    size_t size; /* of the struct */
    /* Checks across directives, after all were read.  pos is the block's. */
    void (*check)(void *base, struct text_pos pos, struct directive_context *ctx);
};

/* First member of a headed block's struct.  label: NULL if it has none.  table NULL: the block was
 * not given. */
struct directive_block {
    const char *label;
    struct text_pos pos;
    const struct directive_table *table;
};

struct directive_blocks {
    void **items; /* structs that begin with struct directive_block */
    size_t count;
};

struct directive_list {
    const char *const *items;
    const struct text_pos *pos;
    size_t count;
};

struct directive_lines {
    const struct directive_list *items;
    size_t count;
};

/* value is a byte string.  source is "env:NAME" or "file:PATH", NULL when written out. */
struct directive_secret {
    struct str value;
    const char *source;
};

/* Fills `base` (zeroed, table->size bytes): defaults first, then what the nodes say.
 * Whether it succeeded is ctx->complaints->errors. */
void directive_apply(const struct directive_table *table, const struct syntax_node *nodes,
                     struct text_pos pos, void *base, struct directive_context *ctx);

/* Only the defaults. */
void directive_defaults(const struct directive_table *table, void *base,
                        struct directive_context *ctx);

const struct directive *directive_find(const struct directive_table *table, struct str name);

/* The directive's value as it would be written after its name; NULL when it has none.
 * Secrets come out as their source, or as "hidden". */
const char *directive_print(const struct directive *d, const void *base, struct arena *arena);

/* "size", "duration", "on|off", ... and the range, for the reference; "" for no range. */
const char *directive_type_text(const struct directive *d, struct arena *arena);
const char *directive_range_text(const struct directive *d, struct arena *arena);

#endif
