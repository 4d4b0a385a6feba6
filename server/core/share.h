/* Shared subscriptions [MQTT 4.8.2]: a group is one target in the index; each message goes
 * to one of its members.
 *
 * Threads: any worker delivers; members join and leave under the group's lock.  A group
 * with no member is unlinked and retired by QSBR. */
#ifndef SKEP_CORE_SHARE_H
#define SKEP_CORE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "core/router.h"
#include "core/session.h"

struct shares; /* all groups, by share name and filter */
struct share_group;

struct shares *shares_new(void);
void shares_free(struct shares **shares);

/* Adds the session, or replaces its options if it is a member (*existed). */
struct share_group *share_join(struct worker *w, struct session *s, struct str name,
                               struct str filter, unsigned options, uint32_t sub_id, bool *existed);
/* The group is the key of a subscription of s. */
void share_leave(struct worker *w, struct session *s, struct share_group *group);

/* Calls each for every member with its options; the group's lock is held. */
void share_each(struct share_group *group,
                void (*each)(void *arg, struct session *s, unsigned options), void *arg);

/* The group of that name and filter, or NULL. */
struct share_group *share_find(struct worker *w, struct str name, struct str filter);

/* "$share/NAME/FILTER" of a group that has a member. */
struct str share_filter(const struct share_group *group);

/* Gives m (borrowed; takes references as needed) to one member: connected ones first, then
 * those away; one whose queue is full is passed over. */
enum delivery share_deliver(struct worker *w, struct share_group *group, struct message *m,
                            const struct publication *p);

/* A member was given it, and may not have it any more now that it is to be sent: another one gets
 * it at the end of the turn.  The message's reference and its place in the ledger go along.  The
 * session's lock is held. */
void share_orphan(struct worker *w, struct session *from, const struct entry *entry);
/* Hands out what became so in this turn; marks sessions as dirty. */
void share_orphans(struct worker *w);

/* A member's session ends with this entry unfinished: another member gets it.  Takes over
 * the entry's reference and its place in the ledger if true. */
bool share_redeliver(struct worker *w, struct session *leaving, const struct entry *entry);

#endif
