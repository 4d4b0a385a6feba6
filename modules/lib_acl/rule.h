/* Rules of an ACL, whatever syntax they were written in.  Immutable once parsed. */
#ifndef LIB_ACL_RULE_H
#define LIB_ACL_RULE_H

#include "filter.h"
#include "lib_file/map.h"
#include "lib_file/net.h"

enum action {
    MAY_PUBLISH = 1,   /* any message */
    MAY_RETAIN = 2,    /* messages with the retain flag */
    MAY_SUBSCRIBE = 4, /* subscribe, and receive what matches */
    MAY_RECEIVE = 8,   /* be sent what matches */
};

enum { QOS_ANY = 2 };

enum condition_kind {
    WHEN_USER,
    WHEN_CLIENT,
    WHEN_GROUP,
    WHEN_LISTENER,
    WHEN_ADDRESS,
    WHEN_ATTRIBUTE,
    WHEN_ANONYMOUS,  /* has no user name */
    WHEN_PLAIN_NAMES /* neither + nor # in user name and client id: mosquitto's patterns */
};

struct condition {
    enum condition_kind kind;
    bool negate;
    bool prefix; /* text ends in *: what begins like that */
    struct skep_str text;
    struct skep_str attribute; /* its name, terminated */
    struct net net;
    const struct map *members; /* of a group: user names */
};

struct rule {
    unsigned order; /* place in the list; the first that applies decides */
    unsigned line;
    bool allow;
    uint8_t actions;
    uint8_t qos_max;
    bool keyed; /* the first condition is what its bucket is for */
    unsigned condition_count;
    struct condition *conditions; /* all must hold */
    struct filter filter;
};

/* What is asked. */
struct ask {
    const struct acl_who *who;
    enum action action;    /* MAY_PUBLISH, MAY_SUBSCRIBE or MAY_RECEIVE */
    struct skep_str topic; /* a filter for MAY_SUBSCRIBE */
    unsigned qos;
    bool retain;
};

/* Whether everything about the rule fits but for its topic. */
bool rule_fits(const struct rule *r, const struct ask *ask);
/* The same where the rule was found in its bucket. */
bool rule_fits_there(const struct rule *r, const struct ask *ask);

/* -- Lists of rules; most have one member -- */

struct rule_list {
    uint32_t count, cap; /* cap 0: one */
    union {
        const struct rule *one;
        const struct rule **many;
    };
};

void rule_list_add(struct rule_list *l, struct region *region, const struct rule *r);

static inline const struct rule *const *rule_list_items(const struct rule_list *l)
{
    return l->cap ? l->many : &l->one;
}

#endif
