/* auth_file in the host's dispatcher, with a clock of our own: slow answers, bans that end, clients
 * that leave, users files that change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <skep/test.h>

/* The verifier of RFC 7677, whose password is "pencil". */
#define HASH                                                                                       \
    "$scram-sha-256$4096$W22ZaJ0SNY7soEsUEjb6gQ==$"                                                \
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=$"                                                \
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static char folder[] = "/tmp/auth_file_testXXXXXX";
static char path[sizeof folder + 10];

static int folder_make(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/users", folder);
    return 0;
}

static int folder_remove(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static void write_users(const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, 0600);
}

static const char *options_with(const char *more)
{
    static char options[300];

    snprintf(options, sizeof options, "file %s; %s", path, more);
    return options;
}

static struct skep_test *load(const char *more)
{
    write_users("alice:" HASH "\nbob:" HASH "\n");
    return skep_test_load(NULL, options_with(more));
}

static struct skep_test_client *client(struct skep_test *t, const char *user, const char *password)
{
    static unsigned serial;
    char id[20];

    snprintf(id, sizeof id, "c%u", serial++);
    return skep_test_client(t, id, user, password);
}

static void let_in(struct skep_test *t, const char *user, const char *password)
{
    assert_int_equal(SKEP_ALLOW, skep_test_connect(client(t, user, password)));
}

static void refused(struct skep_test *t, const char *user, const char *password,
                    enum skep_reason reason)
{
    struct skep_test_client *c = client(t, user, password);

    assert_int_equal(SKEP_DENY, skep_test_connect(c));
    assert_int_equal(reason, skep_test_reason(c));
}

static void passwords_decide(void **state)
{
    struct skep_test *t = load("slow_down 0s;");
    struct skep_test_client *c = client(t, "bob", "pencil");

    assert_int_equal(SKEP_ALLOW, skep_test_connect(c));
    assert_non_null(strstr(skep_test_where(c), "users:2")); /* the line of the user */
    refused(t, "alice", "pencils", SKEP_RC_BAD_CREDENTIALS);
    refused(t, "carol", "pencil", SKEP_RC_BAD_CREDENTIALS);
    refused(t, "alice", NULL, SKEP_RC_BAD_CREDENTIALS);
    assert_true(skep_test_metric(t, "logins_total", NULL) == 1);
    assert_true(skep_test_metric(t, "failures_total", NULL) == 3);
    assert_true(skep_test_metric(t, "users", NULL) == 2);
    assert_non_null(strstr(skep_test_log(t), "'carol' from 127.0.0.1 was refused: no such user"));
    assert_null(strstr(skep_test_log(t), "pencil"));
    skep_test_free(&t);
}

static void who_has_no_name_is_none_of_ours(void **state)
{
    struct skep_test *t = load("unknown next; slow_down 0s;");

    skep_test_connect(client(t, NULL, NULL));
    skep_test_connect(client(t, "carol", "pencil"));
    assert_true(skep_test_metric(t, "failures_total", NULL) == 0);
    skep_test_free(&t);
}

static void wrong_answers_take_longer_and_longer(void **state)
{
    static const unsigned delays[] = {250, 500, 1000, 2000, 2000};
    struct skep_test *t = load("max_failures 0;");

    for (size_t i = 0; i < sizeof delays / sizeof delays[0]; i++) {
        struct skep_test_client *c = client(t, "alice", "guess");

        assert_int_equal(SKEP_PENDING, skep_test_connect(c));
        skep_test_pass_ms(t, delays[i] - 1);
        assert_int_equal(SKEP_PENDING, skep_test_verdict(c));
        let_in(t, "bob", "pencil"); /* nobody else waits */
        skep_test_pass_ms(t, 50);   /* a timer is never early, and accurate to some 10 ms */
        assert_int_equal(SKEP_DENY, skep_test_verdict(c));
        assert_int_equal(SKEP_RC_BAD_CREDENTIALS, skep_test_reason(c));
    }
    skep_test_free(&t);
}

static void a_ban_ends(void **state)
{
    struct skep_test *t = load("slow_down 0s; max_failures 2; ban_time 1m;");

    refused(t, "alice", "guess", SKEP_RC_BAD_CREDENTIALS);
    refused(t, "alice", "guess", SKEP_RC_BAD_CREDENTIALS);
    refused(t, "alice", "pencil", SKEP_RC_BANNED);
    let_in(t, "bob", "pencil");
    assert_non_null(strstr(skep_test_command(t, "bans"), "\"user\":\"alice\""));
    skep_test_pass_ms(t, 59000);
    refused(t, "alice", "pencil", SKEP_RC_BANNED);
    skep_test_pass_ms(t, 1100);
    let_in(t, "alice", "pencil");
    assert_string_equal("[]", skep_test_command(t, "bans"));
    assert_true(skep_test_metric(t, "bans_total", NULL) == 1);
    assert_true(skep_test_metric(t, "barred_total", NULL) == 2);
    skep_test_free(&t);
}

static void the_real_user_comes_from_elsewhere(void **state)
{
    struct skep_test *t = load("slow_down 0s; max_failures 1; trusted 192.0.2.0/24;");
    struct skep_test_client *c = client(t, "alice", "pencil");

    refused(t, "alice", "guess", SKEP_RC_BAD_CREDENTIALS);
    refused(t, "alice", "pencil", SKEP_RC_BANNED);
    skep_test_client_address(c, "198.51.100.9:4711");
    assert_int_equal(SKEP_ALLOW, skep_test_connect(c));
    assert_string_equal("{\"ended\":1}", skep_test_command(t, "unban alice"));
    let_in(t, "alice", "pencil");
    skep_test_free(&t);
}

static void many_at_once_get_no_more_answers(void **state)
{
    struct skep_test *t = load("slow_down 0s; max_failures 3;");
    struct skep_test_client *c[10];
    unsigned answers = 0;

    skep_test_jobs_wait(t, true);
    for (int i = 0; i < 10; i++) {
        c[i] = client(t, "alice", i == 9 ? "pencil" : "guess");
        assert_int_equal(SKEP_PENDING, skep_test_connect(c[i]));
    }
    skep_test_run(t);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(SKEP_DENY, skep_test_verdict(c[i])); /* even the one that is right */
        answers += skep_test_reason(c[i]) == SKEP_RC_BAD_CREDENTIALS;
    }
    assert_int_equal(3, answers);
    skep_test_free(&t);
}

static void clients_leave_at_every_wait(void **state)
{
    struct skep_test *t = load("");
    struct skep_test_client *c = client(t, "alice", "guess");

    skep_test_jobs_wait(t, true);
    skep_test_connect(c);
    skep_test_leave(c); /* while its password is hashed */
    skep_test_run(t);
    skep_test_jobs_wait(t, false);
    c = client(t, "alice", "guess");
    assert_int_equal(SKEP_PENDING, skep_test_connect(c));
    skep_test_leave(c); /* while its answer is held back */
    skep_test_pass_ms(t, 5000);
    let_in(t, "alice", "pencil");
    skep_test_free(&t);
}

static void a_changed_file_is_taken(void **state)
{
    struct skep_test *t = load("slow_down 0s; max_failures 0;");

    write_users("carol:" HASH "\n");
    let_in(t, "alice", "pencil"); /* not yet */
    skep_test_pass_ms(t, 3000);
    let_in(t, "carol", "pencil");
    refused(t, "alice", "pencil", SKEP_RC_BAD_CREDENTIALS);
    assert_true(skep_test_metric(t, "users", NULL) == 1);
    write_users("carol:" HASH "\nbroken\n");
    skep_test_pass_ms(t, 3000);
    assert_non_null(strstr(skep_test_log(t), "users:2:1: a line is NAME:HASH"));
    assert_non_null(strstr(skep_test_command(t, "status"), "\"stale\":true"));
    let_in(t, "carol", "pencil");
    unlink(path);
    skep_test_pass_ms(t, 3000);
    let_in(t, "carol", "pencil"); /* a file that is gone for a moment throws nobody out */
    write_users("dave:" HASH "\n");
    skep_test_pass_ms(t, 3000);
    assert_non_null(strstr(skep_test_command(t, "status"), "\"stale\":false"));
    let_in(t, "dave", "pencil");
    skep_test_free(&t);
}

static void bans_survive_a_reload(void **state)
{
    struct skep_test *t = load("slow_down 0s; max_failures 1;");

    refused(t, "alice", "guess", SKEP_RC_BAD_CREDENTIALS);
    assert_null(skep_test_reload(t, options_with("slow_down 0s; max_failures 2;")));
    refused(t, "alice", "pencil", SKEP_RC_BANNED);
    write_users("broken");
    assert_non_null(strstr(skep_test_reload(t, options_with("slow_down 1s;")), "users:1:1"));
    let_in(t, "bob", "pencil");
    skep_test_free(&t);
}

static void a_right_password_is_remembered(void **state)
{
    struct skep_test *t = load("slow_down 0s; remember 10s; max_failures 0;");
    struct skep_test_client *c = client(t, "alice", "pencil");

    let_in(t, "alice", "pencil");
    skep_test_jobs_wait(t, true); /* from here on a hash would wait */
    let_in(t, "alice", "pencil");
    assert_int_equal(SKEP_PENDING, skep_test_connect(client(t, "alice", "guess")));
    skep_test_run(t);
    skep_test_pass_ms(t, 10100);
    assert_int_equal(SKEP_PENDING, skep_test_connect(c));
    skep_test_run(t);
    assert_int_equal(SKEP_ALLOW, skep_test_verdict(c));
    skep_test_free(&t);
}

static void what_cannot_be_used_is_refused_with_its_place(void **state)
{
    write_users("alice:" HASH "\n");
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("trusted 10.0.0.1/8;")),
                           "'10.0.0.1/8' is no network"));
    assert_non_null(strstr(skep_test_load_fails(NULL, "file /nowhere/users;"), "No such file"));
    write_users("alice:" HASH "\nalice:" HASH "\n");
    assert_non_null(strstr(skep_test_load_fails(NULL, options_with("")), "users:2:1"));
}

static void without_memory_nobody_gets_in(void **state)
{
    struct skep_test *t = load("slow_down 0s;");
    struct skep_test_client *c = client(t, "alice", "pencil");

    skep_test_fail_allocation(t, 1);
    assert_int_not_equal(SKEP_ALLOW, skep_test_connect(c));
    skep_test_fail_allocation(t, 0);
    let_in(t, "alice", "pencil");
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_decide),
        cmocka_unit_test(who_has_no_name_is_none_of_ours),
        cmocka_unit_test(wrong_answers_take_longer_and_longer),
        cmocka_unit_test(a_ban_ends),
        cmocka_unit_test(the_real_user_comes_from_elsewhere),
        cmocka_unit_test(many_at_once_get_no_more_answers),
        cmocka_unit_test(clients_leave_at_every_wait),
        cmocka_unit_test(a_changed_file_is_taken),
        cmocka_unit_test(bans_survive_a_reload),
        cmocka_unit_test(a_right_password_is_remembered),
        cmocka_unit_test(what_cannot_be_used_is_refused_with_its_place),
        cmocka_unit_test(without_memory_nobody_gets_in),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
