/* The store of values that all loops share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "kv.h"

static const struct kv_value none = {.type = KV_NONE};

static struct kv_value integer(int64_t n)
{
    return (struct kv_value){.type = KV_INTEGER, .integer = n};
}

static struct kv_value text(const char *s)
{
    return (struct kv_value){.type = KV_STRING, .string = skep_str(s)};
}

static void expect_text(struct kv *kv, const char *key, uint64_t now, const char *value)
{
    struct kv_value v;

    kv_get(kv, skep_str(key), now, &v);
    if (!value) {
        assert_int_equal(v.type, KV_NONE);
        return;
    }
    assert_int_equal(v.type, KV_STRING);
    assert_true(skep_str_eq(v.string, skep_str(value)));
    free((char *)v.string.ptr);
}

static void values_come_and_go(void **state)
{
    struct kv *kv = kv_new(1 << 20);
    struct kv_value a = text("one"), b = text("two");

    expect_text(kv, "k", 0, NULL);
    assert_int_equal(kv_set(kv, skep_str("k"), &a, 100, 0), 0);
    expect_text(kv, "k", 1000000, "one");
    assert_int_equal(kv_set(kv, skep_str("k"), &b, 100, 50), 0);
    expect_text(kv, "k", 149, "two");
    expect_text(kv, "k", 150, NULL);
    assert_int_equal(kv_set(kv, skep_str("k"), &a, 200, 0), 0);
    assert_int_equal(kv_set(kv, skep_str("k"), &none, 200, 0), 0);
    expect_text(kv, "k", 200, NULL);
    assert_int_equal(kv_bytes(kv), 0);
    kv_unref(&kv);
}

static void sums_and_swaps_are_one_step(void **state)
{
    struct kv *kv = kv_new(1 << 20);
    struct kv_value one = integer(1), two = integer(2), word = text("w"), real = {.type = KV_FLOAT};
    int64_t sum;

    assert_int_equal(kv_add(kv, skep_str("n"), 5, 0, 100, &sum), 0);
    assert_int_equal(sum, 5);
    assert_int_equal(kv_add(kv, skep_str("n"), -7, 50, 100, &sum), 0);
    assert_int_equal(sum, -2);
    assert_int_equal(kv_add(kv, skep_str("n"), 1, 100, 100, &sum),
                     0); /* the first one's time is up */
    assert_int_equal(sum, 1);
    assert_int_equal(kv_swap(kv, skep_str("n"), &two, &word, 100, 0), SKEP_E_STATE);
    assert_int_equal(kv_swap(kv, skep_str("n"), &one, &word, 100, 0), 0);
    expect_text(kv, "n", 100, "w");
    assert_int_equal(kv_add(kv, skep_str("n"), 1, 100, 0, &sum), SKEP_E_INVALID);
    assert_int_equal(kv_swap(kv, skep_str("new"), &one, &two, 100, 0), SKEP_E_STATE);
    assert_int_equal(kv_swap(kv, skep_str("new"), &none, &real, 100, 0), 0);
    assert_int_equal(kv_swap(kv, skep_str("new"), &real, &none, 100, 0), 0);
    kv_unref(&kv);
}

static void it_holds_no_more_than_it_may(void **state)
{
    struct kv *kv = kv_new(20000);
    struct kv_value v = text("0123456789");
    char key[16];
    int held = 0;

    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%d", i);
        held += kv_set(kv, skep_str(key), &v, 0, 1000) == 0;
        assert_true(kv_bytes(kv) <= 20000);
    }
    assert_true(held > 50 && held < 1000);
    /* What has expired makes room, also of other keys. */
    int again = 0;
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "later-%d", i);
        again += kv_set(kv, skep_str(key), &v, 2000, 0) == 0;
    }
    assert_true(again > held / 2);
    kv_unref(&kv);
}

enum { THREADS = 4, STEPS = 20000 };

static void *count_up(void *arg)
{
    int64_t sum;

    for (int i = 0; i < STEPS; i++)
        kv_add(arg, skep_str("shared"), 1, 0, 0, &sum);
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    struct kv *kv = kv_new(1 << 20);
    pthread_t ids[THREADS];
    struct kv_value v;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, count_up, kv), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    kv_get(kv, skep_str("shared"), 0, &v);
    assert_int_equal(v.integer, THREADS * STEPS);
    kv_unref(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_and_go),
        cmocka_unit_test(sums_and_swaps_are_one_step),
        cmocka_unit_test(it_holds_no_more_than_it_may),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
