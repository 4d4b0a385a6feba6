/* Reclamation: nothing goes while a reader may hold it, all goes in the end, sleepers do not
 * hold it up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/qsbr.h"

static unsigned freed;

static void count_free(void *object)
{
    freed++;
    free(object);
}

static void alone_a_quiescent_state_is_enough(void **state)
{
    struct qsbr_slot me;
    freed = 0;
    qsbr_join(&me);
    for (unsigned i = 0; i < 1000; i++)
        qsbr_retire(&me, xmalloc(8), count_free);
    assert_int_equal(freed, 0);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 1000);
    qsbr_leave(&me);
}

static void a_reader_holds_it_up(void **state)
{
    struct qsbr_slot me, other;
    freed = 0;
    qsbr_join(&me);
    qsbr_join(&other);
    qsbr_retire(&me, xmalloc(8), count_free);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 0);
    qsbr_quiescent(&other);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 1);

    /* Later ones wait for their own turn. */
    qsbr_retire(&me, xmalloc(8), count_free);
    qsbr_quiescent(&other);
    qsbr_retire(&me, xmalloc(8), count_free);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 2);
    qsbr_quiescent(&other);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 3);
    qsbr_offline(&other);
    qsbr_leave(&other);
    qsbr_leave(&me);
}

static void who_sleeps_holds_nothing(void **state)
{
    struct qsbr_slot me, other;
    freed = 0;
    qsbr_join(&me);
    qsbr_join(&other);
    qsbr_offline(&other);
    qsbr_retire(&me, xmalloc(8), count_free);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 1);
    /* Back before the next is retired: counts again. */
    qsbr_online(&other);
    qsbr_retire(&me, xmalloc(8), count_free);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 1);
    qsbr_offline(&other);
    qsbr_quiescent(&me);
    assert_int_equal(freed, 2);
    qsbr_leave(&other);
    qsbr_leave(&me);
}

static struct qsbr_slot chained;

static void retire_another(void *object)
{
    if (++freed < 5)
        qsbr_retire(&chained, object, retire_another);
    else
        free(object);
}

static void leaving_frees_everything(void **state)
{
    freed = 0;
    qsbr_join(&chained);
    qsbr_retire(&chained, xmalloc(8), retire_another);
    qsbr_leave(&chained);
    assert_int_equal(freed, 5);
}

/* -- Threads: a pointer that is replaced all the time -- */

enum { READERS = 3, ROUNDS = 20000, ALIVE = 0x600d, DEAD = 0xdead };

struct box {
    unsigned state;
};

static _Atomic(struct box *) shared;
static _Atomic int readers_left;

static void box_free(void *object)
{
    struct box *b = object;
    b->state = DEAD; /* a reader that still looks is caught, also without AddressSanitizer */
    free(b);
}

static struct box *box_new(void)
{
    struct box *b = xmalloc(sizeof *b);
    b->state = ALIVE;
    return b;
}

static void *reader_run(void *arg)
{
    struct qsbr_slot me;
    qsbr_join(&me);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct box *a = atomic_load(&shared), *b = atomic_load(&shared);
        if (i % 100 == 0)
            sched_yield();
        assert_int_equal(a->state, ALIVE);
        assert_int_equal(b->state, ALIVE);
        qsbr_quiescent(&me);
        if (i % 64 == 0) {
            qsbr_offline(&me);
            sched_yield();
            qsbr_online(&me);
        }
    }
    qsbr_leave(&me);
    atomic_fetch_sub(&readers_left, 1);
    return NULL;
}

static void readers_never_see_what_was_freed(void **state)
{
    struct qsbr_slot me;
    pthread_t threads[READERS];

    qsbr_join(&me);
    atomic_store(&shared, box_new());
    atomic_store(&readers_left, READERS);
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, NULL), 0);
    while (atomic_load(&readers_left) > 0) {
        qsbr_retire(&me, atomic_exchange(&shared, box_new()), box_free);
        qsbr_quiescent(&me);
    }
    qsbr_offline(&me);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    qsbr_online(&me);
    free(atomic_load(&shared));
    qsbr_leave(&me);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_a_quiescent_state_is_enough),
        cmocka_unit_test(a_reader_holds_it_up),
        cmocka_unit_test(who_sleeps_holds_nothing),
        cmocka_unit_test(leaving_frees_everything),
        cmocka_unit_test(readers_never_see_what_was_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
