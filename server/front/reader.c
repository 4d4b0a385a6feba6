#include "front/reader.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "core/spill.h"

enum { REST_MS = 500 };

struct reader {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    bool stop;
    struct queue_read **asked; /* a ring */
    unsigned head, count, cap;
    struct broker *broker;
    struct store *store;
    void (*answer)(void *arg, struct queue_read *r);
    void *arg;
};

/* Mutex held. */
static struct queue_read *take(struct reader *r)
{
    struct queue_read *read = r->asked[r->head];

    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    return read;
}

/* Mutex held.  The disk refuses: who asked asks again, and is not answered at once. */
static void rest(struct reader *r)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += REST_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!r->stop && pthread_cond_timedwait(&r->work, &r->mutex, &until) == 0) {
    }
}

static void *run(void *reader)
{
    struct reader *r = reader;

    pthread_mutex_lock(&r->mutex);
    while (!r->stop) {
        if (r->count == 0) {
            pthread_cond_wait(&r->work, &r->mutex);
            continue;
        }
        struct queue_read *read = take(r);
        pthread_mutex_unlock(&r->mutex);
        bool done = queue_read_run(read, r->broker, r->store);
        pthread_mutex_lock(&r->mutex);
        if (!done)
            rest(r);
        r->answer(r->arg, read);
    }
    while (r->count > 0)
        r->answer(r->arg, take(r));
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

struct reader *reader_start(struct broker *b, struct store *store,
                            void (*answer)(void *arg, struct queue_read *r), void *arg)
{
    struct reader *r = xcalloc(1, sizeof *r);
    pthread_condattr_t attr;

    r->broker = b;
    r->store = store;
    r->answer = answer;
    r->arg = arg;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->work, &attr);
    pthread_condattr_destroy(&attr);
    ASSERT(pthread_create(&r->thread, NULL, run, r) == 0);
    return r;
}

void reader_stop(struct reader **reader)
{
    struct reader *r = *reader;

    if (!r)
        return;
    *reader = NULL;
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    pthread_mutex_destroy(&r->mutex);
    pthread_cond_destroy(&r->work);
    free(r->asked);
    free(r);
}

void reader_ask(struct reader *r, struct queue_read *read)
{
    pthread_mutex_lock(&r->mutex);
    if (r->count == r->cap) {
        unsigned cap = r->cap ? r->cap * 2 : 64;
        struct queue_read **asked = xmalloc(cap * sizeof(struct queue_read *));
        for (unsigned i = 0; i < r->count; i++)
            asked[i] = r->asked[(r->head + i) & (r->cap - 1)];
        free(r->asked);
        r->asked = asked;
        r->cap = cap;
        r->head = 0;
    }
    r->asked[(r->head + r->count++) & (r->cap - 1)] = read;
    pthread_cond_signal(&r->work);
    pthread_mutex_unlock(&r->mutex);
}
