/* The lock-free set: what stays in it is always found, what left is not, memory follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/qset.h"

struct thing {
    uint64_t key;
    _Atomic uint32_t alive;
};

/* Few distinct hashes in the crowded tests, so that runs are long and tags equal. */
static uint64_t hash_mask = UINT64_MAX;

static uint64_t key_hash(uint64_t key)
{
    return hash_bytes(&key, sizeof key) & hash_mask;
}

static uint64_t thing_hash(const void *object)
{
    return key_hash(((const struct thing *)object)->key);
}

static struct thing *thing_find(struct qset *set, uint64_t key)
{
    struct qset_probe p = qset_find(set, key_hash(key));
    for (struct thing *t; (t = qset_next(&p)) != NULL;)
        if (t->key == key)
            return t;
    return NULL;
}

static void count_one(void *arg, void *object)
{
    ++*(uint64_t *)arg;
}

static uint64_t rng = 1181783497276652981u;

static uint64_t random_u64(void)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return rng;
}

static void random_changes(uint64_t mask)
{
    enum { N = 3000 };
    struct thing *things = xcalloc(N, sizeof *things);
    struct qsbr_slot slot;
    struct qset set;
    uint64_t alive = 0, seen = 0;

    hash_mask = mask;
    qsbr_join(&slot);
    qset_init(&set, thing_hash);
    for (unsigned i = 0; i < N; i++)
        things[i].key = i;
    for (unsigned step = 0; step < 100000; step++) {
        /* waves, so that it grows and shrinks */
        unsigned few = step / 20000 % 2 ? N : N / 50;
        struct thing *t = &things[random_u64() % N];
        if (!t->alive && random_u64() % N < few) {
            qset_add(&set, &slot, thing_hash(t), t);
            t->alive = 1;
            alive++;
        } else if (t->alive) {
            qset_remove(&set, &slot, thing_hash(t), t);
            t->alive = 0;
            alive--;
        }
        struct thing *other = &things[random_u64() % N];
        assert_ptr_equal(thing_find(&set, other->key), other->alive ? other : NULL);
        assert_int_equal(set.count, alive);
        qsbr_quiescent(&slot);
    }
    qset_each(&set, count_one, &seen);
    assert_int_equal(seen, alive);
    for (unsigned i = 0; i < N; i++)
        if (things[i].alive)
            qset_remove(&set, &slot, thing_hash(&things[i]), &things[i]);
    assert_int_equal(set.count, 0);
    assert_true(set.bytes <= QSET_SHARDS * 8 * sizeof(uint64_t));
    qset_fini(&set);
    qsbr_leave(&slot);
    free(things);
    hash_mask = UINT64_MAX;
}

static void random_changes_are_kept(void **state)
{
    random_changes(UINT64_MAX);
}

static void crowded_runs_are_kept(void **state)
{
    random_changes(0x01ffff000000000fu);
}

static void memory_is_about_two_words_an_object(void **state)
{
    enum { N = 200000 };
    struct thing *things = xcalloc(N, sizeof *things);
    struct qsbr_slot slot;
    struct qset set;

    qsbr_join(&slot);
    qset_init(&set, thing_hash);
    for (unsigned i = 0; i < N; i++) {
        things[i].key = i;
        qset_add(&set, &slot, thing_hash(&things[i]), &things[i]);
        qsbr_quiescent(&slot);
    }
    assert_true(set.bytes < (uint64_t)N * 24);
    qset_fini(&set);
    qsbr_leave(&slot);
    free(things);
}

/* What stands in the place of another is found by its hash, and room made is room kept. */
static void a_replacement_takes_the_place(void **state)
{
    enum { N = 1000 };
    static struct thing old[N], fresh[N];
    struct qsbr_slot slot;
    struct qset set;

    qsbr_join(&slot);
    qset_init(&set, thing_hash);
    for (unsigned i = 0; i < N; i++) {
        old[i].key = fresh[i].key = i;
        qset_reserve(&set, &slot, key_hash(i));
        uint64_t bytes = set.bytes;
        qset_add(&set, &slot, key_hash(i), &old[i]);
        assert_int_equal(set.bytes, bytes);
    }
    for (unsigned i = 0; i < N; i += 2)
        qset_replace(&set, key_hash(i), &old[i], &fresh[i]);
    assert_int_equal(set.count, N);
    for (unsigned i = 0; i < N; i++)
        assert_ptr_equal(thing_find(&set, i), i % 2 ? &old[i] : &fresh[i]);
    qset_fini(&set);
    qsbr_leave(&slot);
}

/* -- Readers beside a writer -- */

enum { STAYING = 500, COMING = 2000, READERS = 3, ROUNDS = 60000 };

static struct qset shared;
static struct thing staying[STAYING];
static _Atomic int stop;

static void *reader_run(void *arg)
{
    struct qsbr_slot slot;
    uint64_t n = 0, x = (uintptr_t)arg * 2654435761u + 1;

    qsbr_join(&slot);
    while (!atomic_load(&stop)) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        uint64_t key = (x >> 33) % (STAYING + COMING);
        struct thing *t = thing_find(&shared, key);
        if (key < STAYING)
            assert_ptr_equal(t, &staying[key]);
        else if (t)
            assert_int_equal(t->key, key);
        if (++n % 16 == 0)
            qsbr_quiescent(&slot);
    }
    qsbr_leave(&slot);
    return NULL;
}

static void readers_always_find_what_stays(void **state)
{
    static struct thing *coming[COMING];
    struct qsbr_slot slot;
    pthread_t threads[READERS];

    qsbr_join(&slot);
    qset_init(&shared, thing_hash);
    for (unsigned i = 0; i < STAYING; i++) {
        staying[i].key = i;
        qset_add(&shared, &slot, thing_hash(&staying[i]), &staying[i]);
    }
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, (void *)i), 0);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)(random_u64() % COMING);
        if (coming[i]) {
            qset_remove(&shared, &slot, thing_hash(coming[i]), coming[i]);
            qsbr_retire(&slot, coming[i], free);
            coming[i] = NULL;
        } else if (random_u64() % COMING < (round / 10000 % 2 ? COMING : 40)) {
            coming[i] = xcalloc(1, sizeof *coming[i]);
            coming[i]->key = STAYING + i;
            qset_add(&shared, &slot, thing_hash(coming[i]), coming[i]);
        }
        qsbr_quiescent(&slot);
    }
    atomic_store(&stop, 1);
    qsbr_offline(&slot);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    qsbr_online(&slot);
    for (unsigned i = 0; i < COMING; i++)
        free(coming[i]);
    qset_fini(&shared);
    qsbr_leave(&slot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_are_kept),
        cmocka_unit_test(crowded_runs_are_kept),
        cmocka_unit_test(memory_is_about_two_words_an_object),
        cmocka_unit_test(a_replacement_takes_the_place),
        cmocka_unit_test(readers_always_find_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
