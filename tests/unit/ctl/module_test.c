/* skepctl module new, called as its users call it: what it writes, and what it does not overwrite.
 * (That a new module builds and passes its test is tests/kit's.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/fault.h"

static char folder[] = "/tmp/skep-module-XXXXXX";

static int run(const char *arguments)
{
    char command[1024];

    snprintf(command, sizeof command, "cd %s && %s module %s >out 2>&1", folder, SKEPCTL,
             arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* NULL: there is no such file. */
static char *content(const char *name)
{
    static char text[16384];
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    return text;
}

static void assert_said(const char *what)
{
    const char *said = content("out");

    if (!strstr(said, what))
        fail_msg("not said: '%s', but: %s", what, said);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];

    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static void a_project_is_written(void **state)
{
    static const char *const files[] = {"first_one/CMakeLists.txt", "first_one/README.md",
                                        "first_one/example.conf", "first_one/first_one.c",
                                        "first_one/first_one_test.c"};

    assert_int_equal(run("new first_one"), CTL_OK);
    assert_said("ctest --test-dir build");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_non_null(content(files[i]));
        assert_non_null(strstr(content(files[i]), "first_one"));
        assert_null(strstr(content(files[i]), "@NAME@"));
    }
    assert_non_null(strstr(content(files[3]), "SKEP_MODULE_HEAD(\"first_one\""));
}

static void nothing_is_overwritten(void **state)
{
    assert_int_equal(run("new mine"), CTL_OK);
    assert_int_equal(run("new --help >/dev/null; echo changed >mine/mine.c; true"), 0);
    assert_int_equal(run("new mine"), CTL_FAILED);
    assert_said("is there already");
    assert_string_equal(content("mine/mine.c"), "changed\n");
}

static void an_empty_folder_will_do(void **state)
{
    assert_int_equal(run("new --help >/dev/null; mkdir place"), 0);
    assert_int_equal(run("new other --dir place"), CTL_OK);
    assert_non_null(content("place/other.c"));
    assert_int_equal(run("new third --dir no/such/place"), CTL_FAILED);
    assert_said("cannot make no/such/place");
}

static void names_are_checked(void **state)
{
    static const char *const bad[] = {
        "Capital", "1st", "_x", "a-b", "../up", "''", "a23456789012345678901234567890123"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char arguments[64];
        snprintf(arguments, sizeof arguments, "new %s", bad[i]);
        assert_int_equal(run(arguments), CTL_USAGE);
        assert_said("cannot be the name of a module");
    }
    assert_int_equal(run("new test"), CTL_USAGE);
    assert_said("means something to CMake");
    assert_int_equal(run("new"), CTL_USAGE);
    assert_int_equal(run("new one two"), CTL_USAGE);
}

static void mistyped_commands_get_a_hint(void **state)
{
    assert_int_equal(run("nwe x"), CTL_USAGE);
    assert_said("did you mean new?");
    assert_int_equal(run("--help"), CTL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_project_is_written),         cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(an_empty_folder_will_do),      cmocka_unit_test(names_are_checked),
        cmocka_unit_test(mistyped_commands_get_a_hint),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
