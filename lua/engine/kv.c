#include "kv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { SHARDS = 16, FIRST_SLOTS = 16, OVERHEAD = 64, SWEEP_MS = 100 };

struct item {
    struct item *next;
    uint64_t hash, expires_ms; /* 0: never */
    enum kv_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
    };
    size_t key_len, value_len;
    char bytes[]; /* key, then a string value */
};

struct shard {
    pthread_mutex_t mutex;
    struct item **slots;
    size_t slot_count, items;
    size_t sweep_at; /* slot where looking for expired ones goes on */
};

struct kv {
    _Atomic uint32_t refs;
    size_t limit;
    _Atomic size_t used;
    _Atomic uint64_t swept_ms; /* when make_room() last looked everywhere */
    struct shard shards[SHARDS];
};

static void *must(void *ptr)
{
    if (!ptr)
        abort();
    return ptr;
}

static uint64_t hash_of(const struct kv *kv, struct skep_str key)
{
    uint64_t h = (uint64_t)(uintptr_t)kv * UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < key.len; i++)
        h = (h ^ (uint8_t)key.ptr[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 31);
}

struct kv *kv_new(size_t limit_bytes)
{
    struct kv *kv = must(calloc(1, sizeof *kv));

    atomic_init(&kv->refs, 1);
    kv->limit = limit_bytes;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = &kv->shards[i];
        pthread_mutex_init(&s->mutex, NULL);
        s->slot_count = FIRST_SLOTS;
        s->slots = must(calloc(s->slot_count, sizeof(struct item *)));
    }
    return kv;
}

struct kv *kv_ref(struct kv *kv)
{
    atomic_fetch_add(&kv->refs, 1);
    return kv;
}

static size_t item_cost(const struct item *item)
{
    return sizeof *item + item->key_len + item->value_len + OVERHEAD;
}

static void item_free(struct kv *kv, struct shard *s, struct item **at)
{
    struct item *item = *at;

    *at = item->next;
    s->items--;
    atomic_fetch_sub(&kv->used, item_cost(item));
    free(item);
}

void kv_unref(struct kv **kvp)
{
    struct kv *kv = *kvp;

    *kvp = NULL;
    if (!kv || atomic_fetch_sub(&kv->refs, 1) > 1)
        return;
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *s = &kv->shards[i];
        for (size_t j = 0; j < s->slot_count; j++) {
            while (s->slots[j])
                item_free(kv, s, &s->slots[j]);
        }
        free(s->slots);
        pthread_mutex_destroy(&s->mutex);
    }
    free(kv);
}

static struct shard *lock_shard(struct kv *kv, uint64_t hash)
{
    struct shard *s = &kv->shards[hash >> 60];

    pthread_mutex_lock(&s->mutex);
    return s;
}

static bool is_expired(const struct item *item, uint64_t now_ms)
{
    return item->expires_ms && item->expires_ms <= now_ms;
}

/* Where the item hangs; an expired one is gone. */
static struct item **find(struct kv *kv, struct shard *s, uint64_t hash, struct skep_str key,
                          uint64_t now_ms)
{
    struct item **at = &s->slots[hash & (s->slot_count - 1)];

    while (*at) {
        struct item *item = *at;
        if (is_expired(item, now_ms))
            item_free(kv, s, at);
        else if (item->hash == hash && skep_str_eq(skep_bytes(item->bytes, item->key_len), key))
            return at;
        else
            at = &item->next;
    }
    return at;
}

static void grow(struct shard *s)
{
    size_t count = s->slot_count * 2;
    struct item **slots = must(calloc(count, sizeof(struct item *)));

    for (size_t i = 0; i < s->slot_count; i++) {
        while (s->slots[i]) {
            struct item *item = s->slots[i];
            s->slots[i] = item->next;
            item->next = slots[item->hash & (count - 1)];
            slots[item->hash & (count - 1)] = item;
        }
    }
    free(s->slots);
    s->slots = slots;
    s->slot_count = count;
}

/* A few slots with every change, so that what expired does not stay. */
static void sweep(struct kv *kv, struct shard *s, uint64_t now_ms, size_t slots)
{
    while (slots-- > 0) {
        struct item **at = &s->slots[s->sweep_at++ & (s->slot_count - 1)];
        while (*at) {
            if (is_expired(*at, now_ms))
                item_free(kv, s, at);
            else
                at = &(*at)->next;
        }
    }
}

/* The store is full: what has expired goes, here and, where nobody is at work, in the other shards.
 */
static void make_room(struct kv *kv, struct shard *s, uint64_t now_ms)
{
    uint64_t last = atomic_load(&kv->swept_ms);

    /* Not for each value that does not fit: to look everywhere takes a millisecond. */
    if ((last && now_ms - last < SWEEP_MS) ||
        !atomic_compare_exchange_strong(&kv->swept_ms, &last, now_ms))
        return;
    sweep(kv, s, now_ms, s->slot_count);
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard *other = &kv->shards[i];
        if (other == s || pthread_mutex_trylock(&other->mutex) != 0)
            continue;
        sweep(kv, other, now_ms, other->slot_count);
        pthread_mutex_unlock(&other->mutex);
    }
}

static struct item *item_new(uint64_t hash, struct skep_str key, const struct kv_value *value,
                             uint64_t expires_ms)
{
    size_t string_len = value->type == KV_STRING ? value->string.len : 0;
    struct item *item = must(malloc(sizeof *item + key.len + string_len));

    *item = (struct item){.hash = hash,
                          .expires_ms = expires_ms,
                          .type = value->type,
                          .key_len = key.len,
                          .value_len = string_len};
    item->integer = value->integer; /* the widest of the union */
    memcpy(item->bytes, key.ptr, key.len);
    if (string_len > 0)
        memcpy(item->bytes + key.len, value->string.ptr, string_len);
    return item;
}

static int put(struct kv *kv, struct shard *s, uint64_t hash, struct skep_str key,
               const struct kv_value *value, uint64_t now_ms, uint64_t expires_ms)
{
    struct item **at = find(kv, s, hash, key, now_ms), *item;

    if (value->type == KV_NONE) {
        if (*at)
            item_free(kv, s, at);
        return 0;
    }
    item = item_new(hash, key, value, expires_ms);
    size_t old = *at ? item_cost(*at) : 0;
    if (atomic_load(&kv->used) - old + item_cost(item) > kv->limit) {
        make_room(kv, s, now_ms);
        at = find(kv, s, hash, key, now_ms);
        if (atomic_load(&kv->used) - old + item_cost(item) > kv->limit) {
            free(item);
            return SKEP_E_LIMIT;
        }
    }
    if (*at)
        item_free(kv, s, at);
    atomic_fetch_add(&kv->used, item_cost(item));
    item->next = *at;
    *at = item;
    if (++s->items > s->slot_count)
        grow(s);
    sweep(kv, s, now_ms, 2);
    return 0;
}

int kv_set(struct kv *kv, struct skep_str key, const struct kv_value *value, uint64_t now_ms,
           uint64_t ttl_ms)
{
    uint64_t hash = hash_of(kv, key);
    struct shard *s = lock_shard(kv, hash);
    int err = put(kv, s, hash, key, value, now_ms, ttl_ms ? now_ms + ttl_ms : 0);

    pthread_mutex_unlock(&s->mutex);
    return err;
}

static void read_item(const struct item *item, struct kv_value *out)
{
    *out = (struct kv_value){.type = item->type};
    out->integer = item->integer;
    if (item->type != KV_STRING)
        return;
    char *copy = must(malloc(item->value_len + 1));
    memcpy(copy, item->bytes + item->key_len, item->value_len);
    out->string = skep_bytes(copy, item->value_len);
}

void kv_get(struct kv *kv, struct skep_str key, uint64_t now_ms, struct kv_value *out)
{
    uint64_t hash = hash_of(kv, key);
    struct shard *s = lock_shard(kv, hash);
    struct item *item = *find(kv, s, hash, key, now_ms);

    *out = (struct kv_value){.type = KV_NONE};
    if (item)
        read_item(item, out);
    pthread_mutex_unlock(&s->mutex);
}

int kv_add(struct kv *kv, struct skep_str key, int64_t by, uint64_t now_ms, uint64_t ttl_ms,
           int64_t *sum)
{
    uint64_t hash = hash_of(kv, key);
    struct shard *s = lock_shard(kv, hash);
    struct item *item = *find(kv, s, hash, key, now_ms);
    int err = 0;

    if (item && item->type != KV_INTEGER) {
        err = SKEP_E_INVALID;
    } else if (item) {
        item->integer = (int64_t)((uint64_t)item->integer + (uint64_t)by);
        *sum = item->integer;
    } else {
        struct kv_value value = {.type = KV_INTEGER, .integer = by};
        err = put(kv, s, hash, key, &value, now_ms, ttl_ms ? now_ms + ttl_ms : 0);
        *sum = by;
    }
    pthread_mutex_unlock(&s->mutex);
    return err;
}

static bool item_equals(const struct item *item, const struct kv_value *v)
{
    if (!item || v->type == KV_NONE)
        return !item && v->type == KV_NONE;
    if (item->type != v->type)
        return false;
    switch (v->type) {
    case KV_BOOLEAN:
        return item->boolean == v->boolean;
    case KV_INTEGER:
        return item->integer == v->integer;
    case KV_FLOAT:
        return item->real == v->real;
    default:
        return skep_str_eq(skep_bytes(item->bytes + item->key_len, item->value_len), v->string);
    }
}

int kv_swap(struct kv *kv, struct skep_str key, const struct kv_value *old,
            const struct kv_value *value, uint64_t now_ms, uint64_t ttl_ms)
{
    uint64_t hash = hash_of(kv, key);
    struct shard *s = lock_shard(kv, hash);
    int err = SKEP_E_STATE;

    if (item_equals(*find(kv, s, hash, key, now_ms), old))
        err = put(kv, s, hash, key, value, now_ms, ttl_ms ? now_ms + ttl_ms : 0);
    pthread_mutex_unlock(&s->mutex);
    return err;
}

size_t kv_bytes(struct kv *kv)
{
    return atomic_load(&kv->used);
}
