#include "base/qsbr.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/mem.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct qsbr_slot *slots;
static _Atomic uint64_t epoch = 1;

/* Between a thread's coming online and its reads, and between a writer's unlinking and its
 * look at the slots: of two threads that meet one is first, so that either the reader
 * sees what is unlinked or the writer sees the reader.  Nothing less orders a store before a
 * load; adding to the epoch would, but all loops share that line (110 ns a wake against
 * 25 while another thread retires). */
static void store_before_load(void)
{
/* ThreadSanitizer does not follow fences.  It need not: who wins is all this one decides. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
    atomic_thread_fence(memory_order_seq_cst);
}

void qsbr_join(struct qsbr_slot *slot)
{
    *slot = (struct qsbr_slot){0};
    pthread_mutex_lock(&list_lock);
    slot->next = slots;
    slots = slot;
    pthread_mutex_unlock(&list_lock);
    qsbr_online(slot);
}

void qsbr_online(struct qsbr_slot *slot)
{
    atomic_store_explicit(&slot->seen, atomic_load(&epoch), memory_order_release);
    store_before_load();
}

void qsbr_offline(struct qsbr_slot *slot)
{
    atomic_store_explicit(&slot->seen, 0, memory_order_release);
}

/* The oldest epoch some online thread may still be reading in. */
static uint64_t oldest_seen(void)
{
    store_before_load();
    uint64_t oldest = atomic_load(&epoch);
    pthread_mutex_lock(&list_lock);
    for (struct qsbr_slot *s = slots; s; s = s->next) {
        uint64_t seen = atomic_load(&s->seen);
        if (seen != 0 && seen < oldest)
            oldest = seen;
    }
    pthread_mutex_unlock(&list_lock);
    return oldest;
}

static void run_safe(struct qsbr_slot *slot)
{
    uint64_t oldest = oldest_seen();

    while (slot->count > 0 && slot->items[slot->head].epoch < oldest) {
        struct qsbr_item item = slot->items[slot->head];
        slot->head = (slot->head + 1) & (slot->cap - 1);
        slot->count--;
        item.fn(item.object);
    }
    if (slot->count == 0 && slot->cap > 1024) {
        free(slot->items);
        slot->items = NULL;
        slot->head = slot->cap = 0;
    }
}

void qsbr_quiescent(struct qsbr_slot *slot)
{
    /* Was online and stays so: until the store is seen, the older epoch holds up more. */
    atomic_store(&slot->seen, atomic_load(&epoch));
    if (UNLIKELY(slot->count > 0))
        run_safe(slot);
}

static void items_grow(struct qsbr_slot *slot)
{
    size_t cap = slot->cap ? slot->cap * 2 : 64;
    struct qsbr_item *items = xmalloc(cap * sizeof *items);
    for (size_t i = 0; i < slot->count; i++)
        items[i] = slot->items[(slot->head + i) & (slot->cap - 1)];
    free(slot->items);
    slot->items = items;
    slot->head = 0;
    slot->cap = cap;
}

void qsbr_retire(struct qsbr_slot *slot, void *object, qsbr_free_fn *fn)
{
    if (slot->count == slot->cap)
        items_grow(slot);
    /* Readers that saw an epoch above this one cannot hold the object. */
    uint64_t e = atomic_fetch_add(&epoch, 1);
    slot->items[(slot->head + slot->count) & (slot->cap - 1)] = (struct qsbr_item){object, fn, e};
    slot->count++;
}

void qsbr_synchronize(struct qsbr_slot *slot)
{
    uint64_t e = atomic_fetch_add(&epoch, 1);
    qsbr_offline(slot);
    while (oldest_seen() <= e)
        sched_yield();
    qsbr_online(slot);
}

void qsbr_leave(struct qsbr_slot *slot)
{
    /* What is freed may retire more. */
    while (slot->count > 0) {
        qsbr_synchronize(slot);
        run_safe(slot);
    }
    qsbr_offline(slot);
    pthread_mutex_lock(&list_lock);
    for (struct qsbr_slot **p = &slots; *p; p = &(*p)->next) {
        if (*p == slot) {
            *p = slot->next;
            break;
        }
    }
    pthread_mutex_unlock(&list_lock);
    free(slot->items);
    slot->items = NULL;
    slot->cap = slot->head = 0;
}
