/* What is wrong with a configuration, as a list: every complaint has a place, and where
 * we can guess what was meant, a hint.  Printed as `file:line:column: message, hint`.
 *
 * Nothing here ever holds the value of a secret. */
#ifndef SKEP_CONF_COMPLAINT_H
#define SKEP_CONF_COMPLAINT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/arena.h"

/* Counted from 1; columns count characters.  line 0: the file as a whole. */
struct text_pos {
    const char *file;
    unsigned line, column;
};

struct complaint {
    struct complaint *next;
    struct text_pos pos;
    bool warning;
    const char *message;
    const char *hint; /* may be NULL */
};

/* The list lives in the arena. */
struct complaints {
    struct arena *arena;
    struct complaint *first, **last;
    unsigned errors, warnings;
};

/* A list stops growing here; a file that is no configuration would fill screens. */
enum { COMPLAINT_MAX = 30 };

void complaints_init(struct complaints *c, struct arena *arena);
bool complaints_full(const struct complaints *c);

/* hint may be NULL and must live as long as the arena. */
void complaint_error(struct complaints *c, struct text_pos pos, const char *hint, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));
void complaint_warn(struct complaints *c, struct text_pos pos, const char *hint, const char *fmt,
                    ...) __attribute__((format(printf, 4, 5)));

/* One line without newline, in the arena of the list. */
const char *complaint_text(const struct complaints *c, const struct complaint *one);

/* All of them, a line each; says so when the list was full. */
void complaints_print(const struct complaints *c, FILE *to);

#endif
