/* Command lines: what is taken, and that nothing wrong is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ctl/arg.h"

struct target {
    bool flag, cleared;
    const char *text;
    uint32_t number, time_ms;
    struct arg_list list;
    const char *first, *second;
};

static int pair_call(void *target, const char *const *words)
{
    struct target *t = target;

    t->first = words[0];
    t->second = words[1];
    return 0;
}

static const struct arg_option options[] = {
    ARG_HEADING("A heading"),
    ARG_FIELD(ARG_ON, 'f', "flag", struct target, flag, NULL, "a flag"),
    ARG_FIELD(ARG_OFF, 0, "no-clear", struct target, cleared, NULL, "another"),
    ARG_FIELD(ARG_TEXT, 't', "text", struct target, text, "TEXT", "a text"),
    ARG_RANGE(ARG_NUMBER, 'n', "number", struct target, number, "N", 1, 100, "a number"),
    ARG_FIELD(ARG_SECONDS, 'w', "wait", struct target, time_ms, "SECONDS", "a time"),
    ARG_FIELD(ARG_LIST, 'l', "list", struct target, list, "ITEM", "a list"),
    ARG_FUNCTION('P', "pair", pair_call, "ONE TWO", "two words"),
    ARG_LAST,
};

static const struct arg_property properties[] = {
    {"publish", "content-type", "text"},
    {"publish", "user-property", "list"},
    {"publish", "lost", "not-an-option"},
    {NULL, NULL, NULL},
};

static char error_text[1000];

/* Parses words up to NULL; what goes to stderr ends up in error_text. */
static int parse(struct target *t, struct arg_command *c, const char **words)
{
    static char *argv[32];
    char path[] = "/tmp/arg_testXXXXXX";
    int argc = 1, result, saved, fd = mkstemp(path);
    ssize_t n;

    assert_true(fd >= 0);
    unlink(path);
    *t = (struct target){.cleared = true};
    *c = (struct arg_command){.name = "test",
                              .usage = "",
                              .summary = "",
                              .sets = {{options, t}},
                              .properties = properties};
    argv[0] = (char *)"test";
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    argv[argc] = NULL;
    fflush(stderr);
    saved = dup(2);
    dup2(fd, 2);
    result = arg_parse(c, argc, argv);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    n = pread(fd, error_text, sizeof error_text - 1, 0);
    error_text[n > 0 ? n : 0] = '\0';
    close(fd);
    return result;
}

#define PARSE(t, c, ...) parse((t), (c), (const char *[]){__VA_ARGS__, NULL})

static void done(struct target *t, struct arg_command *c)
{
    arg_list_fini(&t->list);
    arg_command_fini(c);
}

static void takes_short_and_long_forms(void **state)
{
    struct target t;
    struct arg_command c;

    assert_int_equal(0, PARSE(&t, &c, "-f", "-t", "one", "--number=7", "--list", "a", "-lb"));
    assert_true(t.flag);
    assert_string_equal("one", t.text);
    assert_int_equal(7, t.number);
    assert_int_equal(2, t.list.count);
    assert_string_equal("a", t.list.items[0]);
    assert_string_equal("b", t.list.items[1]);
    done(&t, &c);

    assert_int_equal(0, PARSE(&t, &c, "-ft", "joined", "--no-clear", "--pair", "x", "y"));
    assert_true(t.flag);
    assert_false(t.cleared);
    assert_string_equal("joined", t.text);
    assert_string_equal("x", t.first);
    assert_string_equal("y", t.second);
    done(&t, &c);
}

static void collects_other_words_in_order(void **state)
{
    struct target t;
    struct arg_command c;

    assert_int_equal(0, PARSE(&t, &c, "one", "-f", "-", "-t", "v", "two", "--", "-f", "--text"));
    assert_int_equal(5, c.word_count);
    assert_string_equal("one", c.words[0]);
    assert_string_equal("-", c.words[1]);
    assert_string_equal("two", c.words[2]);
    assert_string_equal("-f", c.words[3]);
    assert_string_equal("--text", c.words[4]);
    done(&t, &c);
}

static void an_option_may_begin_its_value_with_a_dash(void **state)
{
    struct target t;
    struct arg_command c;

    assert_int_equal(0, PARSE(&t, &c, "-t", "-5", "--list", "--x"));
    assert_string_equal("-5", t.text);
    assert_string_equal("--x", t.list.items[0]);
    done(&t, &c);
}

static void refuses_in_words(void **state)
{
    static const struct {
        const char *words[4];
        const char *message;
    } wrong[] = {
        {{"--txet", "x"}, "did you mean --text?"},
        {{"--qqqqqqq"}, "there is no option --qqqqqqq\n"},
        {{"-z"}, "there is no option -z"},
        {{"-t"}, "--text needs a value"},
        {{"--flag=1"}, "--flag takes no value"},
        {{"-n", "0"}, "'0' is not a number from 1 to 100"},
        {{"-n", "101"}, "'101' is not a number from 1 to 100"},
        {{"-n", "7x"}, "'7x' is not"},
        {{"-n", "-1"}, "'-1' is not"},
        {{"-n", ""}, "'' is not"},
        {{"-w", "soon"}, "'soon' is not a time"},
        {{"--pair", "x"}, "--pair needs a value: ONE TWO"},
        {{"-D", "publish", "content-type"}, "three words"},
        {{"-D", "publish", "nonsense", "x"}, "no property 'nonsense' of publish"},
        {{"-D", "publish", "lost", "x"}, "no property 'lost'"},
    };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct target t;
        struct arg_command c;
        const char *words[5] = {wrong[i].words[0], wrong[i].words[1], wrong[i].words[2],
                                wrong[i].words[3], NULL};

        assert_int_equal(-1, parse(&t, &c, words));
        if (!strstr(error_text, wrong[i].message))
            fail_msg("'%s' does not say '%s'", error_text, wrong[i].message);
        assert_non_null(strstr(error_text, "--help"));
        done(&t, &c);
    }
}

static void takes_properties_as_mosquitto_writes_them(void **state)
{
    struct target t;
    struct arg_command c;

    assert_int_equal(0, PARSE(&t, &c, "-D", "publish", "content-type", "text/plain", "-D",
                              "publish", "user-property", "key", "value"));
    assert_string_equal("text/plain", t.text);
    assert_int_equal(1, t.list.count);
    assert_string_equal("key=value", t.list.items[0]);
    done(&t, &c);
    assert_int_equal(-1, PARSE(&t, &c, "-D", "publish", "user-property", "key"));
    done(&t, &c);
}

static void reads_times(void **state)
{
    uint32_t ms = 0;

    assert_int_equal(0, arg_duration_ms("2", &ms));
    assert_int_equal(2000, ms);
    assert_int_equal(0, arg_duration_ms("0.25", &ms));
    assert_int_equal(250, ms);
    assert_int_equal(0, arg_duration_ms("15ms", &ms));
    assert_int_equal(15, ms);
    assert_int_equal(0, arg_duration_ms("3m", &ms));
    assert_int_equal(180000, ms);
    assert_int_equal(0, arg_duration_ms("1h", &ms));
    assert_int_equal(3600000, ms);
    assert_int_equal(-1, arg_duration_ms("1d", &ms));
    assert_int_equal(-1, arg_duration_ms("", &ms));
    assert_int_equal(-1, arg_duration_ms("-1", &ms));
    assert_int_equal(-1, arg_duration_ms("2000h", &ms));
    assert_int_equal(-1, arg_duration_ms("nan", &ms));
}

static void measures_how_far_words_are_apart(void **state)
{
    assert_int_equal(0, arg_distance("topic", "topic"));
    assert_int_equal(1, arg_distance("tpoic", "topic")); /* two letters swapped */
    assert_int_equal(1, arg_distance("topc", "topic"));
    assert_int_equal(2, arg_distance("kopik", "topic"));
    assert_int_equal(5, arg_distance("", "topic"));
    assert_int_equal(3, arg_distance("kitten", "sitting"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_short_and_long_forms),
        cmocka_unit_test(collects_other_words_in_order),
        cmocka_unit_test(an_option_may_begin_its_value_with_a_dash),
        cmocka_unit_test(refuses_in_words),
        cmocka_unit_test(takes_properties_as_mosquitto_writes_them),
        cmocka_unit_test(reads_times),
        cmocka_unit_test(measures_how_far_words_are_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
