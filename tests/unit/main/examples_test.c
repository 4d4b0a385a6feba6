/* The configurations that are shipped: each is good, and everything.conf is complete. */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "main/settings.h"

/* This file's place in the source tree tells where conf/ is. */
static const char *source_path(struct arena *a, const char *relative)
{
    const char *end = strstr(__FILE__, "tests/unit/main/");

    assert_non_null(end);
    return arena_printf(a, "%.*s%s", (int)(end - __FILE__), __FILE__, relative);
}

static void check_good(const char *path)
{
    struct settings_origin origin = {.path = path, .data_dir = "/tmp/none"};
    struct settings *s;

    settings_load(&s, &origin);
    complaints_print(&s->complaints, stderr);
    assert_int_equal(s->complaints.errors + s->complaints.warnings, 0);
    settings_free(&s);
}

static void every_shipped_configuration_is_good(void **state)
{
    struct arena a = {0};
    glob_t found;

    check_good(source_path(&a, "conf/skep.conf"));
    assert_int_equal(glob(source_path(&a, "conf/examples/*.conf"), 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 4);
    for (size_t i = 0; i < found.gl_pathc; i++)
        check_good(found.gl_pathv[i]);
    globfree(&found);
    arena_fini(&a);
}

static bool stands_in(const struct syntax_node *nodes, const char *name)
{
    for (; nodes; nodes = nodes->next)
        if (strcmp(nodes->words[0].text.ptr, name) == 0 || stands_in(nodes->children, name))
            return true;
    return false;
}

static void check_complete(const struct directive_table *table, const struct syntax_node *nodes)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        if (strcmp(d->name, "load") == 0)
            continue; /* in comments: which modules there are depends on the machine */
        if (!stands_in(nodes, d->name))
            fail_msg("conf/examples/everything.conf lacks %s", d->name);
        if (d->body)
            check_complete(d->body, nodes);
    }
}

static void the_complete_example_is_complete(void **state)
{
    struct complaints complaints;
    struct arena a = {0};
    struct syntax syntax;

    complaints_init(&complaints, &a);
    syntax_init(&syntax, &a, &complaints, NULL);
    syntax_load(&syntax, source_path(&a, "conf/examples/everything.conf"));
    check_complete(&settings_table, syntax.top);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shipped_configuration_is_good),
        cmocka_unit_test(the_complete_example_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
