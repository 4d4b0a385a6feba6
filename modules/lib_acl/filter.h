/* Topic filters of rules, with variables: %c (client id), %u (user name), %{NAME} (attribute).
 *
 * A value that is empty or holds + # / or NUL is unusable, and so is one that begins with $ where
 * the filter begins with it: it must not widen what a rule says.  An allow rule with an unusable
 * value matches nothing.  A deny rule then denies everything from that level on, for else the
 * client would choose a name to get around it. */
#ifndef LIB_ACL_FILTER_H
#define LIB_ACL_FILTER_H

#include <skep/base.h>

#include "lib_file/region.h"

/* Who asks. */
struct acl_who {
    struct skep_str user, client, listener, host;
    bool has_user;
    struct skep_str (*attribute)(const void *arg, const char *name); /* empty: none */
    const void *arg;
};

enum piece_kind { PIECE_TEXT, PIECE_CLIENT, PIECE_USER, PIECE_ATTRIBUTE };

struct piece {
    enum piece_kind kind;
    struct skep_str text; /* or the attribute's name, terminated */
};

enum level_kind { LEVEL_TEXT, LEVEL_PLUS, LEVEL_HASH, LEVEL_VARIABLE };

struct level {
    enum level_kind kind;
    struct skep_str text; /* as written */
    struct piece *pieces; /* of LEVEL_VARIABLE */
    unsigned piece_count;
};

struct filter {
    struct level *levels;
    unsigned count;
    bool has_variables;
};

enum { FILTER_LEVELS_MAX = 128 };

/* Which variables a syntax knows. */
enum filter_variables { VARIABLES_NONE, VARIABLES_MOSQUITTO /* %c %u */, VARIABLES_ALL };

/* Compiles; NULL, or what is wrong, and *at counts the bytes before that.  Texts are copied. */
const char *filter_compile(struct filter *out, struct region *region, struct skep_str text,
                           enum filter_variables variables, size_t *at);

/* What is compared with a rule's filter. */
enum filter_how {
    FILTER_MATCHES,   /* a topic name: does the filter match it? */
    FILTER_COVERS,    /* a filter: does the rule's match all that it matches? */
    FILTER_INTERSECTS /* a filter: is there a topic that both match? */
};

/* One rule's filter against a topic or filter; deny says what unusable values do.  The index
 * (trie.h) answers the same for many rules at once. */
bool filter_test(const struct filter *f, const struct acl_who *who, enum filter_how how,
                 struct skep_str topic, bool deny);

/* -- For the index -- */

enum level_match { LEVEL_SAME, LEVEL_OTHER, LEVEL_UNUSABLE };

/* A level with variables against a level's text; first: it begins the filter. */
enum level_match level_test(const struct level *l, const struct acl_who *who, bool first,
                            struct skep_str text);
/* Whether its value can be used at all, and, as a filter's first level, is matched by + or #. */
enum level_match level_usable(const struct level *l, const struct acl_who *who, bool first);
/* Of all levels from `from` on. */
bool filter_usable(const struct filter *f, const struct acl_who *who, unsigned from);

/* Takes the first level off; rest->ptr is NULL behind the last. */
struct skep_str level_next(struct skep_str *rest);

static inline bool level_is(struct skep_str level, char c)
{
    return level.len == 1 && level.ptr[0] == c;
}

static inline bool level_is_hidden(struct skep_str level)
{
    return level.len && level.ptr[0] == '$';
}

#endif
