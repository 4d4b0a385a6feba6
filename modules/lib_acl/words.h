/* Words of our own ACL syntax, a statement at a time.
 *
 * A word is a run of characters without white space ; { and } (but %{NAME} is part of one), or
 * anything in "double" or 'single' quotes.  # begins a comment where a statement could begin;
 * within one it is a topic filter. */
#ifndef LIB_ACL_WORDS_H
#define LIB_ACL_WORDS_H

#include "lib_file/fault.h"

enum { WORDS_MAX = 4096 };

struct word {
    struct skep_str text;
    unsigned line, column;
    bool quoted;
};

enum statement_end { END_SEMICOLON, END_OPEN /* { */, END_CLOSE /* } */, END_FILE, END_FAULT };

struct words {
    struct skep_str rest;
    unsigned line;
    const char *line_start;
    struct faults *faults;

    struct word list[WORDS_MAX];
    unsigned count;
    struct word end; /* where the statement ends */
};

void words_init(struct words *w, struct skep_str text, struct faults *faults);

/* Reads up to ; { } or the end of the file.  END_FAULT: a complaint was made, and what follows is
 * read from behind the next ;. */
enum statement_end words_next(struct words *w);

#endif
