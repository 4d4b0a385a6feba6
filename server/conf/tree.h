/* A configuration as written: directives with their words, blocks with their directives,
 * every word with its place.  Nothing is known here about which directives exist.
 *
 *     name word word ;
 *     name word { directives }
 *     include pattern ;        read where it stands, relative to the including file
 *
 * Syntax errors are complained about and parsing goes on, so that one run shows all. */
#ifndef SKEP_CONF_TREE_H
#define SKEP_CONF_TREE_H

#include "base/arena.h"
#include "base/str.h"
#include "conf/complaint.h"
#include "conf/source.h"

struct tree_word {
    struct str text; /* a NUL stands behind the last byte */
    struct text_pos pos;
    bool quoted;
};

struct tree_node {
    struct tree_node *next;
    struct tree_word *words; /* the first is the directive's name; at least that one */
    size_t count;
    bool block;
    bool overrides; /* comes from the command line and replaces what the files say */
    struct tree_node *children;
};

struct tree {
    struct arena *arena;
    struct complaints *complaints;
    struct tree_node *top, **last;
    const struct source *source;
    unsigned files;
};

enum { TREE_DEPTH_MAX = 16, TREE_INCLUDE_MAX = 8, TREE_FILES_MAX = 256, TREE_FILE_BYTES = 4 << 20 };

/* All lives in the arena; complaints collects what is wrong.  source NULL: the file system. */
void tree_init(struct tree *t, struct arena *arena, struct complaints *complaints,
               const struct source *source);

/* Adds a file's directives behind those already there. */
void tree_load(struct tree *t, const char *path);

/* Adds directives from a text; `name` stands for the file in messages. */
void tree_parse(struct tree *t, const char *name, struct str text, bool overrides);

#endif
