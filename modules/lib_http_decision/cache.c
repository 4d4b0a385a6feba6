#include "lib_http_decision/cache.h"

#include <pthread.h>
#include <stdlib.h>

enum { SHARDS = 16 };

struct entry {
    struct entry *chain;         /* of its bucket */
    struct entry *newer, *older; /* by last use */
    unsigned char key[CACHE_KEY];
    struct answer *answer;
    uint64_t fresh_until, stale_until;
};

struct shard {
    pthread_mutex_t lock;
    struct entry **buckets;
    size_t bucket_count; /* a power of two */
    struct entry *newest, *oldest;
    size_t count, bytes;
};

struct cache {
    size_t max_count, max_bytes; /* of a shard */
    struct shard shards[SHARDS];
};

struct cache *cache_new(size_t entries, size_t bytes)
{
    struct cache *c = calloc(1, sizeof *c);
    size_t buckets = 8;

    if (!c)
        return NULL;
    c->max_count = (entries + SHARDS - 1) / SHARDS;
    c->max_bytes = bytes / SHARDS;
    while (buckets < c->max_count && buckets < 65536)
        buckets *= 2;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = &c->shards[i];
        pthread_mutex_init(&s->lock, NULL);
        s->bucket_count = buckets;
        if (!(s->buckets = calloc(buckets, sizeof(struct entry *)))) {
            cache_free(&c);
            return NULL;
        }
    }
    return c;
}

/* The key is a keyed digest: any of its bytes are as good as a hash. */
static struct shard *shard_of(struct cache *c, const unsigned char *key)
{
    return &c->shards[key[0] % SHARDS];
}

static struct entry **bucket_of(struct shard *s, const unsigned char *key)
{
    uint32_t hash;

    memcpy(&hash, key + 4, sizeof hash);
    return &s->buckets[hash & (s->bucket_count - 1)];
}

static struct entry *find(struct shard *s, const unsigned char *key)
{
    struct entry *e = *bucket_of(s, key);

    while (e && memcmp(e->key, key, CACHE_KEY) != 0)
        e = e->chain;
    return e;
}

static void unlist(struct shard *s, struct entry *e)
{
    *(e->newer ? &e->newer->older : &s->newest) = e->older;
    *(e->older ? &e->older->newer : &s->oldest) = e->newer;
}

static void list_newest(struct shard *s, struct entry *e)
{
    e->newer = NULL;
    e->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = e;
    s->newest = e;
}

static void entry_drop(struct shard *s, struct entry *e)
{
    struct entry **at = bucket_of(s, e->key);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlist(s, e);
    s->count--;
    s->bytes -= e->answer->cost;
    answer_unref(e->answer);
    free(e);
}

static struct answer *get(struct cache *c, const unsigned char *key, uint64_t now_ms, bool stale)
{
    struct shard *s = shard_of(c, key);
    struct answer *answer = NULL;

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, key);
    if (e && now_ms < (stale ? e->stale_until : e->fresh_until)) {
        unlist(s, e);
        list_newest(s, e);
        answer = answer_ref(e->answer);
    } else if (e && now_ms >= e->stale_until) {
        entry_drop(s, e);
    }
    pthread_mutex_unlock(&s->lock);
    return answer;
}

struct answer *cache_get(struct cache *c, const unsigned char key[CACHE_KEY], uint64_t now_ms)
{
    return get(c, key, now_ms, false);
}

struct answer *cache_get_stale(struct cache *c, const unsigned char key[CACHE_KEY], uint64_t now_ms)
{
    return get(c, key, now_ms, true);
}

void cache_put(struct cache *c, const unsigned char key[CACHE_KEY], struct answer *answer,
               uint64_t now_ms, uint64_t fresh_ms, uint64_t stale_ms)
{
    struct shard *s = shard_of(c, key);
    struct entry *e = calloc(1, sizeof *e);

    if (!e)
        return; /* it will be asked again */
    *e = (struct entry){.answer = answer_ref(answer),
                        .fresh_until = now_ms + fresh_ms,
                        .stale_until = now_ms + fresh_ms + stale_ms};
    memcpy(e->key, key, CACHE_KEY);
    pthread_mutex_lock(&s->lock);
    struct entry *old = find(s, key);
    if (old)
        entry_drop(s, old);
    e->chain = *bucket_of(s, key);
    *bucket_of(s, key) = e;
    list_newest(s, e);
    s->count++;
    s->bytes += answer->cost;
    while (s->oldest && (s->count > c->max_count || s->bytes > c->max_bytes))
        entry_drop(s, s->oldest);
    pthread_mutex_unlock(&s->lock);
}

void cache_drop(struct cache *c, const unsigned char key[CACHE_KEY])
{
    struct shard *s = shard_of(c, key);

    pthread_mutex_lock(&s->lock);
    struct entry *e = find(s, key);
    if (e)
        entry_drop(s, e);
    pthread_mutex_unlock(&s->lock);
}

void cache_clear(struct cache *c)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = &c->shards[i];
        pthread_mutex_lock(&s->lock);
        while (s->oldest)
            entry_drop(s, s->oldest);
        pthread_mutex_unlock(&s->lock);
    }
}

size_t cache_count(struct cache *c)
{
    size_t count = 0;

    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&c->shards[i].lock);
        count += c->shards[i].count;
        pthread_mutex_unlock(&c->shards[i].lock);
    }
    return count;
}

void cache_free(struct cache **cache)
{
    struct cache *c = *cache;

    if (!c)
        return;
    cache_clear(c);
    for (unsigned i = 0; i < SHARDS; i++) {
        free(c->shards[i].buckets);
        pthread_mutex_destroy(&c->shards[i].lock);
    }
    free(c);
    *cache = NULL;
}
