#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "conf/syntax.h"

/* Files in memory: name, text, name, text, ..., NULL. */
static void memory_read(void *arg, const char *path, size_t max_bytes, struct arena *arena,
                        struct str *out, const char **why)
{
    *out = STR_NONE;
    *why = "no such file";
    for (const char **f = arg; *f; f += 2)
        if (strcmp(f[0], path) == 0)
            *out = str_of(f[1]);
}

/* The only pattern the tests use is a trailing star. */
static const char **memory_glob(void *arg, const char *pattern, struct arena *arena, size_t *count)
{
    const char **paths = ARENA_ARRAY(arena, const char *, 16);
    size_t len = strcspn(pattern, "*");

    *count = 0;
    for (const char **f = arg; *f && *count < 16; f += 2)
        if (pattern[len] == '*' ? strncmp(f[0], pattern, len) == 0 : strcmp(f[0], pattern) == 0)
            paths[(*count)++] = f[0];
    return paths;
}

static struct arena arena;
static struct complaints complaints;
static struct syntax tree;

static void parse(const char *text)
{
    arena_fini(&arena);
    complaints_init(&complaints, &arena);
    syntax_init(&tree, &arena, &complaints, NULL);
    syntax_parse(&tree, "f", str_of(text), false);
}

static void load(const char **files)
{
    static struct source source;

    arena_fini(&arena);
    source = (struct source){memory_read, memory_glob, files};
    complaints_init(&complaints, &arena);
    syntax_init(&tree, &arena, &complaints, &source);
    syntax_load(&tree, files[0]);
}

static const char *complaint(unsigned at)
{
    const struct complaint *c = complaints.first;

    while (c && at-- > 0)
        c = c->next;
    return c ? complaint_text(&complaints, c) : "(none)";
}

static const char *word(const struct syntax_node *n, size_t i)
{
    assert_true(n && i < n->count);
    return n->words[i].text.ptr;
}

static void directives_and_blocks(void **state)
{
    parse("# comment ; }\n"
          "threads auto;;\n"
          "listener \"a b\" {\n"
          "  bind 127.0.0.1:1883 [::1]:1883; # behind\n"
          "  tls { key k#1; }\n"
          "}\n"
          "last;");
    assert_int_equal(complaints.errors, 0);
    struct syntax_node *n = tree.top;
    assert_string_equal(word(n, 0), "threads");
    assert_string_equal(word(n, 1), "auto");
    n = n->next;
    assert_true(n->block);
    assert_string_equal(word(n, 1), "a b");
    assert_true(n->words[1].quoted);
    assert_int_equal(n->words[1].pos.line, 3);
    assert_int_equal(n->words[1].pos.column, 10);
    assert_int_equal(n->children->count, 3);
    assert_string_equal(word(n->children->next->children, 1), "k#1");
    assert_string_equal(word(n->next, 0), "last");
    assert_null(n->next->next);
}

static void quotes_and_escapes(void **state)
{
    parse("a \"x\\n\\t\\r\\\\\\\"\\x41\" 'as \\n \"is\"' \"\" caf\xc3\xa9 \"caf\xc3\xa9\" z;");
    assert_int_equal(complaints.errors, 0);
    assert_string_equal(word(tree.top, 1), "x\n\t\r\\\"A");
    assert_string_equal(word(tree.top, 2), "as \\n \"is\"");
    assert_string_equal(word(tree.top, 3), "");
    assert_string_equal(word(tree.top, 4), "caf\xc3\xa9");
    /* Columns count characters, not bytes. */
    assert_int_equal(tree.top->words[5].pos.column, tree.top->words[4].pos.column + 5);
    assert_int_equal(tree.top->words[6].pos.column, tree.top->words[5].pos.column + 7);
}

static void errors_have_places_and_parsing_goes_on(void **state)
{
    parse("good 1;\n"
          "} \n"
          "bad \"\\q\";\n"
          "{ inner 1; }\n"
          "last 2");
    assert_int_equal(complaints.errors, 4);
    assert_string_equal(complaint(0), "f:2:1: this '}' closes nothing");
    assert_string_equal(complaint(1),
                        "f:3:6: unknown escape in a quoted word, known are \\n \\t \\r "
                        "\\\\ \\\" and \\xHH");
    assert_string_equal(complaint(2), "f:4:1: a block needs a name before its '{'");
    assert_string_equal(complaint(3), "f:5:7: ';' is missing after 'last' (line 5)");
    assert_string_equal(word(tree.top, 0), "good");
}

static void unfinished_text(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a {", "f:1:1: this block is never closed"},
        {"a { b 1; ", "f:1:1: this block is never closed"},
        {"a \"b", "f:1:3: this quote is never closed"},
        {"a \"b\\", "f:1:3: this quote is never closed"},
        {"a { b 1 }", "f:1:9: ';' is missing after 'b' (line 1)"},
        {"a \"b\"c;", "f:1:6: a space or ';' must follow a closing quote"},
        {"a b\"c\";", "f:1:4: a quote inside a word, quote the whole word"},
        {"a \xff;", "f:1:3: this word is not valid UTF-8"},
        {"a \x01;", "f:1:3: this word holds a control character"},
        {"a \"\\x00\";", "f:1:3: this word holds a NUL character"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        parse(cases[i].text);
        assert_string_equal(complaint(0), cases[i].message);
    }
}

static void nesting_and_complaints_are_bounded(void **state)
{
    char text[4096];

    memset(text, '{', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    parse(text);
    assert_true(complaints.errors > 0 && complaints.errors <= COMPLAINT_MAX);
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "a {", 4);
    parse(text);
    assert_true(complaints.errors > 0 && complaints.errors <= COMPLAINT_MAX);
    memset(text, '}', sizeof text - 1);
    parse(text);
    assert_int_equal(complaints.errors, COMPLAINT_MAX);
}

static void includes_are_read_in_place_and_relative(void **state)
{
    const char *files[] = {
        "/etc/skep/skep.conf",
        "first 1; include conf.d/*; last 1;",
        "/etc/skep/conf.d/a",
        "a 1; include more/x;",
        "/etc/skep/conf.d/b",
        "b 1;",
        "/etc/skep/conf.d/more/x",
        "x 1;",
        NULL,
    };
    const char *order = "";

    load(files);
    assert_int_equal(complaints.errors, 0);
    for (struct syntax_node *n = tree.top; n; n = n->next)
        order = arena_printf(&arena, "%s %s", order, word(n, 0));
    /* The memory glob also matches conf.d/more/x; a shell's would not. */
    assert_string_equal(order, " first a x b x last");
    assert_string_equal(tree.top->next->words[0].pos.file, "/etc/skep/conf.d/a");
}

static void includes_fail_in_words(void **state)
{
    const char *missing[] = {"c", "include nothere;\ninclude 'none*';", NULL};
    const char *self[] = {"c", "include c;", NULL};
    const char *wide[] = {"c",  "include c*; include c*;",
                          "c1", "include c*;",
                          "c2", "include c*;",
                          "c3", "include c*;",
                          NULL};

    load(missing); /* a pattern may match nothing, a plain name may not */
    assert_int_equal(complaints.errors, 1);
    assert_string_equal(complaint(0), "c:1:9: no such file: nothere");
    load(self);
    assert_string_equal(complaint(0),
                        "c:1:1: files are included more than 8 deep, does a file include itself?");
    load(wide);
    assert_int_equal(complaints.errors, COMPLAINT_MAX);
    assert_true(tree.files <= SYNTAX_FILES_MAX + COMPLAINT_MAX);
    load((const char *[]){"gone", "x", NULL});
    syntax_load(&tree, "really-gone");
    assert_string_equal(complaint(1), "really-gone: cannot read really-gone: no such file");
}

static int clean(void **state)
{
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_and_blocks),
        cmocka_unit_test(quotes_and_escapes),
        cmocka_unit_test(errors_have_places_and_parsing_goes_on),
        cmocka_unit_test(unfinished_text),
        cmocka_unit_test(nesting_and_complaints_are_bounded),
        cmocka_unit_test(includes_are_read_in_place_and_relative),
        cmocka_unit_test(includes_fail_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
