/* Command lines from tables: one row an option gives its names, its type, where its value goes
 * and its line of help, so that parsing, checking and --help cannot disagree.
 *
 * A command has one or more sets (a table and the struct it fills); the tables of the options
 * that commands share are written once.  Values are views of argv and live as long as it does. */
#ifndef SKEP_CTL_ARG_H
#define SKEP_CTL_ARG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values that may be given several times.  Free with arg_list_fini. */
struct arg_list {
    const char **items;
    size_t count;
};

enum arg_kind {
    ARG_END,
    ARG_SECTION, /* no option: a heading in --help */
    ARG_ON,      /* bool, set true */
    ARG_OFF,     /* bool, set false */
    ARG_TEXT,    /* const char * */
    ARG_NUMBER,  /* uint32_t between min and max */
    ARG_SECONDS, /* uint32_t milliseconds, written in seconds with a fraction or as 500ms 2s 5m 1h
                  */
    ARG_LIST,    /* struct arg_list */
    ARG_CALL,    /* call() gets the words */
};

struct arg_option {
    enum arg_kind kind;
    char key;          /* -k; 0: none */
    const char *name;  /* --name; the heading of an ARG_SECTION */
    const char *value; /* placeholder of the value in --help; several words for several values */
    const char *help;
    size_t offset; /* of the field in the struct to fill */
    uint32_t min, max;
    /* ARG_CALL: words[0..count) as value says.  0, or -1 after arg_error(). */
    int (*call)(void *target, const char *const *words);
};

/* mosquitto's way to name a property, "-D publish content-type text/plain", said as the long
 * option that means the same.  A user property takes one word more and becomes "NAME=VALUE". */
struct arg_property {
    const char *packet, *name, *option;
};

struct arg_set {
    const struct arg_option *options; /* up to ARG_END */
    void *target;
};

struct arg_command {
    const char *name;    /* "skepctl pub" */
    const char *usage;   /* "[OPTIONS] -t TOPIC -m MESSAGE" */
    const char *summary; /* a paragraph below the usage */
    const char *after;   /* what --help ends with: examples; may be NULL */
    struct arg_set sets[6];
    const struct arg_property *properties; /* for -D, up to a row of NULLs; or NULL */
    const char **words; /* out: arguments that are no options; points into argv */
    int word_count;
    struct arg_list owned; /* values that arg_parse put together */
};

#define ARG_FIELD(kind, key, name, type, field, value, help)                                       \
    {                                                                                              \
        (kind), (key), (name), (value), (help), offsetof(type, field), 0, 0, NULL                  \
    }
#define ARG_RANGE(kind, key, name, type, field, value, lo, hi, help)                               \
    {                                                                                              \
        (kind), (key), (name), (value), (help), offsetof(type, field), (lo), (hi), NULL            \
    }
#define ARG_FUNCTION(key, name, fn, value, help)                                                   \
    {                                                                                              \
        ARG_CALL, (key), (name), (value), (help), 0, 0, 0, (fn)                                    \
    }
#define ARG_HEADING(text)                                                                          \
    {                                                                                              \
        ARG_SECTION, 0, (text), NULL, NULL, 0, 0, 0, NULL                                          \
    }
#define ARG_LAST                                                                                   \
    {                                                                                              \
        ARG_END, 0, NULL, NULL, NULL, 0, 0, 0, NULL                                                \
    }

/* Fills the targets from argv[1..argc) and collects the other words (in argv itself, which is
 * permuted).  Returns 0; 1 after --help was printed; -1 after a message on stderr that says what
 * is wrong and what to do. */
int arg_parse(struct arg_command *command, int argc, char **argv);

/* Frees what arg_parse made; the targets' values may point into it. */
void arg_command_fini(struct arg_command *command);

/* One line on stderr: "skepctl pub: ...", then where the manual is.  Returns -1. */
int arg_error(const struct arg_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A number with nothing around it, between lo and hi.  0 or -1. */
int arg_number(const char *text, uint32_t lo, uint32_t hi, uint32_t *out);

/* "1.5", "500ms", "2s", "5m", "1h" to milliseconds; at most 49 days.  0 or -1. */
int arg_duration_ms(const char *text, uint32_t *out);

void arg_list_add(struct arg_list *list, const char *item);
void arg_list_fini(struct arg_list *list);

/* Letters to change, add, drop or swap to make one word the other; for "did you mean". */
unsigned arg_distance(const char *a, const char *b);

#endif
