/* Where pub's messages come from, with a pipe for standard input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ctl/source.h"

static const struct arg_command command = {.name = "test"};

static void expect_next(struct source *s, struct str want)
{
    struct str got;

    assert_int_equal(1, source_next(s, &got));
    if (!str_eq(want, got))
        fail_msg("got '%.*s', want '%.*s'", STR_ARG(got), STR_ARG(want));
}

/* Replaces standard input by a pipe; returns the end to write to. */
static int pipe_stdin(int *saved)
{
    int ends[2];

    assert_int_equal(0, pipe(ends));
    *saved = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    return ends[1];
}

static void feed(struct source *s, int fd, const char *text)
{
    struct fault fault;

    if (text)
        assert_int_equal(strlen(text), write(fd, text, strlen(text)));
    else
        close(fd);
    assert_int_equal(0, source_read(s, &fault));
}

static void lines_come_whole(void **state)
{
    struct source s = {.lines = true};
    struct str line;
    int saved, fd = pipe_stdin(&saved);

    assert_int_equal(0, source_open(&s, &command));
    assert_int_equal(0, source_next(&s, &line));
    assert_int_equal(STDIN_FILENO, source_fd(&s));
    feed(&s, fd, "one\ntwo\n\nthr");
    expect_next(&s, STR("one"));
    expect_next(&s, STR("two"));
    expect_next(&s, STR(""));
    assert_int_equal(0, source_next(&s, &line));
    feed(&s, fd, "ee\nlast");
    expect_next(&s, STR("three"));
    assert_int_equal(0, source_next(&s, &line));
    feed(&s, fd, NULL);
    expect_next(&s, STR("last")); /* though it has no line end */
    assert_int_equal(-1, source_next(&s, &line));
    assert_int_equal(-1, source_fd(&s));
    dup2(saved, STDIN_FILENO);
    close(saved);
    source_fini(&s);
}

static void a_text_is_repeated_with_pauses(void **state)
{
    struct source s = {.text = "x", .repeat = 3, .repeat_delay_ms = 20};
    struct str got;
    uint64_t start = clock_mono_ms();

    assert_int_equal(0, source_open(&s, &command));
    expect_next(&s, STR("x"));
    for (int more = 2; more > 0; more--) {
        assert_int_equal(0, source_next(&s, &got));
        while (source_next(&s, &got) == 0) {
            int wait = source_wait_ms(&s);

            assert_true(wait >= 0 && wait <= 20);
            usleep((useconds_t)wait * 1000);
        }
        assert_true(str_eq(STR("x"), got));
    }
    assert_int_equal(-1, source_next(&s, &got));
    assert_int_equal(-1, source_wait_ms(&s));
    assert_true(clock_mono_ms() - start >= 39);
    source_fini(&s);
}

static void files_are_read_whole(void **state)
{
    char path[] = "/tmp/source_testXXXXXX";
    int fd = mkstemp(path);
    struct source s = {.file = path};
    char *data = calloc(1, 300000);

    data[299999] = 'z';
    assert_int_equal(300000, write(fd, data, 300000));
    close(fd);
    assert_int_equal(0, source_open(&s, &command));
    expect_next(&s, (struct str){data, 300000});
    source_fini(&s);
    free(data);
    unlink(path);
}

static void there_is_one_message_and_one_way(void **state)
{
    struct source none = {.text = NULL}, two = {.text = "x", .empty = true};
    struct source missing = {.file = "/nonexistent"}, lines = {.lines = true, .repeat = 2};
    struct source empty = {.empty = true};

    assert_int_equal(-1, source_open(&none, &command));
    assert_int_equal(-1, source_open(&two, &command));
    assert_int_equal(-1, source_open(&missing, &command));
    assert_int_equal(-1, source_open(&lines, &command));
    assert_int_equal(0, source_open(&empty, &command));
    expect_next(&empty, STR(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole),
        cmocka_unit_test(a_text_is_repeated_with_pauses),
        cmocka_unit_test(files_are_read_whole),
        cmocka_unit_test(there_is_one_message_and_one_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
