#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/test.h>

static void bee_comes_in(void **state)
{
    struct skep_test *t = skep_test_load("hello", NULL);
    struct skep_test_client *c = skep_test_client(t, "hive-1", "bee", NULL);

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_ALLOW);
    assert_true(skep_test_is_connected(c));
    skep_test_free(&t);
}

static void nobody_else_does(void **state)
{
    struct skep_test *t = skep_test_load("hello", NULL);
    struct skep_test_client *wasp = skep_test_client(t, "hive-2", "wasp", "sting");
    struct skep_test_client *anonymous = skep_test_client(t, "hive-3", NULL, NULL);

    (void)state;
    assert_int_equal(skep_test_connect(wasp), SKEP_NEXT);
    assert_false(skep_test_is_connected(wasp));
    assert_int_equal(skep_test_connect(anonymous), SKEP_NEXT);
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bee_comes_in),
        cmocka_unit_test(nobody_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
