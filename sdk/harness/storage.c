/* host/storage.h in memory: no file, and no thread that commits.  What is set is there at once;
 * `done` comes in a later turn of the loop that asked, as it does in the broker.  It lasts as long
 * as the test's world: over reloads, not over skep_test_free(). */
#include <skep/storage.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "host/instance.h"
#include "host/refuse.h"
#include "host/storage.h"
#include "net/loop.h"
#include "world.h"

struct pair {
    struct pair *next; /* in the order of modules, then keys */
    char *module;
    struct str key, value;
};

static struct pair *pairs;

static int order(const char *module, struct str key, const struct pair *p)
{
    int by_module = strcmp(module, p->module);

    if (by_module)
        return by_module;
    size_t len = key.len < p->key.len ? key.len : p->key.len;
    int by_key = memcmp(key.ptr, p->key.ptr, len);
    return by_key ? by_key : (key.len > p->key.len) - (key.len < p->key.len);
}

/* Where it is, or would be. */
static struct pair **place_of(const char *module, struct str key)
{
    struct pair **at = &pairs;

    while (*at && order(module, key, *at) > 0)
        at = &(*at)->next;
    return at;
}

static bool is_at(struct pair *const *at, const char *module, struct str key)
{
    return *at && order(module, key, *at) == 0;
}

static void take_away(struct pair **at)
{
    struct pair *p = *at;

    *at = p->next;
    free(p->module);
    free((char *)p->key.ptr);
    free((char *)p->value.ptr);
    free(p);
}

void world_storage_reset(void)
{
    while (pairs)
        take_away(&pairs);
}

/* -- <skep/storage.h> -- */

struct told {
    struct loop_task task;
    struct skep_module *module;
    void (*done)(void *arg, int error);
    void *arg;
};

static void tell(struct loop_task *task, struct loop *l)
{
    struct told *t = CONTAINER_OF(task, struct told, task);

    t->done(t->arg, 0);
    instance_release(t->module);
    free(t);
}

static void put(const char *module, struct str key, struct str value)
{
    struct pair **at = place_of(module, key), *p;

    if (is_at(at, module, key))
        take_away(at);
    if (!value.ptr)
        return;
    p = xcalloc(1, sizeof *p);
    *p = (struct pair){.next = *at,
                       .module = str_dup(str_of(module)),
                       .key = {str_dup(key), key.len},
                       .value = {str_dup(value), value.len}};
    *at = p;
}

static bool valid_key(struct skep_str key)
{
    return key.len >= 1 && key.len <= STORAGE_KEY_MAX;
}

int skep_storage_set(struct skep_module *m, struct skep_str key, struct skep_str value,
                     void (*done)(void *arg, int error), void *arg)
{
    if (!valid_key(key) || value.len > STORAGE_VALUE_MAX || (!value.ptr && value.len))
        return SKEP_E_INVALID;
    if (host_refuses())
        return SKEP_E_LIMIT;
    put(m->name, (struct str){key.ptr, key.len}, (struct str){value.ptr, value.len});
    if (!done)
        return 0;
    struct told *t = xcalloc(1, sizeof *t);
    *t = (struct told){.task = {.run = tell}, .module = m, .done = done, .arg = arg};
    instance_hold(m);
    loop_post(host_place(m->host)->loop, &t->task);
    return 0;
}

int64_t skep_storage_get(struct skep_module *m, struct skep_str key, void *buf, size_t cap)
{
    struct str k = {key.ptr, key.len};
    struct pair **at;

    if (!valid_key(key))
        return SKEP_E_INVALID;
    at = place_of(m->name, k);
    if (!is_at(at, m->name, k))
        return SKEP_E_NOT_FOUND;
    size_t n = (*at)->value.len < cap ? (*at)->value.len : cap;
    if (n)
        memcpy(buf, (*at)->value.ptr, n);
    return (int64_t)(*at)->value.len;
}

int skep_storage_each(struct skep_module *m, struct skep_str from,
                      bool (*each)(struct skep_str key, struct skep_str value, void *arg),
                      void *arg)
{
    struct pair *p = *place_of(m->name, (struct str){from.ptr ? from.ptr : "", from.len});

    for (; p && strcmp(p->module, m->name) == 0; p = p->next) {
        if (!each(skep_bytes(p->key.ptr, p->key.len), skep_bytes(p->value.ptr, p->value.len), arg))
            break;
    }
    return 0;
}

/* -- host/storage.h: there is nothing to open -- */

struct host_storage *storage_new(struct host *h)
{
    return NULL;
}

void storage_flush(struct host_storage *s)
{
}

void storage_free(struct host_storage **s)
{
}

void storage_stats_now(struct host *h, struct storage_stats *out)
{
    *out = (struct storage_stats){.open = false};
}
