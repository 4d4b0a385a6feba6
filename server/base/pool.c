/* Two batches of each class belong to a thread, as in a magazine allocator: it works on one and
 * keeps the other against going back and forth at the edge.  Full and empty batches are
 * exchanged with the depot, one short lock for dozens of objects.  So objects that are made by one
 * thread and dropped by another come back without a call of malloc: 24 ns of CPU a message
 * against 120 with freelists of the threads alone (skep-index-bench). */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/mem.h"
#include "base/pool_class.h"

struct pool_object {
    struct pool_object *next;
    struct pool_object *batch; /* in the depot: the next batch */
};

struct pool_list {
    struct pool_object *first, *spare; /* spare: a full batch or NULL */
    uint32_t count, room;              /* objects in first; a batch's, 0 before thread_begin */
};

static _Thread_local struct pool_list lists[POOL_CLASSES];

static struct depot {
    struct lock lock;
    struct pool_object *batches;
} __attribute__((aligned(64))) depots[POOL_CLASSES];

static _Atomic size_t depot_bytes;

static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Objects in a batch. */
static uint32_t batch_size(unsigned c)
{
    size_t fit = POOL_BATCH_BYTES / pool_size_of(c);
    return fit > 64 ? 64 : fit < 2 ? 2 : (uint32_t)fit;
}

static void chain_free(struct pool_object *o)
{
    while (o) {
        struct pool_object *next = o->next;
        free(o);
        o = next;
    }
}

/* -- The depot -- */

static void depot_put(unsigned c, struct pool_object *batch)
{
    size_t bytes = batch_size(c) * pool_size_of(c);

    if (atomic_fetch_add_explicit(&depot_bytes, bytes, memory_order_relaxed) + bytes >
        POOL_DEPOT_BYTES) {
        atomic_fetch_sub_explicit(&depot_bytes, bytes, memory_order_relaxed);
        chain_free(batch);
        return;
    }
    lock_take(&depots[c].lock);
    batch->batch = depots[c].batches;
    depots[c].batches = batch;
    lock_drop(&depots[c].lock);
}

static struct pool_object *depot_take(unsigned c)
{
    lock_take(&depots[c].lock);
    struct pool_object *batch = depots[c].batches;
    if (batch)
        depots[c].batches = batch->batch;
    lock_drop(&depots[c].lock);
    if (batch)
        atomic_fetch_sub_explicit(&depot_bytes, batch_size(c) * pool_size_of(c),
                                  memory_order_relaxed);
    return batch;
}

/* -- The thread -- */

static void lists_empty(void)
{
    for (unsigned c = 0; c < POOL_CLASSES; c++) {
        chain_free(lists[c].first);
        chain_free(lists[c].spare);
        lists[c].first = lists[c].spare = NULL;
        lists[c].count = 0;
    }
}

void pool_trim(void)
{
    lists_empty();
    for (unsigned c = 1; c < POOL_CLASSES; c++)
        for (struct pool_object *batch; (batch = depot_take(c)) != NULL;)
            chain_free(batch);
}

static void at_thread_end(void *unused)
{
    lists_empty();
    /* A destructor that runs later and frees into the pool begins anew. */
    for (unsigned c = 0; c < POOL_CLASSES; c++)
        lists[c].room = 0;
}

static void key_create(void)
{
    pthread_key_create(&thread_end, at_thread_end);
}

/* Before the thread keeps its first object. */
static void thread_begin(void)
{
    pthread_once(&once, key_create);
    pthread_setspecific(thread_end, lists);
    for (unsigned c = 1; c < POOL_CLASSES; c++)
        lists[c].room = batch_size(c);
}

/* The list has nothing: the spare batch, one from the depot, or one object from malloc. */
static __attribute__((noinline)) void *list_refill(struct pool_list *list, unsigned c)
{
    struct pool_object *o = list->spare;

    list->spare = NULL;
    if (!list->room)
        thread_begin();
    if (!o && (o = depot_take(c)) == NULL)
        return malloc(pool_size_of(c));
    list->first = o->next;
    list->count = list->room - 1;
    return o;
}

/* The list has a full batch: it becomes the spare one, and that goes to the depot. */
static __attribute__((noinline)) void list_spill(struct pool_list *list, unsigned c)
{
    if (!list->room) {
        thread_begin();
        return;
    }
    if (list->spare)
        depot_put(c, list->spare);
    list->spare = list->first;
    list->first = NULL;
    list->count = 0;
}

void *pool_alloc(size_t size, uint8_t *size_class)
{
    if (UNLIKELY(size > POOL_MAX)) {
        *size_class = POOL_LARGE;
        return malloc(size);
    }
    unsigned c = pool_class_of(size);
    struct pool_list *list = &lists[c];
    struct pool_object *o = list->first;

    *size_class = (uint8_t)c;
    if (UNLIKELY(!o))
        return list_refill(list, c);
    list->first = o->next;
    list->count--;
    return o;
}

void pool_free(void *object, uint8_t size_class)
{
    if (UNLIKELY(size_class == POOL_LARGE)) {
        free(object);
        return;
    }
    struct pool_list *list = &lists[size_class];
    struct pool_object *o = object;

    if (UNLIKELY(list->count == list->room))
        list_spill(list, size_class);
    o->next = list->first;
    list->first = o;
    list->count++;
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
    size_t bytes = 0;
    for (unsigned c = 1; c < POOL_CLASSES; c++)
        bytes += (lists[c].count + (lists[c].spare ? lists[c].room : 0)) * pool_size_of(c);
    return bytes;
}
