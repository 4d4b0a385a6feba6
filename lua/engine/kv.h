/* The store that all scripts on all loops share: bounded, with expiry, atomic.  In memory only.
 *
 * Values are Lua's simple ones: strings, integers, floats, booleans.  Any thread. */
#ifndef SKEP_LUA_KV_H
#define SKEP_LUA_KV_H

#include <skep/base.h>

struct kv;

enum kv_type { KV_NONE, KV_BOOLEAN, KV_INTEGER, KV_FLOAT, KV_STRING };

struct kv_value {
    enum kv_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
    };
    struct skep_str string; /* a copy the caller frees when it comes out of kv_get() */
};

struct kv *kv_new(size_t limit_bytes);
struct kv *kv_ref(struct kv *kv); /* a reload keeps what scripts stored */
void kv_unref(struct kv **kv);

/* now_ms is monotonic; ttl_ms 0: for ever.  KV_NONE deletes.  SKEP_E_LIMIT: full. */
int kv_set(struct kv *kv, struct skep_str key, const struct kv_value *value, uint64_t now_ms,
           uint64_t ttl_ms);
/* KV_NONE when it is not there. */
void kv_get(struct kv *kv, struct skep_str key, uint64_t now_ms, struct kv_value *out);
/* Adds to an integer, beginning at 0; ttl_ms counts from the first.  SKEP_E_INVALID: it is
 * something else. */
int kv_add(struct kv *kv, struct skep_str key, int64_t by, uint64_t now_ms, uint64_t ttl_ms,
           int64_t *sum);
/* Sets if the present value equals `old`; SKEP_E_STATE if not. */
int kv_swap(struct kv *kv, struct skep_str key, const struct kv_value *old,
            const struct kv_value *value, uint64_t now_ms, uint64_t ttl_ms);

size_t kv_bytes(struct kv *kv);

#endif
