#include "base/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/pool_class.h"

struct pool_object {
    struct pool_object *next;
};

struct pool_list {
    struct pool_object *first;
    size_t bytes;
};

static _Thread_local struct {
    struct pool_list lists[POOL_CLASSES];
    size_t bytes;
    bool known; /* the thread's end will call list_empty_all */
} mine;

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void list_empty(struct pool_list *list)
{
    while (list->first) {
        struct pool_object *o = list->first;
        list->first = o->next;
        free(o);
    }
    mine.bytes -= list->bytes;
    list->bytes = 0;
}

void pool_trim(void)
{
    for (unsigned i = 0; i < POOL_CLASSES; i++)
        list_empty(&mine.lists[i]);
}

static void at_thread_end(void *unused)
{
    pool_trim();
    mine.known = false;
}

static void key_create(void)
{
    pthread_key_create(&thread_end, at_thread_end);
}

/* Off the hot path: runs once a thread, before its first object is kept. */
static __attribute__((noinline)) void thread_begin(void)
{
    pthread_once(&once, key_create);
    pthread_setspecific(thread_end, &mine);
    mine.known = true;
}

void *pool_alloc(size_t size, uint8_t *size_class)
{
    if (UNLIKELY(size > POOL_MAX)) {
        *size_class = POOL_LARGE;
        return malloc(size);
    }
    unsigned c = pool_class_of(size);
    struct pool_list *list = &mine.lists[c];
    struct pool_object *o = list->first;

    *size_class = (uint8_t)c;
    if (UNLIKELY(!o))
        return malloc(pool_size_of(c));
    list->first = o->next;
    list->bytes -= pool_size_of(c);
    mine.bytes -= pool_size_of(c);
    return o;
}

void pool_free(void *object, uint8_t size_class)
{
    if (UNLIKELY(size_class == POOL_LARGE)) {
        free(object);
        return;
    }
    struct pool_list *list = &mine.lists[size_class];
    size_t size = pool_size_of(size_class);

    if (UNLIKELY(list->bytes + size > POOL_CLASS_BYTES)) {
        free(object);
        return;
    }
    /* Full of sizes that traffic has moved away from: start over rather than track ages. */
    if (UNLIKELY(mine.bytes + size > POOL_THREAD_BYTES))
        pool_trim();
    if (UNLIKELY(!mine.known))
        thread_begin();
    struct pool_object *o = object;
    o->next = list->first;
    list->first = o;
    list->bytes += size;
    mine.bytes += size;
}

uint8_t pool_class(size_t size)
{
    return size > POOL_MAX ? POOL_LARGE : (uint8_t)pool_class_of(size);
}

size_t pool_class_size(uint8_t size_class)
{
    return size_class == POOL_LARGE ? 0 : pool_size_of(size_class);
}

size_t pool_kept_bytes(void)
{
    return mine.bytes;
}
