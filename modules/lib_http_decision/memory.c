#include "lib_http_decision/memory.h"

#include <openssl/rand.h>
#include <stdlib.h>

static void print_text(EVP_MD_CTX *md, const char *text)
{
    /* the terminator too: what is next to it stays apart; NULL is not "" */
    EVP_DigestUpdate(md, text ? text : "\001", text ? strlen(text) + 1 : 2);
}

static void print_lines(EVP_MD_CTX *md, const struct skep_lines *lines)
{
    EVP_DigestUpdate(md, &lines->count, sizeof lines->count);
    for (size_t i = 0; i < lines->count; i++) {
        for (size_t k = 0; k < lines->items[i].count; k++)
            print_text(md, lines->items[i].items[k]);
    }
}

static void print_secret(EVP_MD_CTX *md, const struct skep_secret *secret)
{
    EVP_DigestUpdate(md, &secret->value.len, sizeof secret->value.len);
    EVP_DigestUpdate(md, secret->value.ptr, secret->value.len);
}

/* Whoever asks otherwise, or of somebody else, must not find these answers. */
static bool print_options(const struct ask_conf *c, unsigned char out[32])
{
    const uint64_t numbers[] = {(uint64_t)c->format,   (uint64_t)c->answer, c->verify,
                                c->cache_size,         c->cache_memory,     c->breaker.failures,
                                c->breaker.rate,       c->breaker.window,   c->breaker.pause,
                                (uint64_t)c->acl_rest, c->superuser};
    const char *const texts[] = {c->url, c->method,      c->body, c->content_type,
                                 c->ca,  c->certificate, c->key,  c->user};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

    if (good) {
        EVP_DigestUpdate(md, numbers, sizeof numbers);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            print_text(md, texts[i]);
        print_lines(md, &c->field);
        print_lines(md, &c->header);
        print_secret(md, &c->bearer);
        print_secret(md, &c->password);
        good = EVP_DigestFinal_ex(md, out, NULL);
    }
    EVP_MD_CTX_free(md);
    return good;
}

struct memory *memory_new(const struct ask_conf *conf)
{
    struct memory *m = calloc(1, sizeof *m);
    unsigned char secret[QUESTION_KEY];
    const struct breaker_conf breaker = {.failures = conf->breaker.failures,
                                         .percent = conf->breaker.rate,
                                         .window = conf->breaker.window,
                                         .pause_ms = conf->breaker.pause};

    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    breaker_init(&m->breaker, &breaker);
    m->cache = cache_new(conf->cache_size, conf->cache_memory);
    if (RAND_bytes(secret, sizeof secret) == 1)
        m->keyed = question_keyed(secret);
    OPENSSL_cleanse(secret, sizeof secret);
    if (!m->cache || !m->keyed || !print_options(conf, m->print)) {
        memory_unref(m);
        return NULL;
    }
    return m;
}

struct memory *memory_ref(struct memory *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void memory_unref(struct memory *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    EVP_MAC_CTX_free(m->keyed);
    cache_free(&m->cache);
    breaker_fini(&m->breaker);
    free(m);
}
