/* Which handlers want a topic.
 *
 * A filter may name levels: "sensors/{room}/temp" is the filter "sensors/+/temp" with its second
 * level called room; "{rest...}" at the end is "#".  A tree of levels finds the handlers; a small
 * cache of topics in front of it remembers, above all, who wants nothing.
 *
 * One thread, once the handlers are in. */
#ifndef SKEP_LUA_MATCH_H
#define SKEP_LUA_MATCH_H

#include <skep/base.h>

enum { MATCH_NAMES = 16, MATCH_LEVELS = 200 };

/* A filter as written, and what it means. */
struct match_filter {
    char *filter; /* with + and # */
    unsigned name_count;
    char *names[MATCH_NAMES]; /* by position */
    uint8_t levels[MATCH_NAMES];
    bool rest; /* the last name stands for all levels from there on */
};

/* 0, or SKEP_E_INVALID with a line in `why`. */
int match_filter_parse(struct match_filter *f, struct skep_str text, char *why, size_t why_size);
void match_filter_fini(struct match_filter *f);

/* What the topic has at the i-th name. */
struct skep_str match_capture(const struct match_filter *f, unsigned i, struct skep_str topic);

struct match;

struct match *match_new(void);
void match_free(struct match **m);

/* Handlers are numbers; they are found in rising order. */
void match_add(struct match *m, struct skep_str filter, uint32_t handler);

/* The handlers of a topic in *out (valid until the next call), and how many. */
unsigned match_find(struct match *m, struct skep_str topic, const uint32_t **out);

#endif
