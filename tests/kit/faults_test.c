/* Tests that are wrong, and modules that are: the harness must fail them, with the place.  Each
 * runs as a test program of its own, in a child. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <skep/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"

/* -- What is wrong -- */

static void a_forgotten_timer(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "forget_timer on;");

    (void)state;
    skep_test_free(&t);
}

static void a_forgotten_watch(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "forget_watch on;");

    (void)state;
    skep_test_free(&t);
}

static void a_forgotten_server(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "serves on; forget_server on;");

    (void)state;
    skep_test_free(&t);
}

static void a_request_nobody_serves(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_request(t, "GET", "/now", NULL);
}

static void a_module_that_reloads_for_ever(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "reload_for_ever on;");

    (void)state;
    skep_test_free(&t);
}

static void a_module_that_never_rests(void **state)
{
    struct skep_test *t = skep_test_load(NULL, "never_rest on;");

    (void)state;
    skep_test_free(&t);
}

static void an_option_that_is_not_there(void **state)
{
    (void)state;
    skep_test_load(NULL, "greting hello;");
}

static void a_load_that_should_fail(void **state)
{
    (void)state;
    skep_test_load_fails(NULL, NULL);
}

static void a_url_nobody_answers(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_connect(skep_test_client(t, "c", "http", NULL));
}

static void a_delay_of_no_answer(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_http_delay(t, "http://auth.test/chekc", 1);
}

static void a_question_while_one_waits(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = skep_test_client(t, "c", "token", NULL);

    (void)state;
    skep_test_connect(c);
    skep_test_publish(c, "a", "b", 0, false);
}

static void a_publication_before_connect(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_publish(skep_test_client(t, "c", "allow", NULL), "a", "b", 0, false);
}

static void a_client_that_has_left(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = skep_test_client(t, "c", "allow", NULL);

    (void)state;
    skep_test_connect(c);
    skep_test_leave(c);
    skep_test_subscribe(c, "a", 0);
}

static void a_metric_that_is_not_there(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);

    (void)state;
    skep_test_metric(t, "evnts", NULL);
}

/* The test behind one that failed half-way has a world of its own. */
static void nothing_wrong(void **state)
{
    struct skep_test *t = skep_test_load(NULL, NULL);
    struct skep_test_client *c = skep_test_client(t, "c", "ms", NULL);

    (void)state;
    assert_int_equal(skep_test_connect(c), SKEP_PENDING);
    skep_test_pass_ms(t, 200);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    skep_test_free(&t);
}

/* -- Running it -- */

enum { OUTPUT_MOST = 16384 };

static void run_as_child(CMUnitTestFunction wrong, int out)
{
    const struct CMUnitTest tests[] = {
        {"wrong", wrong, NULL, NULL, NULL},
        cmocka_unit_test(nothing_wrong),
    };

    dup2(out, 1);
    dup2(out, 2);
    _exit(cmocka_run_group_tests_name("child", tests, NULL, NULL)); /* leaks: it failed half-way */
}

static void assert_fails(CMUnitTestFunction wrong, const char *words)
{
    static char output[OUTPUT_MOST];
    size_t len = 0;
    ssize_t n;
    int fds[2], status;

    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(fds[0]);
        run_as_child(wrong, fds[1]);
    }
    close(fds[1]);
    while ((n = read(fds[0], output + len, sizeof output - 1 - len)) > 0)
        len += (size_t)n;
    output[len] = 0;
    close(fds[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !strstr(output, words) ||
        !strstr(output, "faults_test.c:"))
        fail_msg("expected one failure with '%s' and its place, got status %x and:\n%s", words,
                 (unsigned)status, output);
}

static void what_is_left_behind_is_told(void **state)
{
    (void)state;
    assert_fails(a_forgotten_timer, "left 1 timers, watches or servers behind");
    assert_fails(a_forgotten_watch, "left 1 timers, watches or servers behind");
    assert_fails(a_forgotten_server, "left 1 timers, watches or servers behind");
    assert_fails(a_module_that_reloads_for_ever, "asks for a reload whenever");
    assert_fails(a_module_that_never_rests, "never comes to rest");
}

static void a_load_that_goes_otherwise_is_told(void **state)
{
    (void)state;
    assert_fails(an_option_that_is_not_there, "greeting");
    assert_fails(a_load_that_should_fail, "expected not to load");
}

static void mistakes_of_the_test_are_told(void **state)
{
    (void)state;
    assert_fails(a_url_nobody_answers, "http://auth.test/check");
    assert_fails(a_delay_of_no_answer, "http://auth.test/chekc");
    assert_fails(a_question_while_one_waits, "waits for an answer");
    assert_fails(a_publication_before_connect, "is not connected");
    assert_fails(a_client_that_has_left, "has left");
    assert_fails(a_request_nobody_serves, "serves no HTTP");
    assert_fails(a_metric_that_is_not_there, "no metric skep_module_evnts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_behind_is_told),
        cmocka_unit_test(a_load_that_goes_otherwise_is_told),
        cmocka_unit_test(mistakes_of_the_test_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
