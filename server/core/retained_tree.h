/* The tree of retained messages, private to retained*.c.
 *
 * A node stands for a prefix of levels that at least two topics share.  What only one topic
 * goes through is no node: its message hangs right where its own way begins,
 * whatever levels follow.  A retained message thus costs itself and one word:
 *
 *     a/b/c = 1, a/b/d = 2, x/y/z = 3        root -- a -- b -- c: message 1
 *                                                |         \- d: message 2
 *                                                 \- x: message 3
 *
 * Children are kept in pages of words sorted by the hash of their level.  A page never
 * changes but for the exchange of one message by another of the same topic: who adds or removes
 * makes a new page and retires the old.  A node with many children has a directory of pages by the
 * hash's top bits (extendible hashing): a full page is split in two, so an insertion costs the
 * copying of one page, and of the directory whenever that doubles.
 *
 * The exchange of a message takes no lock, hence the FROZEN bit: whoever copies a word
 * under the lock freezes the original first, and an exchange that finds its word frozen goes
 * the way of the lock. */
#ifndef SKEP_CORE_RETAINED_TREE_H
#define SKEP_CORE_RETAINED_TREE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/lock.h"
#include "core/levels.h"
#include "core/retained.h"

/* A child: address << 16 | sixteen bits of its level's hash, those behind the page's depth.
 * Addresses are multiples of 8, which leaves two bits for: */
#define LINK_NODE   ((uint64_t)1 << 16) /* the address is a tree_node's, else a message's */
#define LINK_FROZEN ((uint64_t)1 << 17)

enum { PAGE_MAX = 32, DEPTH_MAX = 32 };

struct tree_page {
    uint16_t count;
    uint8_t depth; /* so many top bits of the hash are the same in all of the page */
    _Atomic uint64_t links[];
};

struct tree_dir {
    uint8_t depth;
    uint32_t full; /* pages as deep as the directory; it halves when there is none */
    _Atomic(struct tree_page *) pages[];
};

struct tree_node {
    _Atomic uintptr_t children; /* 0, a page, or a directory's address | 1 */
    _Atomic uintptr_t own;      /* the message of exactly this topic, or 0; | OWN_FROZEN */
    struct tree_node *parent;
    uint32_t count; /* children; under the lock */
    uint16_t len;
    char text[];
};

enum { OWN_FROZEN = 1 };

struct retained {
    struct lock lock;
    struct tree_node *root;
    _Atomic uint64_t max_messages, max_bytes; /* 0: no limit */
    _Atomic uint64_t messages, message_bytes, expiring;
    _Atomic uint64_t tree_bytes;
    struct retained_cursor *sweep; /* where retained_sweep will go on */
};

static inline struct tree_node *link_node(uint64_t link)
{
    return (link & LINK_NODE) ? (struct tree_node *)(uintptr_t)(link >> 16 & ~(uint64_t)7) : NULL;
}

static inline struct message *link_message(uint64_t link)
{
    return (link & LINK_NODE) ? NULL : (struct message *)(uintptr_t)(link >> 16 & ~(uint64_t)7);
}

static inline struct message *own_message(const struct tree_node *n)
{
    uintptr_t own = atomic_load_explicit(&n->own, memory_order_acquire);
    return (struct message *)(own & ~(uintptr_t)OWN_FROZEN);
}

static inline uint64_t level_hash(struct str level)
{
    return hash_bytes(level.ptr, level.len);
}

static inline struct str node_text(const struct tree_node *n)
{
    return (struct str){n->text, n->len};
}

/* The level that leads to a child; `offset`: where the children's level starts in a topic. */
struct str link_level(uint64_t link, size_t offset);

/* -- retained_page.c: the children of a node -- */

/* The child's word, or NULL. */
_Atomic uint64_t *links_find(const struct tree_node *n, size_t offset, uint64_t hash,
                             struct str level);

/* Under the lock.  The child must not be there; link: address << 16 and LINK_NODE if so. */
void links_add(struct retained *r, struct qsbr_slot *slot, struct tree_node *n, size_t offset,
               uint64_t hash, uint64_t link);
/* Under the lock.  Returns the word as it was in the end. */
uint64_t links_remove(struct retained *r, struct qsbr_slot *slot, struct tree_node *n,
                      uint64_t hash, const _Atomic uint64_t *link);
/* Under the lock.  Freezes the only child of a node that will go, and returns its word. */
uint64_t links_freeze_only(struct tree_node *n);
/* Frees pages and directory: through slot, or at once when that is NULL. */
void links_free(struct retained *r, struct qsbr_slot *slot, struct tree_node *n);

/* Going through the children in the order of their hash, while they change.  A page
 * is seen as it was when it was reached. */
struct links_walk {
    const struct tree_page *page;
    uint32_t index;
    uint64_t next; /* first hash behind the page; 0: it is the last */
};

/* Starts at the first child whose hash is not below `from`. */
struct links_walk links_walk(const struct tree_node *n, size_t offset, uint64_t from);
/* The next child's word, or 0. */
uint64_t links_next(struct links_walk *w, const struct tree_node *n, size_t offset);

/* -- retained_tree.c: topics -- */

struct tree_place {
    _Atomic uint64_t *link; /* the message hangs here, or */
    struct tree_node *node; /* is this node's own; both NULL: there is no such topic */
    /* What was found there, or NULL.  Without the lock nobody but place_exchange may look at the
     * place again: the word may lead to a node by now, with this message one level down, and
     * then to another topic's message. */
    struct message *message;
};

struct tree_place tree_find(const struct retained *r, struct str topic);
/* Exchanges the message of a topic for another without a lock; the old one, or NULL when the
 * place has none any more or is frozen: then tree_put must do it. */
struct message *place_exchange(struct tree_place place, struct message *m);

/* Under the lock.  Returns the message replaced, or NULL. */
struct message *tree_put(struct retained *r, struct qsbr_slot *slot, struct message *m);
/* Under the lock.  Returns the message removed, or NULL; with `only` (else NULL) it removes no
 * other message than that. */
struct message *tree_remove(struct retained *r, struct qsbr_slot *slot, struct str topic,
                            const struct message *only);

void retained_tree_init(struct retained *r);
void retained_tree_fini(struct retained *r); /* drops every message */

/* Memory counted in tree_bytes. */
void *tree_alloc(struct retained *r, size_t size);
void tree_release(struct retained *r, struct qsbr_slot *slot, void *block);

/* -- retained_walk.c -- */

/* As retained_replay, with topics that begin with $ and expired ones included. */
bool retained_walk_all(struct retained *r, struct retained_cursor *cursor, unsigned most,
                       bool (*visit)(void *arg, struct message *m), void *arg);

static inline bool message_expired(const struct message *m, uint64_t now_ms)
{
    return m->expires_ms != MESSAGE_NO_EXPIRY && m->expires_ms <= now_ms;
}

#endif
