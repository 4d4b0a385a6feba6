/* What a backend answered, understood once and shared by all who asked the same.
 *
 *     {"result": "allow" | "deny" | "ignore",
 *      "reason": "...", "reason_code": 135,
 *      "username": "...", "attributes": {"room": "7"}, "quotas": {"message_rate": 10},
 *      "acl": [...], "expire_at": 1764201600, "is_superuser": false, "qos": 1}
 *
 * `client_attrs` is the same as `attributes`, as EMQX's users know it.  Unknown members are
 * ignored; a known one that is not as it should be makes the whole answer an error.  An answer is
 * immutable and counted. */
#ifndef LIB_HTTP_DECISION_ANSWER_H
#define LIB_HTTP_DECISION_ANSWER_H

#include <skep/decide.h>
#include <skep/http.h>
#include <stdatomic.h>

#include "lib_json/rules.h"

enum { ANSWER_ATTRIBUTES = 32, ANSWER_QUOTAS = 5, ANSWER_REASON = 256, ANSWER_ATTRIBUTE = 4096 };

enum answer_mode {
    ANSWER_JSON,   /* 200 needs a JSON body with `result` */
    ANSWER_STATUS, /* the status alone: any 2xx allows */
};

struct answer_attribute {
    const char *name;
    char *value;
};

struct answer {
    _Atomic unsigned refs;
    enum skep_verdict verdict;    /* ALLOW, DENY, NEXT (ignore) or ERROR */
    const char *error;            /* ERROR: what was wrong with it; a constant */
    enum skep_reason reason;      /* DENY */
    char text[ANSWER_REASON + 1]; /* DENY; "": none */
    cJSON *tree;                  /* what the strings below point into */
    const char *username;         /* NULL: none */
    struct answer_attribute attributes[ANSWER_ATTRIBUTES];
    size_t attribute_count;
    unsigned quotas_given; /* set of (1 << SKEP_QUOTA_*) */
    uint64_t quotas[ANSWER_QUOTAS];
    struct rules rules;
    bool superuser;
    uint64_t expires_wall_ms; /* 0: never */
    int qos;                  /* at most, for a subscription; -1: as asked */
    size_t cost;              /* bytes, about */
};

/* Never NULL unless there is no memory.  reply: status 0 for none; body as it came. */
struct answer *answer_new(unsigned status, struct skep_str body, const char *content_type,
                          enum answer_mode mode, uint64_t wall_ms);
struct answer *answer_ref(struct answer *a);
void answer_unref(struct answer *a); /* accepts NULL */

#endif
