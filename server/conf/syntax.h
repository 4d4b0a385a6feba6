/* A configuration as written: directives with their words, blocks with their directives,
 * every word with its place.  Nothing is known here about which directives exist.
 *
 *     name word word ;
 *     name word { directives }
 *     include pattern ;        read where it stands, relative to the including file
 *
 * Syntax errors are complained about and parsing goes on, so that one run shows all. */
#ifndef SKEP_CONF_SYNTAX_H
#define SKEP_CONF_SYNTAX_H

#include "base/arena.h"
#include "base/str.h"
#include "conf/complaint.h"
#include "conf/source.h"

struct syntax_word {
    struct str text; /* a NUL stands behind the last byte */
    struct text_pos pos;
    bool quoted;
};

struct syntax_node {
    struct syntax_node *next;
    struct syntax_word *words; /* the first is the directive's name; at least that one */
    size_t count;
    bool block;
    bool overrides; /* comes from the command line and replaces what the files say */
    struct syntax_node *children;
};

struct syntax {
    struct arena *arena;
    struct complaints *complaints;
    struct syntax_node *top, **last;
    const struct source *source;
    unsigned files;
};

enum {
    SYNTAX_DEPTH_MAX = 16,
    SYNTAX_INCLUDE_MAX = 8,
    SYNTAX_FILES_MAX = 256,
    SYNTAX_FILE_BYTES = 4 << 20
};

/* All lives in the arena; complaints collects what is wrong.  source NULL: the file system. */
void syntax_init(struct syntax *t, struct arena *arena, struct complaints *complaints,
                 const struct source *source);

/* Adds a file's directives behind those already there. */
void syntax_load(struct syntax *t, const char *path);

/* Adds directives from a text; `name` stands for the file in messages. */
void syntax_parse(struct syntax *t, const char *name, struct str text, bool overrides);

#endif
