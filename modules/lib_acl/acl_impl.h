/* Building an ACL: for the parsers (skep.c, mosquitto.c) and acl.c. */
#ifndef LIB_ACL_ACL_IMPL_H
#define LIB_ACL_ACL_IMPL_H

#include "acl.h"
#include "trie.h"

enum {
    RULES_MAX = 1000000,
    LEVELS_MAX = 4000000, /* of all filters together */
    BUCKET_SCANNED = 8,   /* rules that are looked at one by one */
    NODES_MAX = 65536,    /* of the tries, for one question: some milliseconds at worst */
};

struct bucket {
    struct rule_list rules;
    struct trie *publish, *receive; /* NULL: few rules */
};

struct group {
    struct skep_str name;
    struct map members; /* of user names */
    struct bucket bucket;
};

struct acl {
    struct region region;
    struct rule **rules;
    uint32_t count, cap;
    size_t levels;
    enum acl_overlap overlap;
    bool grants_all_subscriptions;

    struct map groups;         /* name -> struct group */
    struct map user_groups;    /* user -> struct group_list */
    struct map users, clients; /* -> struct bucket */
    struct bucket general;
};

struct group_list {
    struct group **items;
    uint32_t count, cap;
};

/* The rule is copied; its order is its place.  False when there are too many. */
bool acl_add(struct acl *acl, const struct rule *rule, struct faults *faults, unsigned column);
/* Makes the group if need be. */
struct group *acl_group(struct acl *acl, struct skep_str name);
void acl_join(struct acl *acl, struct group *group, struct skep_str user);

void acl_parse_skep(struct acl *acl, struct skep_str text, struct faults *faults);
void acl_parse_mosquitto(struct acl *acl, struct skep_str text, struct faults *faults);

#endif
