/* Answers remembered for a while: bounded in number and bytes, the least recently used goes first.
 * Any thread; the shards' locks are held for a few instructions. */
#ifndef LIB_HTTP_DECISION_CACHE_H
#define LIB_HTTP_DECISION_CACHE_H

#include "lib_http_decision/answer.h"

enum { CACHE_KEY = 32 };

struct cache;

/* NULL: no memory.  The limits are kept by shards of a 16th each. */
struct cache *cache_new(size_t entries, size_t bytes);
void cache_free(struct cache **c);

/* An answer that is fresh, counted (answer_unref() it), or NULL. */
struct answer *cache_get(struct cache *c, const unsigned char key[CACHE_KEY], uint64_t now_ms);
/* For when the backend fails: one that may still be used then. */
struct answer *cache_get_stale(struct cache *c, const unsigned char key[CACHE_KEY],
                               uint64_t now_ms);
/* Takes a count of its own.  fresh_ms from now it is fresh, and stale_ms longer it may stand in for
 * a backend that fails. */
void cache_put(struct cache *c, const unsigned char key[CACHE_KEY], struct answer *answer,
               uint64_t now_ms, uint64_t fresh_ms, uint64_t stale_ms);
void cache_drop(struct cache *c, const unsigned char key[CACHE_KEY]);
void cache_clear(struct cache *c);
size_t cache_count(struct cache *c);

#endif
