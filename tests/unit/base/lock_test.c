/* The four-byte lock: it excludes, it wakes, it needs no setting up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "base/lock.h"

static struct lock lock; /* zero is free */

static void it_is_small_and_tells_who_came_first(void **state)
{
    assert_int_equal(sizeof(struct lock), 4);
    assert_true(lock_try(&lock));
    assert_false(lock_try(&lock));
    lock_drop(&lock);
    lock_take(&lock);
    assert_false(lock_try(&lock));
    lock_drop(&lock);
}

enum { THREADS = 4, ROUNDS = 50000 };

static uint64_t counter, inside; /* plain: only the lock keeps them right */

static void *count_run(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_take(&lock);
        assert_int_equal(inside++, 0);
        counter++;
        if (i % 1000 == 0)
            sched_yield(); /* so that others come to sleep */
        inside--;
        lock_drop(&lock);
    }
    return NULL;
}

static void one_at_a_time(void **state)
{
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_run, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter, THREADS * ROUNDS);
    assert_true(lock_try(&lock));
    lock_drop(&lock);
}

static _Atomic int woken;

static void *sleep_run(void *arg)
{
    lock_take(&lock);
    atomic_fetch_add(&woken, 1);
    lock_drop(&lock);
    return NULL;
}

/* State 2 says that somebody sleeps; dropping must then wake all, one after another. */
static void sleepers_are_woken(void **state)
{
    pthread_t threads[THREADS];
    lock_take(&lock);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sleep_run, NULL), 0);
    while (atomic_load(&lock.state) != 2)
        sched_yield();
    assert_int_equal(atomic_load(&woken), 0);
    lock_drop(&lock);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&woken), THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_small_and_tells_who_came_first),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(sleepers_are_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
