/* The subscriptions of a session, against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "core/subtable.h"

enum { KEYS = 300 };

static void it_agrees_with_an_array(void **state)
{
    static char objects[KEYS];
    uint32_t ids[KEYS] = {0}, count = 0, seed = 7;
    struct subtable t = {0};

    for (int step = 0; step < 100000; step++) {
        seed = seed * 1664525u + 1013904223u;
        unsigned at = (seed >> 8) % (step / 10000 % 2 ? KEYS : 5);
        if (ids[at]) {
            assert_true(subtable_remove(&t, &objects[at]));
            ids[at] = 0;
            count--;
        } else {
            assert_false(subtable_remove(&t, &objects[at]));
            ids[at] = seed | 1;
            subtable_put(&t, &(struct subscription){.key = &objects[at], .id = ids[at]});
            count++;
        }
        assert_int_equal(t.count, count);
        at = (seed >> 20) % KEYS;
        assert_int_equal(subtable_id(&t, &objects[at]), ids[at]);
        assert_int_equal(subtable_find(&t, &objects[at]) != NULL, ids[at] != 0);
    }
    subtable_fini(&t);
}

static void the_last_one_out_frees_the_memory(void **state)
{
    struct subtable t = {0};
    int a, b;

    subtable_put(&t, &(struct subscription){.key = &a, .id = 1});
    subtable_put(&t, &(struct subscription){.key = &b, .id = 2});
    assert_true(subtable_remove(&t, &a));
    assert_int_equal(subtable_id(&t, &b), 2);
    assert_true(subtable_remove(&t, &b));
    assert_null(t.slots);
    assert_int_equal(subtable_id(&t, &b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_an_array),
        cmocka_unit_test(the_last_one_out_frees_the_memory),
    };
    hash_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
