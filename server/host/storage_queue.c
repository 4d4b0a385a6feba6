#include "host/storage_queue.h"

#include <openssl/sha.h>

#include "base/hash.h"

void queue_init(struct storage_queue *q)
{
    q->last = &q->first;
}

bool queue_has_room(const struct storage_queue *q, size_t bytes)
{
    return q->count < STORAGE_QUEUE_MAX && q->bytes + bytes <= STORAGE_QUEUE_BYTES_MAX;
}

void queue_put(struct storage_queue *q, struct change *c)
{
    struct change **bucket = &q->buckets[hash_bytes(c->bytes, c->key_len) % STORAGE_BUCKETS];

    c->next = NULL;
    *q->last = c;
    q->last = &c->next;
    c->next_hashed = *bucket;
    c->hashed_link = bucket;
    if (c->next_hashed)
        c->next_hashed->hashed_link = &c->next_hashed;
    *bucket = c;
    q->count++;
    q->bytes += c->key_len + c->value_len;
}

const struct change *queue_find(const struct storage_queue *q, struct str key)
{
    const struct change *c = q->buckets[hash_bytes(key.ptr, key.len) % STORAGE_BUCKETS];

    while (c && !str_eq((struct str){c->bytes, c->key_len}, key))
        c = c->next_hashed;
    return c;
}

void queue_settle(struct storage_queue *q, struct change *c)
{
    *c->hashed_link = c->next_hashed;
    if (c->next_hashed)
        c->next_hashed->hashed_link = c->hashed_link;
    q->count--;
    q->bytes -= c->key_len + c->value_len;
}

/* The names' own prefix is all zeros, which no digest is in practice. */
size_t storage_key(const struct skep_module *m, struct skep_str key,
                   char out[STORAGE_PREFIX + STORAGE_KEY_MAX])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)m->name, strlen(m->name), digest);
    memcpy(out, digest, STORAGE_PREFIX);
    if (key.len)
        memcpy(out + STORAGE_PREFIX, key.ptr, key.len);
    return STORAGE_PREFIX + key.len;
}
