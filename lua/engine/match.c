#include "match.h"

#include <stdio.h>
#include <stdlib.h>

enum { CACHE_SLOTS = 256, CACHE_TOPIC = 112 };

struct node {
    struct skep_str level;
    struct node *child, *next; /* exact levels */
    struct node *plus;
    uint32_t *here, *below; /* handlers that end here; that end in # below */
    uint32_t here_count, below_count;
};

struct cached {
    uint64_t hash;
    uint32_t *handlers; /* NULL with a count of 0: nobody */
    uint16_t topic_len; /* 0: free */
    uint16_t count;
    char topic[CACHE_TOPIC];
};

struct match {
    struct node root;
    uint32_t *found;
    unsigned found_count, found_cap;
    unsigned handlers;
    uint64_t key;
    struct cached *cache; /* NULL until there is a handler */
};

static void *must(void *ptr)
{
    if (!ptr)
        abort();
    return ptr;
}

static char *dup_bytes(const char *ptr, size_t len)
{
    char *copy = must(malloc(len + 1));

    memcpy(copy, ptr, len);
    copy[len] = 0;
    return copy;
}

/* -- Filters with names -- */

static bool name_ok(struct skep_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!(c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0;
}

static bool next_level(struct skep_str *rest, struct skep_str *level, bool *more)
{
    const char *slash;

    if (!*more)
        return false;
    slash = rest->len ? memchr(rest->ptr, '/', rest->len) : NULL;
    level->ptr = rest->ptr;
    level->len = slash ? (size_t)(slash - rest->ptr) : rest->len;
    *more = slash != NULL;
    if (slash) {
        rest->len -= level->len + 1;
        rest->ptr = slash + 1;
    }
    return true;
}

/* "{room}" or "{rest...}" */
static int named_level(struct match_filter *f, struct skep_str level, unsigned at, bool last,
                       const char **stands_for, char *why, size_t why_size)
{
    struct skep_str name = skep_bytes(level.ptr + 1, level.len - 2);
    bool rest = name.len > 3 && memcmp(name.ptr + name.len - 3, "...", 3) == 0;

    if (rest)
        name.len -= 3;
    if (!name_ok(name))
        snprintf(why, why_size, "'%.*s' is not a name for a level", (int)level.len, level.ptr);
    else if (rest && !last)
        snprintf(why, why_size, "{%.*s...} has to be the last level", (int)name.len, name.ptr);
    else if (f->name_count == MATCH_NAMES)
        snprintf(why, why_size, "a filter has at most %d names", MATCH_NAMES);
    else {
        f->names[f->name_count] = dup_bytes(name.ptr, name.len);
        f->levels[f->name_count++] = (uint8_t)at;
        f->rest |= rest;
        *stands_for = rest ? "#" : "+";
        return 0;
    }
    return SKEP_E_INVALID;
}

int match_filter_parse(struct match_filter *f, struct skep_str text, char *why, size_t why_size)
{
    struct skep_str rest = text, level;
    bool more = true;
    size_t len = 0;
    unsigned at = 0;

    *f = (struct match_filter){.filter = must(malloc(text.len + 2))};
    while (next_level(&rest, &level, &more)) {
        const char *word = level.ptr;
        size_t word_len = level.len;
        bool named = level.len >= 2 && level.ptr[0] == '{' && level.ptr[level.len - 1] == '}';
        if (at == MATCH_LEVELS) {
            snprintf(why, why_size, "more than %d levels", MATCH_LEVELS);
            goto fail;
        }
        if (named) {
            if (named_level(f, level, at, !more, &word, why, why_size) < 0)
                goto fail;
            word_len = 1;
        }
        if (!named && (memchr(level.ptr, '{', level.len) || memchr(level.ptr, '}', level.len))) {
            snprintf(why, why_size, "'%.*s': a named level is {name}, and the whole level",
                     (int)level.len, level.ptr);
            goto fail;
        }
        if (at++ > 0)
            f->filter[len++] = '/';
        memcpy(f->filter + len, word, word_len);
        len += word_len;
    }
    f->filter[len] = 0;
    if (skep_topic_valid(skep_bytes(f->filter, len), false))
        return 0;
    snprintf(why, why_size, "'%s' is not a topic filter", f->filter);
fail:
    match_filter_fini(f);
    return SKEP_E_INVALID;
}

void match_filter_fini(struct match_filter *f)
{
    for (unsigned i = 0; i < f->name_count; i++)
        free(f->names[i]);
    free(f->filter);
    *f = (struct match_filter){0};
}

struct skep_str match_capture(const struct match_filter *f, unsigned i, struct skep_str topic)
{
    struct skep_str rest = topic, level = {0};
    bool more = true;

    for (unsigned at = 0; at <= f->levels[i]; at++) {
        struct skep_str before = rest;
        if (!next_level(&rest, &level, &more))
            return skep_bytes("", 0); /* "a/#" also matches "a" */
        if (at == f->levels[i] && f->rest && i == f->name_count - 1)
            return before;
    }
    return level;
}

/* -- The tree -- */

static struct node *node_child(struct node *n, struct skep_str level)
{
    for (struct node *c = n->child; c; c = c->next) {
        if (skep_str_eq(c->level, level))
            return c;
    }
    return NULL;
}

static struct node *node_make(struct node *n, struct skep_str level)
{
    bool plus = skep_str_eq(level, SKEP_STR("+"));
    struct node *c = plus ? n->plus : node_child(n, level);

    if (c)
        return c;
    c = must(calloc(1, sizeof *c));
    c->level = skep_bytes(dup_bytes(level.ptr, level.len), level.len);
    if (plus) {
        n->plus = c;
    } else {
        c->next = n->child;
        n->child = c;
    }
    return c;
}

static void put(uint32_t **list, uint32_t *count, uint32_t handler)
{
    *list = must(realloc(*list, (*count + 1) * sizeof **list));
    (*list)[(*count)++] = handler;
}

struct match *match_new(void)
{
    struct match *m = must(calloc(1, sizeof *m));

    m->key = (uint64_t)(uintptr_t)m * UINT64_C(0x9e3779b97f4a7c15);
    return m;
}

static void cache_clear(struct match *m)
{
    for (unsigned i = 0; m->cache && i < CACHE_SLOTS; i++) {
        free(m->cache[i].handlers);
        m->cache[i] = (struct cached){0};
    }
}

static void node_fini(struct node *n)
{
    while (n->child) {
        struct node *c = n->child;
        n->child = c->next;
        node_fini(c);
        free(c);
    }
    if (n->plus) {
        node_fini(n->plus);
        free(n->plus);
    }
    free((char *)n->level.ptr);
    free(n->here);
    free(n->below);
}

void match_free(struct match **mp)
{
    struct match *m = *mp;

    if (!m)
        return;
    cache_clear(m);
    node_fini(&m->root);
    free(m->cache);
    free(m->found);
    free(m);
    *mp = NULL;
}

void match_add(struct match *m, struct skep_str filter, uint32_t handler)
{
    struct node *n = &m->root;
    struct skep_str rest = filter, level;
    bool more = true;

    if (!m->cache)
        m->cache = must(calloc(CACHE_SLOTS, sizeof *m->cache));
    cache_clear(m);
    m->handlers++;
    while (next_level(&rest, &level, &more)) {
        if (skep_str_eq(level, SKEP_STR("#"))) {
            put(&n->below, &n->below_count, handler);
            return;
        }
        n = node_make(n, level);
    }
    put(&n->here, &n->here_count, handler);
}

static void take(struct match *m, const uint32_t *list, uint32_t count)
{
    if (m->found_count + count > m->found_cap) {
        m->found_cap = m->found_count + count + 16;
        m->found = must(realloc(m->found, m->found_cap * sizeof *m->found));
    }
    if (count > 0)
        memcpy(m->found + m->found_count, list, count * sizeof *list);
    m->found_count += count;
}

/* [MQTT-4.7.2-1]: wildcards at the first level do not see topics that begin with $. */
static void walk(struct match *m, const struct node *n, struct skep_str rest, bool more,
                 bool hidden)
{
    struct skep_str level;
    const struct node *c;

    if (!hidden)
        take(m, n->below, n->below_count);
    if (!next_level(&rest, &level, &more)) {
        take(m, n->here, n->here_count);
        return;
    }
    if ((c = node_child((struct node *)n, level)) != NULL)
        walk(m, c, rest, more, false);
    if (n->plus && !hidden)
        walk(m, n->plus, rest, more, false);
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void search(struct match *m, struct skep_str topic)
{
    m->found_count = 0;
    walk(m, &m->root, topic, true, topic.len > 0 && topic.ptr[0] == '$');
    if (m->found_count > 1)
        qsort(m->found, m->found_count, sizeof *m->found, by_number);
}

static uint64_t topic_hash(const struct match *m, struct skep_str topic)
{
    uint64_t h = m->key ^ topic.len;
    size_t i = 0;

    for (; i + 8 <= topic.len; i += 8) {
        uint64_t word;
        memcpy(&word, topic.ptr + i, 8);
        h = (h ^ word) * UINT64_C(0x9fb21c651e98df25);
        h ^= h >> 32;
    }
    for (; i < topic.len; i++)
        h = (h ^ (uint8_t)topic.ptr[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

static void remember(struct match *m, struct cached *c, uint64_t hash, struct skep_str topic)
{
    free(c->handlers);
    c->handlers = NULL;
    c->hash = hash;
    c->topic_len = (uint16_t)topic.len;
    c->count = (uint16_t)m->found_count;
    memcpy(c->topic, topic.ptr, topic.len);
    if (m->found_count > 0) {
        c->handlers = must(malloc(m->found_count * sizeof *c->handlers));
        memcpy(c->handlers, m->found, m->found_count * sizeof *c->handlers);
    }
}

unsigned match_find(struct match *m, struct skep_str topic, const uint32_t **out)
{
    if (m->handlers == 0)
        return 0;
    if (topic.len == 0 || topic.len > CACHE_TOPIC) {
        search(m, topic);
        *out = m->found;
        return m->found_count;
    }
    uint64_t hash = topic_hash(m, topic);
    struct cached *c = &m->cache[hash & (CACHE_SLOTS - 1)];
    if (c->hash != hash || c->topic_len != topic.len ||
        memcmp(c->topic, topic.ptr, topic.len) != 0) {
        search(m, topic);
        if (m->found_count > UINT16_MAX) {
            *out = m->found;
            return m->found_count;
        }
        remember(m, c, hash, topic);
    }
    *out = c->handlers;
    return c->count;
}
