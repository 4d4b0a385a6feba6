/* Access rules inside JSON: what a backend's answer or a token's claim lets one client do.
 *
 * A list in EMQX's shape:
 *     [{"permission": "allow", "action": "publish", "topic": "a/#"}, ...]
 * or lists of filters that are allowed:
 *     {"pub": ["a/#"], "sub": ["b/+"], "all": ["c"]}
 *
 * A rule that says something we cannot hold it to (a QoS, say) is an error, never a rule without
 * that: leaving it out of an `allow` would widen it. */
#ifndef LIB_JSON_RULES_H
#define LIB_JSON_RULES_H

#include "lib_json/json.h"

struct skep_request;

enum { RULES_MAX = 256 };

struct rule {
    bool allow;
    unsigned actions; /* set of SKEP_MAY_* */
    char *filter;
};

struct rules {
    struct rule *items;
    size_t count;
    bool given; /* there was such a list, though it may be empty */
};

/* Either shape.  0, or negative and *why; then `out` is empty. */
int rules_parse(struct rules *out, const cJSON *value, const char **why);
void rules_fini(struct rules *rules);

/* Gives them to the client.  end: what they do not name is denied instead of asked of the chain.
 * 0, or what skep_connect_add_rule() did not take. */
int rules_apply(const struct rules *rules, bool end, struct skep_request *r);

#endif
