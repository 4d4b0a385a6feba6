/* Tests of @NAME@ in the harness of the SDK: the broker's own chain of decisions, with
 * clients, time and HTTP servers that the test makes up.  <skep/test.h> says what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/test.h>

static enum skep_verdict try(struct skep_test *t, const char *username, const char *password)
{
    return skep_test_connect(skep_test_client(t, "client", username, password));
}

static void the_user_comes_in(void **state)
{
    struct skep_test *t = skep_test_load("@NAME@", "password honey;");

    (void)state;
    assert_int_equal(try(t, "bee", "honey"), SKEP_ALLOW);
    skep_test_free(&t);
}

static void a_wrong_password_is_refused(void **state)
{
    struct skep_test *t = skep_test_load("@NAME@", "password honey;");
    struct skep_test_client *c = skep_test_client(t, "client", "bee", "vinegar");

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_DENY);
    assert_int_equal(skep_test_reason(c), SKEP_RC_BAD_CREDENTIALS);
    assert_int_equal(try(t, "bee", NULL), SKEP_DENY);
    skep_test_free(&t);
}

static void others_are_left_to_the_next_module(void **state)
{
    struct skep_test *t = skep_test_load("@NAME@", "username drone; password honey;");

    (void)state;
    assert_int_equal(try(t, "bee", "honey"), SKEP_NEXT);
    assert_int_equal(try(t, NULL, NULL), SKEP_NEXT);
    assert_int_equal(try(t, "drone", "honey"), SKEP_ALLOW);
    skep_test_free(&t);
}

static void mistakes_in_the_options_are_told(void **state)
{
    (void)state;
    assert_non_null(strstr(skep_test_load_fails("@NAME@", "username bee;"), "password"));
    assert_non_null(strstr(skep_test_load_fails("@NAME@", "username \"\"; password honey;"),
                           "the user name is empty"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_user_comes_in),
        cmocka_unit_test(a_wrong_password_is_refused),
        cmocka_unit_test(others_are_left_to_the_next_module),
        cmocka_unit_test(mistakes_in_the_options_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
