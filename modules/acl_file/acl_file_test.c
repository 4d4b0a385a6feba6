/* acl_file in the host's dispatcher: verdicts with the place of their rule, and files that change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <skep/test.h>

static char folder[] = "/tmp/acl_file_testXXXXXX";
static char path[sizeof folder + 10];

static int folder_make(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/rules", folder);
    return 0;
}

static int folder_remove(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void write_rules(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *options_with(const char *more)
{
    static char options[300];

    snprintf(options, sizeof options, "file %s; %s", path, more);
    return options;
}

static struct skep_test *load(const char *rules, const char *more)
{
    write_rules(rules);
    return skep_test_load(NULL, options_with(more));
}

static struct skep_test_client *joined(struct skep_test *t, const char *id, const char *user)
{
    struct skep_test_client *c = skep_test_client(t, id, user, NULL);

    skep_test_connect(c); /* nobody decides about that here */
    return c;
}

static void at_line(const struct skep_test_client *c, unsigned line)
{
    char place[20];

    snprintf(place, sizeof place, "rules:%u ", line);
    if (!strstr(skep_test_where(c), place))
        fail_msg("%s instead of line %u", skep_test_where(c), line);
}

static void verdicts_name_their_rule(void **state)
{
    struct skep_test *t = load("deny * publish a/no;\n"
                               "\n"
                               "allow user alice all a/#;\n"
                               "allow * subscribe qos<=1 b/%c/#;\n",
                               "");
    struct skep_test_client *alice = joined(t, "c1", "alice"), *guest = joined(t, "c2", NULL);

    assert_int_equal(SKEP_ALLOW, skep_test_publish(alice, "a/x", "", 1, false));
    at_line(alice, 3);
    assert_int_equal(SKEP_DENY, skep_test_publish(alice, "a/no", "", 1, false));
    assert_int_equal(SKEP_RC_NOT_AUTHORIZED, skep_test_reason(alice));
    at_line(alice, 1);
    assert_int_equal(SKEP_ALLOW, skep_test_deliver(alice, "a/no", "", 1, false));
    at_line(alice, 3);
    assert_int_equal(SKEP_ALLOW, skep_test_subscribe(guest, "b/c2/#", 2));
    assert_int_equal(1, skep_test_granted_qos(guest));
    at_line(guest, 4);
    assert_int_not_equal(SKEP_ALLOW, skep_test_subscribe(guest, "b/+/x", 2));
    assert_int_not_equal(SKEP_ALLOW, skep_test_publish(guest, "a/x", "", 0, false));
    skep_test_free(&t);
}

static void what_nobody_speaks_of(void **state)
{
    struct skep_test *t = load("allow * publish a;\n", "unmatched deny;");
    struct skep_test_client *c = joined(t, "c", NULL);

    assert_int_equal(SKEP_DENY, skep_test_publish(c, "b", "", 0, false));
    assert_int_equal(SKEP_DENY, skep_test_subscribe(c, "a", 0));
    skep_test_free(&t);
}

static void a_change_voids_remembered_verdicts(void **state)
{
    struct skep_test *t = load("allow * all a/#;\n", "");
    struct skep_test_client *c = joined(t, "c", NULL);

    for (int i = 0; i < 3; i++)
        assert_int_equal(SKEP_ALLOW, skep_test_publish(c, "a/x", "", 0, false));
    write_rules("deny * publish a/x;\nallow * all a/#;\n");
    skep_test_pass_ms(t, 3000);
    assert_int_equal(SKEP_DENY, skep_test_publish(c, "a/x", "", 0, false));
    assert_true(skep_test_metric(t, "rules", NULL) == 2);
    write_rules("allow * all a/#/b;\n");
    skep_test_pass_ms(t, 3000);
    assert_non_null(strstr(skep_test_log(t), "rules:1:15: 'a/#/b': # stands only at the end"));
    assert_int_equal(SKEP_DENY, skep_test_publish(c, "a/x", "", 0, false));
    assert_non_null(strstr(skep_test_command(t, "status"), "\"stale\":true"));
    assert_non_null(skep_test_reload(t, options_with("watch off;"))); /* refused */
    skep_test_free(&t);
}

static void a_reload_takes_new_rules(void **state)
{
    struct skep_test *t = load("allow * publish a;\n", "watch off;");
    struct skep_test_client *c = joined(t, "c", NULL);

    assert_int_equal(SKEP_ALLOW, skep_test_publish(c, "a", "", 0, false));
    write_rules("deny * publish a;\n");
    skep_test_pass_ms(t, 5000); /* nobody looks */
    assert_int_equal(SKEP_ALLOW, skep_test_publish(c, "a", "", 0, false));
    assert_null(skep_test_reload(t, options_with("watch off;")));
    assert_int_equal(SKEP_DENY, skep_test_publish(c, "a", "", 0, false));
    skep_test_free(&t);
}

static void mosquittos_file_needs_deliveries_checked(void **state)
{
    struct skep_test *t = load("user alice\ntopic read a/#\n", "");
    struct skep_test_client *c = joined(t, "c", "alice");

    assert_int_equal(SKEP_ALLOW, skep_test_subscribe(c, "#", 1));
    assert_int_equal(SKEP_ALLOW, skep_test_deliver(c, "a/x", "", 0, false));
    assert_int_not_equal(SKEP_ALLOW, skep_test_deliver(c, "b/x", "", 0, false));
    skep_test_free(&t);
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("check_delivery off;")),
                           "only delivery checks"));
}

static void mistakes_refuse_to_load(void **state)
{
    write_rules("allow * publsh a;\nallow usr x publish a;\n");
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("")), "rules:1:9"));
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("")), "did you mean user?"));
    write_rules("topic read a\n");
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("format skep;")), "rules:1:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_name_their_rule),
        cmocka_unit_test(what_nobody_speaks_of),
        cmocka_unit_test(a_change_voids_remembered_verdicts),
        cmocka_unit_test(a_reload_takes_new_rules),
        cmocka_unit_test(mosquittos_file_needs_deliveries_checked),
        cmocka_unit_test(mistakes_refuse_to_load),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
