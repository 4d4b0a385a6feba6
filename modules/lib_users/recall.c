#include "recall.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "scram_keys.h"

/* One place for each; whoever falls on a taken one takes it over. */
enum { PLACES = 4096 };

struct place {
    unsigned char mac[32];
    uint64_t until_ms;
};

struct recall {
    pthread_mutex_t lock;
    unsigned char secret[32];
    struct place places[PLACES];
};

struct recall *recall_new(void)
{
    struct recall *r = calloc(1, sizeof *r);

    if (!r || RAND_bytes(r->secret, sizeof r->secret) != 1)
        abort();
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void recall_free(struct recall **r)
{
    if (*r) {
        pthread_mutex_destroy(&(*r)->lock);
        OPENSSL_cleanse(*r, sizeof **r);
        free(*r);
    }
    *r = NULL;
}

void recall_key(const struct recall *r, struct recall_key *out, struct skep_str user,
                const struct password_hash *hash, struct skep_str password)
{
    unsigned char parts[3][32];
    struct password_hash whole;

    /* Padding between members is nobody's. */
    memset(&whole, 0, sizeof whole);
    whole.kind = hash->kind;
    whole.cost = hash->cost;
    memcpy(whole.salt, hash->salt, sizeof whole.salt);
    memcpy(whole.digest, hash->digest, sizeof whole.digest);
    scram_hmac(parts[0], r->secret, sizeof r->secret, user);
    scram_hmac(parts[1], r->secret, sizeof r->secret, skep_bytes(&whole, sizeof whole));
    scram_hmac(parts[2], r->secret, sizeof r->secret, password);
    scram_hmac(out->mac, r->secret, sizeof r->secret, skep_bytes(parts, sizeof parts));
    OPENSSL_cleanse(parts, sizeof parts);
}

static struct place *place_of(struct recall *r, const struct recall_key *key)
{
    return &r->places[(key->mac[0] << 8 | key->mac[1]) % PLACES];
}

bool recall_knows(struct recall *r, const struct recall_key *key, uint64_t now_ms)
{
    const struct place *p = place_of(r, key);
    bool known;

    pthread_mutex_lock(&r->lock);
    known = p->until_ms > now_ms && CRYPTO_memcmp(p->mac, key->mac, sizeof p->mac) == 0;
    pthread_mutex_unlock(&r->lock);
    return known;
}

void recall_note(struct recall *r, const struct recall_key *key, uint64_t until_ms)
{
    struct place *p = place_of(r, key);

    pthread_mutex_lock(&r->lock);
    memcpy(p->mac, key->mac, sizeof p->mac);
    p->until_ms = until_ms;
    pthread_mutex_unlock(&r->lock);
}
