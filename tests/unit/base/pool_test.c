/* The pool: classes cover every size tightly, objects come back, what is kept is bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"

/* Built with sanitizers the pool keeps nothing; found out by trying. */
static int pool_keeps(void)
{
    uint8_t c;
    void *p = pool_alloc(40, &c);
    pool_free(p, c);
    int keeps = pool_kept_bytes() > 0;
    pool_trim();
    return keeps;
}

static void classes_fit_tightly(void **state)
{
    unsigned last = 0;
    for (size_t size = 1; size < 140000; size++) {
        uint8_t c = pool_class(size);
        assert_true(c >= last);
        last = c;
        if (c == POOL_LARGE)
            continue;
        size_t room = pool_class_size(c);
        assert_true(room >= size);
        assert_int_equal(pool_class(room), c);
        assert_int_equal(room % 16, 8);
        assert_true(room - size < (size <= 520 ? 24 : size / 4 + 16));
    }
    assert_int_equal(last, POOL_LARGE);
    assert_int_equal(pool_class_size(POOL_LARGE), 0);
}

static void objects_are_whole_and_apart(void **state)
{
    enum { N = 2000 };
    static struct {
        unsigned char *p;
        size_t size;
        uint8_t class;
    } o[N];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < N; i++) {
            o[i].size = 1 + (i * 7919u) % (i % 100 == 0 ? 200000 : 1500);
            o[i].p = pool_alloc(o[i].size, &o[i].class);
            assert_non_null(o[i].p);
            assert_int_equal(o[i].class, pool_class(o[i].size));
            memset(o[i].p, (int)i, o[i].size);
        }
        for (unsigned i = 0; i < N; i++) {
            assert_int_equal(o[i].p[0], i & 255);
            assert_int_equal(o[i].p[o[i].size - 1], i & 255);
            pool_free(o[i].p, o[i].class);
        }
    }
    pool_trim();
}

static void a_freed_object_is_used_again(void **state)
{
    uint8_t c;
    if (!pool_keeps())
        skip();
    void *p = pool_alloc(100, &c);
    pool_free(p, c);
    assert_int_equal(pool_kept_bytes(), pool_class_size(c));
    assert_ptr_equal(pool_alloc(97, &c), p);
    assert_int_equal(pool_kept_bytes(), 0);
    pool_free(p, c);
    pool_trim();
    assert_int_equal(pool_kept_bytes(), 0);
}

static void what_a_thread_keeps_is_bounded(void **state)
{
    static const size_t sizes[] = {24, 200, 1000, 4000, 9000, 20000, 33000, 50000, 70000, 120000};
    enum { N = 3000 };
    static void *p[N];
    uint8_t c = 0;

    for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
        unsigned n = (unsigned)(4000000 / sizes[s]);
        n = n > N ? N : n;
        for (unsigned i = 0; i < n; i++)
            p[i] = pool_alloc(sizes[s], &c);
        for (unsigned i = 0; i < n; i++)
            pool_free(p[i], c);
        assert_true(pool_kept_bytes() <= POOL_THREAD_BYTES);
    }
    pool_trim();
    assert_int_equal(pool_kept_bytes(), 0);
}

enum { HANDED = 20000 };

struct handed {
    void *p[HANDED];
    uint8_t class[HANDED];
};

static void *free_all(void *arg)
{
    struct handed *h = arg;
    for (unsigned i = 0; i < HANDED; i++)
        pool_free(h->p[i], h->class[i]);
    assert_true(pool_kept_bytes() <= POOL_THREAD_BYTES);
    return NULL; /* and with the thread go its freelists: LeakSanitizer and valgrind agree */
}

static void another_thread_may_free(void **state)
{
    struct handed *h = xmalloc(sizeof *h);
    for (unsigned i = 0; i < HANDED; i++) {
        h->p[i] = pool_alloc(20 + i % 600, &h->class[i]);
        memset(h->p[i], 0x5a, 20 + i % 600);
    }
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, free_all, h), 0);
    pthread_join(t, NULL);
    assert_int_equal(pool_kept_bytes(), 0);
    free(h);
}

/* For the refusal below to be an answer also under the sanitizers. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void an_absurd_size_is_refused(void **state)
{
    uint8_t c;
    void *p = pool_alloc(SIZE_MAX / 4, &c);
    assert_null(p);
    assert_int_equal(c, POOL_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_fit_tightly),
        cmocka_unit_test(objects_are_whole_and_apart),
        cmocka_unit_test(a_freed_object_is_used_again),
        cmocka_unit_test(what_a_thread_keeps_is_bounded),
        cmocka_unit_test(another_thread_may_free),
        cmocka_unit_test(an_absurd_size_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
