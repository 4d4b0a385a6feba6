#include "guard.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "lib_file/net.h"
#include "scram_keys.h"

enum { WAYS = 8, HOST_TEXT = 56, USER_TEXT = 72, KEY = 16 };

enum kind { FREE, PAIR, ADDRESS, USER };

struct entry {
    unsigned char key[KEY];
    enum kind kind;
    uint32_t failures;
    uint64_t last_ms, window_ms, banned_until_ms;
    char host[HOST_TEXT], user[USER_TEXT];
};

struct guard {
    atomic_uint refs;
    pthread_mutex_t lock;
    unsigned char secret[32]; /* keys cannot be made to fall into one set */
    size_t sets;
    struct entry *entries; /* WAYS for each set */
};

/* -- Life -- */

struct guard *guard_new(size_t entries)
{
    struct guard *g = calloc(1, sizeof *g);
    size_t sets = 1;

    while (sets * WAYS < entries)
        sets *= 2;
    if (!g || !(g->entries = calloc(sets * WAYS, sizeof *g->entries)) ||
        RAND_bytes(g->secret, sizeof g->secret) != 1)
        abort();
    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->lock, NULL);
    g->sets = sets;
    return g;
}

struct guard *guard_ref(struct guard *g)
{
    atomic_fetch_add(&g->refs, 1);
    return g;
}

void guard_unref(struct guard **g)
{
    if (*g && atomic_fetch_sub(&(*g)->refs, 1) == 1) {
        pthread_mutex_destroy(&(*g)->lock);
        free((*g)->entries);
        free(*g);
    }
    *g = NULL;
}

size_t guard_size(const struct guard *g)
{
    return g->sets * WAYS;
}

/* -- Keys -- */

/* What one request is about. */
struct subject {
    char host[HOST_TEXT];
    bool is_ip;
    unsigned char user_digest[32];
    struct skep_str user;
};

/* The address as it is counted and shown. */
static void host_normalise(struct subject *s, struct skep_str host)
{
    struct net_address a;

    s->is_ip = net_address_parse(host, &a);
    if (!s->is_ip) {
        snprintf(s->host, sizeof s->host, "%.*s", (int)(host.len < 40 ? host.len : 40), host.ptr);
    } else if (net_address_is_ip4(&a)) {
        inet_ntop(AF_INET, a.bytes + 12, s->host, sizeof s->host);
    } else {
        memset(a.bytes + 8, 0, 8);
        inet_ntop(AF_INET6, a.bytes, s->host, sizeof s->host);
        strcat(s->host, "/64");
    }
}

static void subject_init(const struct guard *g, struct subject *s, struct skep_str host,
                         struct skep_str user)
{
    host_normalise(s, host);
    s->user = user;
    scram_hmac(s->user_digest, g->secret, sizeof g->secret, user);
}

static void key_make(const struct guard *g, const struct subject *s, enum kind kind,
                     unsigned char key[KEY])
{
    unsigned char text[1 + HOST_TEXT + 32] = {(unsigned char)kind}, digest[32];

    if (kind != USER)
        memcpy(text + 1, s->host, strlen(s->host));
    if (kind != ADDRESS)
        memcpy(text + 1 + HOST_TEXT, s->user_digest, 32);
    scram_hmac(digest, g->secret, sizeof g->secret, skep_bytes(text, sizeof text));
    memcpy(key, digest, KEY);
}

/* The beginning of a name, cut between characters. */
static void user_text(char *out, size_t cap, struct skep_str user)
{
    size_t len = user.len < cap ? user.len : cap - 1;

    while (len < user.len && len > 0 && ((unsigned char)user.ptr[len] & 0xc0) == 0x80)
        len--;
    if (len)
        memcpy(out, user.ptr, len);
    out[len] = '\0';
}

/* -- Entries; the lock is held -- */

static struct entry *set_of(const struct guard *g, const unsigned char key[KEY])
{
    uint64_t n;

    memcpy(&n, key, sizeof n);
    return g->entries + (n & (g->sets - 1)) * WAYS;
}

static bool is_stale(const struct entry *e, uint64_t now)
{
    return e->kind == FREE || (e->banned_until_ms <= now && e->last_ms + e->window_ms <= now);
}

/* What is forgotten most lightly comes first: nothing, old failures, new ones, bans. */
static uint64_t worth(const struct entry *e, uint64_t now)
{
    if (is_stale(e, now))
        return 0;
    return e->banned_until_ms > now ? UINT64_MAX / 2 + e->banned_until_ms : 1 + e->last_ms;
}

static struct entry *entry_find(const struct guard *g, const unsigned char key[KEY], uint64_t now)
{
    struct entry *set = set_of(g, key);

    for (unsigned i = 0; i < WAYS; i++) {
        if (!is_stale(&set[i], now) && memcmp(set[i].key, key, KEY) == 0)
            return &set[i];
    }
    return NULL;
}

static struct entry *entry_make(struct guard *g, const struct subject *s, enum kind kind,
                                const unsigned char key[KEY], uint64_t now)
{
    struct entry *set = set_of(g, key), *least = set;

    for (unsigned i = 1; i < WAYS; i++) {
        if (worth(&set[i], now) < worth(least, now))
            least = &set[i];
    }
    *least = (struct entry){.kind = kind};
    memcpy(least->key, key, KEY);
    if (kind != USER)
        memcpy(least->host, s->host, sizeof least->host);
    if (kind != ADDRESS)
        user_text(least->user, sizeof least->user, s->user);
    return least;
}

/* One failure more; whether that begins a ban.  max 0: never. */
static bool count(struct guard *g, const struct guard_policy *policy, const struct subject *s,
                  enum kind kind, uint32_t max, uint64_t now, uint32_t *failures)
{
    unsigned char key[KEY];
    struct entry *e;

    key_make(g, s, kind, key);
    e = entry_find(g, key, now);
    if (!e)
        e = entry_make(g, s, kind, key, now);
    if (e->last_ms + policy->window_ms <= now)
        e->failures = 0;
    e->failures++;
    e->last_ms = now;
    e->window_ms = policy->window_ms;
    *failures = e->failures;
    if (max == 0 || e->failures < max || e->banned_until_ms > now)
        return false;
    e->banned_until_ms = now + policy->ban_ms;
    e->failures = 0; /* counted anew when the ban is over */
    return true;
}

static bool is_banned(const struct guard *g, const struct subject *s, enum kind kind, uint64_t now)
{
    unsigned char key[KEY];
    const struct entry *e;

    key_make(g, s, kind, key);
    e = entry_find(g, key, now);
    return e && e->banned_until_ms > now;
}

/* -- What is asked -- */

bool guard_is_banned(struct guard *g, uint64_t now_ms, struct skep_str host, struct skep_str user)
{
    struct subject s;
    bool banned;

    subject_init(g, &s, host, user);
    pthread_mutex_lock(&g->lock);
    banned = is_banned(g, &s, ADDRESS, now_ms) || is_banned(g, &s, PAIR, now_ms);
    pthread_mutex_unlock(&g->lock);
    return banned;
}

static uint64_t delay_after(const struct guard_policy *policy, uint32_t failures)
{
    uint64_t delay = policy->delay_ms;

    for (uint32_t i = 1; i < failures && delay < policy->delay_max_ms; i++)
        delay *= 2;
    return delay < policy->delay_max_ms ? delay : policy->delay_max_ms;
}

struct guard_blow guard_failure(struct guard *g, const struct guard_policy *policy, uint64_t now_ms,
                                struct skep_str host, struct skep_str user, bool trusted)
{
    struct guard_blow blow = {0};
    uint32_t of_user, of_address;
    struct subject s;

    subject_init(g, &s, host, user);
    pthread_mutex_lock(&g->lock);
    blow.banned_pair = count(g, policy, &s, PAIR, policy->max_failures, now_ms, &blow.failures);
    if (s.is_ip && !trusted)
        blow.banned_address =
            count(g, policy, &s, ADDRESS, policy->max_address_failures, now_ms, &of_address);
    count(g, policy, &s, USER, 0, now_ms, &of_user);
    pthread_mutex_unlock(&g->lock);
    blow.delay_ms = delay_after(policy, of_user > blow.failures ? of_user : blow.failures);
    return blow;
}

void guard_success(struct guard *g, struct skep_str host, struct skep_str user)
{
    unsigned char key[KEY];
    struct subject s;
    struct entry *e;

    subject_init(g, &s, host, user);
    key_make(g, &s, PAIR, key);
    pthread_mutex_lock(&g->lock);
    e = entry_find(g, key, 0);
    if (e)
        e->kind = FREE;
    pthread_mutex_unlock(&g->lock);
}

void guard_each(struct guard *g, uint64_t now_ms,
                void (*each)(const struct guard_entry *e, void *arg), void *arg)
{
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->sets * WAYS; i++) {
        const struct entry *e = &g->entries[i];

        if (!is_stale(e, now_ms))
            each(&(struct guard_entry){e->host, e->user, e->failures,
                                       e->banned_until_ms > now_ms ? e->banned_until_ms - now_ms
                                                                   : 0},
                 arg);
    }
    pthread_mutex_unlock(&g->lock);
}

static bool is_about(const struct entry *e, const struct subject *s, struct skep_str word)
{
    char user[USER_TEXT];

    user_text(user, sizeof user, word);
    return skep_str_eq(word, SKEP_STR("*")) || (e->host[0] && strcmp(e->host, s->host) == 0) ||
           skep_str_eq(skep_str(e->host), word) || (e->user[0] && strcmp(e->user, user) == 0);
}

unsigned guard_forget(struct guard *g, uint64_t now_ms, struct skep_str word)
{
    struct subject s;
    unsigned ended = 0;

    subject_init(g, &s, word, word);
    pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < g->sets * WAYS; i++) {
        struct entry *e = &g->entries[i];

        if (is_stale(e, now_ms) || !is_about(e, &s, word))
            continue;
        ended += e->banned_until_ms > now_ms;
        e->kind = FREE;
    }
    pthread_mutex_unlock(&g->lock);
    return ended;
}
