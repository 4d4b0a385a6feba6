/* Rules of one connection alone: skep_connect_add_rule(). */
#ifndef SKEP_HOST_RULES_H
#define SKEP_HOST_RULES_H

#include <skep/decide.h>

#include "core/identity.h"

enum rule_answer { RULE_SILENT, RULE_ALLOW, RULE_DENY };

/* The rules with client id and user name in the place of %c and %u; for rules_filled_free().  A
 * name that would make another filter of it (it has + # or /, or is empty) can match no rule that
 * allows; of one that denies it makes "#". */
struct identity_rule *rules_fill_in(const struct identity_rule *rules, size_t count,
                                    struct str client_id, struct str username);
void rules_filled_free(struct identity_rule *rules, size_t count);

/* actions: all of them are needed; each is decided by the first rule that has it and matches the
 * topic.  One that is denied denies; one that no rule speaks of leaves it open. */
enum rule_answer rules_topic(const struct identity_facts *f, unsigned actions, struct str topic);

/* A subscription is allowed by a rule that covers all of its filter, and denied by one that has
 * a single topic in common with it. */
enum rule_answer rules_filter(const struct identity_facts *f, struct str filter);

/* Whether any rule speaks of the action. */
bool rules_have(const struct identity_facts *f, unsigned action);

/* Whether every topic that matches `narrow` also matches `wide`; and whether one topic matches
 * both. */
bool filter_covers(struct str wide, struct str narrow);
bool filters_meet(struct str a, struct str b);

#endif
