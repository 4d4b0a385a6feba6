/* A module's options: one table from which the host makes parsing with file:line errors and hints,
 * defaults, `skep -t`, `skep -T` and the reference.
 *
 *     struct conf {
 *         const char *url;
 *         uint32_t timeout;
 *     };
 *
 *     static const struct skep_option options[] = {
 *         SKEP_STRING(struct conf, url, SKEP_REQUIRED, .help = "where to ask"),
 *         SKEP_DURATION(struct conf, timeout, "2s", .help = "how long to wait for it"),
 *         {0},
 *     };
 *
 * The option is called like the member.  A default is text as a user would write it, NULL for
 * none.  Further members (.help, .choices, .min, .max, .name) may follow it.
 *
 * In every `load` block the host itself also takes `decision_timeout` and `on_error`. */
#ifndef SKEP_OPTION_H
#define SKEP_OPTION_H

#include <skep/base.h>

SKEP_BEGIN

/* A place in a configuration file, for skep_report(). */
struct skep_place {
    const char *file;
    unsigned line, column;
};

/* Word lists, and lines of words: `header X-Key abc;` given twice is two lines. */
struct skep_list {
    const char *const *items;
    const struct skep_place *places;
    size_t count;
};

struct skep_lines {
    const struct skep_list *items;
    size_t count;
};

/* A password, key or token.  It is never printed back; source is "env:NAME" or "file:PATH", NULL
 * when it was written out. */
struct skep_secret {
    struct skep_str value;
    const char *source;
};

/* First member of the struct of a block.  label is NULL for a block without one, place.file is
 * NULL if the block was not given. */
struct skep_block {
    const char *label;
    struct skep_place place;
    const void *internal;
};

/* Structs that begin with struct skep_block. */
struct skep_blocks {
    void **items;
    size_t count;
};

enum skep_option_type {
    SKEP_TYPE_NONE,
    SKEP_TYPE_BOOL,     /* bool: on, off */
    SKEP_TYPE_UINT,     /* uint8_t to uint64_t, as the next three */
    SKEP_TYPE_SIZE,     /* bytes: 64k, 1m */
    SKEP_TYPE_DURATION, /* milliseconds: 500ms, 30s, 5m, 1h, 1d */
    SKEP_TYPE_RATE,     /* a second: 100/s */
    SKEP_TYPE_ENUM,     /* int: place among `choices`, "a|b|c" */
    SKEP_TYPE_SET,      /* uint32_t: bit i for the i-th of `choices`; several words */
    SKEP_TYPE_STRING,   /* const char * */
    SKEP_TYPE_PATH,     /* const char *, resolved against the file it is written in */
    SKEP_TYPE_ADDRESS,  /* const char *: 127.0.0.1:9100, [::1]:9100, unix:/path */
    SKEP_TYPE_SECRET,   /* struct skep_secret */
    SKEP_TYPE_LIST,     /* struct skep_list; several words, in several lines if need be */
    SKEP_TYPE_LINES,    /* struct skep_lines; may be given many times */
    SKEP_TYPE_BLOCK,    /* a struct beginning with struct skep_block; `body` says what is in it */
    SKEP_TYPE_BLOCKS,   /* struct skep_blocks: `name LABEL { ... }`, many times; structs of
                           body_size bytes beginning with struct skep_block */
};

struct skep_option {
    const char *name;
    enum skep_option_type type;
    size_t offset, width;
    const char *fallback; /* the default, or SKEP_REQUIRED */
    const char *help;     /* one line, no full stop */
    const char *choices;
    uint64_t min, max; /* of numbers, sizes, times; of words for lists.  max 0: what fits */
    const struct skep_option *body;
    size_t body_size;
    const char *syntax; /* for the reference, where the type says too little: "in|out FILTER" */
    uint64_t reserved[4];
};

#define SKEP_REQUIRED "\001required"

#define SKEP_OPTION(kind, T, member, text, ...)                                                    \
    {                                                                                              \
        .name = #member, .type = kind, .offset = offsetof(T, member),                              \
        .width = sizeof(((T *)NULL)->member), .fallback = text, ##__VA_ARGS__                      \
    }
#define SKEP_BOOL(T, member, ...)     SKEP_OPTION(SKEP_TYPE_BOOL, T, member, __VA_ARGS__)
#define SKEP_UINT(T, member, ...)     SKEP_OPTION(SKEP_TYPE_UINT, T, member, __VA_ARGS__)
#define SKEP_SIZE(T, member, ...)     SKEP_OPTION(SKEP_TYPE_SIZE, T, member, __VA_ARGS__)
#define SKEP_DURATION(T, member, ...) SKEP_OPTION(SKEP_TYPE_DURATION, T, member, __VA_ARGS__)
#define SKEP_RATE(T, member, ...)     SKEP_OPTION(SKEP_TYPE_RATE, T, member, __VA_ARGS__)
#define SKEP_ENUM(T, member, ...)     SKEP_OPTION(SKEP_TYPE_ENUM, T, member, __VA_ARGS__)
#define SKEP_SET(T, member, ...)      SKEP_OPTION(SKEP_TYPE_SET, T, member, __VA_ARGS__)
#define SKEP_STRING(T, member, ...)   SKEP_OPTION(SKEP_TYPE_STRING, T, member, __VA_ARGS__)
#define SKEP_PATH(T, member, ...)     SKEP_OPTION(SKEP_TYPE_PATH, T, member, __VA_ARGS__)
#define SKEP_ADDRESS(T, member, ...)  SKEP_OPTION(SKEP_TYPE_ADDRESS, T, member, __VA_ARGS__)
#define SKEP_SECRET(T, member, ...)   SKEP_OPTION(SKEP_TYPE_SECRET, T, member, __VA_ARGS__)
#define SKEP_LIST(T, member, ...)     SKEP_OPTION(SKEP_TYPE_LIST, T, member, __VA_ARGS__)
#define SKEP_LINES(T, member, ...)    SKEP_OPTION(SKEP_TYPE_LINES, T, member, __VA_ARGS__)
#define SKEP_BLOCK(T, member, table, ...)                                                          \
    SKEP_OPTION(SKEP_TYPE_BLOCK, T, member, NULL, .body = table, ##__VA_ARGS__)
#define SKEP_BLOCKS(T, member, table, body_type, ...)                                              \
    SKEP_OPTION(SKEP_TYPE_BLOCKS, T, member, NULL, .body = table, .body_size = sizeof(body_type),  \
                ##__VA_ARGS__)

/* -- Complaints while a configuration is read: from check() and load() -- */

struct skep_report;

/* An error: the configuration is refused.  place may be NULL (the `load` line then); hint says
 * what to do, NULL for none.  The text is one line without the place. */
SKEP_EXPORT void skep_report(struct skep_report *report, const struct skep_place *place,
                             const char *hint, const char *format, ...) SKEP_PRINTF(4, 5);
/* The same as a warning: told to the operator, and all goes on. */
SKEP_EXPORT void skep_report_warning(struct skep_report *report, const struct skep_place *place,
                                     const char *hint, const char *format, ...) SKEP_PRINTF(4, 5);

SKEP_END
#endif
