/* A parsed ACL file: an ordered list of rules, of which the first that applies decides, and the
 * index that finds it.
 *
 * Rules lie in buckets: those for one user, those for one client id, those for one group, and the
 * rest.  A bucket of more than a few rules has a trie for publishing and one for receiving.  A
 * question looks into the buckets of its user, his groups and his client id and the general one, so
 * that rules of others cost nothing.
 *
 * Immutable once parsed; any number of threads may ask. */
#ifndef LIB_ACL_ACL_H
#define LIB_ACL_ACL_H

#include "lib_file/fault.h"
#include "rule.h"

struct acl;

enum acl_format { FORMAT_AUTO, FORMAT_SKEP, FORMAT_MOSQUITTO };

/* A subscription that a rule covers in part only. */
enum acl_overlap {
    OVERLAP_AUTO,   /* as the file's format has it: DENY of ours, mosquitto grants everything */
    OVERLAP_DENY,   /* is refused: an allow must cover it whole, a deny must not touch it */
    OVERLAP_DELIVER /* is granted, and each message is checked when it is delivered */
};

struct acl_options {
    enum acl_format format;
    enum acl_overlap overlap;
};

/* NULL when something is wrong (faults says what). */
struct acl *acl_parse(struct skep_str text, const struct acl_options *options,
                      struct faults *faults);
void acl_free(struct acl **acl); /* accepts NULL */

size_t acl_rules(const struct acl *acl);
size_t acl_bytes(const struct acl *acl);
/* Whether subscriptions are granted that only delivery checks. */
bool acl_needs_delivery(const struct acl *acl);

struct acl_answer {
    const struct rule *rule; /* NULL: no rule applies */
    bool granted_unseen;     /* mosquitto: subscriptions are not checked */
    bool too_wide;           /* a subscription that touches too much to be compared: a refusal */
};

struct acl_answer acl_decide(const struct acl *acl, const struct ask *ask);

/* The same by looking at every rule in turn: what the index must agree with. */
struct acl_answer acl_decide_slowly(const struct acl *acl, const struct ask *ask);

#endif
