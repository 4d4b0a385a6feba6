/* Rules by topic: finds the first that matches without looking at the others.
 *
 * A node stands for a level.  It holds the rules whose filter ends there, those that end in # below
 * it, and, sorted by kind, all rules from it on.  Lists are in the order of the rules; whoever
 * searches carries the best rule so far and leaves out what comes later. */
#ifndef LIB_ACL_TRIE_H
#define LIB_ACL_TRIE_H

#include "rule.h"

struct trie;

struct trie *trie_new(struct region *region);
/* Rules come in rising order. */
void trie_add(struct trie *t, struct region *region, const struct rule *r);

enum { KIND_ALLOW = 1, KIND_DENY = 2 };

/* The first rule of these kinds that applies, if it comes before `best`; else best (may be NULL).
 * Looks at no more nodes than *budget says, takes off what it used, and leaves 0 when that was not
 * enough: a filter of many + can touch a great part of a great file. */
const struct rule *trie_find(const struct trie *t, const struct ask *ask, enum filter_how how,
                             unsigned kinds, const struct rule *best, unsigned *budget);

#endif
