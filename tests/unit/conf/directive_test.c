#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/mem.h"
#include "conf/directive.h"
#include "conf/reference.h"
#include "conf/show.h"

/* A table with one directive of each kind. */
struct inner {
    struct directive_block block;
    bool on;
    const char *file;
};

struct item {
    struct directive_block block;
    uint16_t port;
    struct inner inner;
};

struct plugin {
    struct directive_block block;
    struct directive_secret password;
    uint32_t timeout_ms;
};

struct top {
    uint8_t small;
    uint32_t size;
    uint32_t seconds;
    uint64_t rate;
    unsigned mode;
    enum { RED, GREEN } color;
    unsigned set;
    const char *name, *path, *address;
    char text[8];
    struct directive_secret secret;
    struct directive_list list;
    struct directive_lines lines;
    struct inner inner;
    struct directive_blocks items, plugins;
};

#define AT(T, m) DIRECTIVE_FIELD(struct T, m)
#define TABLE(array, T)                                                                            \
    {                                                                                              \
        .items = array, .count = ARRAY_LEN(array), .size = sizeof(struct T)                        \
    }

static const struct directive inner_items[] = {
    {.name = "on", .type = DIRECTIVE_BOOL, AT(inner, on), .fallback = "on", .help = "h"},
    {.name = "file",
     .type = DIRECTIVE_PATH,
     AT(inner, file),
     .flags = DIRECTIVE_REQUIRED,
     .help = "h"},
};
static const struct directive_table inner_table = TABLE(inner_items, inner);
static const struct directive item_items[] = {
    {.name = "port",
     .type = DIRECTIVE_UINT,
     AT(item, port),
     .fallback = "1883",
     .min = 1,
     .help = "h"},
    {.name = "inner",
     .type = DIRECTIVE_BLOCK,
     AT(item, inner),
     .body = &inner_table,
     .flags = DIRECTIVE_HEADED,
     .help = "h"},
};
static const struct directive_table item_table = TABLE(item_items, item);
static const struct directive plugin_items[] = {
    {.name = "password", .type = DIRECTIVE_SECRET, AT(plugin, password), .help = "h"},
    {.name = "timeout",
     .type = DIRECTIVE_DURATION,
     AT(plugin, timeout_ms),
     .fallback = "2s",
     .help = "h"},
};
static const struct directive_table plugin_table = TABLE(plugin_items, plugin);

/* The seam for `load NAME { }`: the table is found when the name is read. */
static const struct directive_table *find_plugin(const struct directive *d,
                                                 const struct syntax_word *label,
                                                 struct directive_context *ctx)
{
    return str_eq(label->text, STR("auth")) ? &plugin_table : NULL;
}

static const struct directive top_items[] = {
    {.name = "small",
     .type = DIRECTIVE_UINT,
     AT(top, small),
     .word = "auto",
     .fallback = "auto",
     .min = 1,
     .max = 200,
     .flags = DIRECTIVE_FIXED,
     .help = "h"},
    {.name = "size",
     .type = DIRECTIVE_SIZE,
     AT(top, size),
     .fallback = "64k",
     .min = 16,
     .help = "h"},
    {.name = "seconds",
     .type = DIRECTIVE_DURATION,
     AT(top, seconds),
     .flags = DIRECTIVE_SECONDS,
     .word = "never",
     .word_value = UINT32_MAX,
     .fallback = "never",
     .help = "h"},
    {.name = "rate", .type = DIRECTIVE_RATE, AT(top, rate), .fallback = "100/s", .help = "h"},
    {.name = "mode", .type = DIRECTIVE_MODE, AT(top, mode), .fallback = "0640", .help = "h"},
    {.name = "color",
     .type = DIRECTIVE_ENUM,
     AT(top, color),
     .choices = "red|green",
     .fallback = "green",
     .help = "h"},
    {.name = "set",
     .type = DIRECTIVE_SET,
     AT(top, set),
     .choices = "3.1|3.1.1|5",
     .fallback = "3.1 5",
     .help = "h"},
    {.name = "name",
     .type = DIRECTIVE_STRING,
     AT(top, name),
     .word = "off",
     .fallback = "bob",
     .help = "h"},
    {.name = "path", .type = DIRECTIVE_PATH, AT(top, path), .help = "h"},
    {.name = "address", .type = DIRECTIVE_ADDRESS, AT(top, address), .help = "h"},
    {.name = "text", .type = DIRECTIVE_TEXT, AT(top, text), .fallback = "abc", .help = "h"},
    {.name = "secret", .type = DIRECTIVE_SECRET, AT(top, secret), .help = "h"},
    {.name = "list",
     .type = DIRECTIVE_LIST,
     .item = DIRECTIVE_STRING,
     AT(top, list),
     .flags = DIRECTIVE_REPEATABLE,
     .help = "h"},
    {.name = "lines",
     .type = DIRECTIVE_LINES,
     .item = DIRECTIVE_STRING,
     AT(top, lines),
     .min = 2,
     .max = 3,
     .help = "h"},
    {.name = "inner",
     .type = DIRECTIVE_BLOCK,
     AT(top, inner),
     .body = &inner_table,
     .flags = DIRECTIVE_HEADED,
     .help = "h"},
    {.name = "item", .type = DIRECTIVE_BLOCKS, AT(top, items), .body = &item_table, .help = "h"},
    {.name = "load",
     .type = DIRECTIVE_BLOCKS,
     AT(top, plugins),
     .find = find_plugin,
     .flags = DIRECTIVE_BARE,
     .help = "h"},
};
static const struct directive_table top_table = TABLE(top_items, top);

struct generation {
    struct arena arena;
    struct complaints complaints;
    struct top top;
};

static void apply(struct generation *g, const char *text, const char *override)
{
    struct directive_context ctx = {
        .arena = &g->arena, .complaints = &g->complaints, .source = &source_files};
    struct syntax tree;

    *g = (struct generation){0};
    complaints_init(&g->complaints, &g->arena);
    syntax_init(&tree, &g->arena, &g->complaints, NULL);
    syntax_parse(&tree, "/etc/f", str_of(text), false);
    if (override)
        syntax_parse(&tree, "cli", str_of(override), true);
    directive_apply(&top_table, tree.top, (struct text_pos){.file = "/etc/f"}, &g->top, &ctx);
}

static void end(struct generation *g)
{
    arena_fini(&g->arena);
}

/* Each text must give exactly this one complaint. */
static void wrong(const char *text, const char *message)
{
    struct generation g;

    apply(&g, text, NULL);
    if (g.complaints.errors != 1)
        complaints_print(&g.complaints, stderr);
    assert_int_equal(g.complaints.errors, 1);
    assert_string_equal(complaint_text(&g.complaints, g.complaints.first), message);
    end(&g);
}

static void defaults_are_set(void **state)
{
    struct generation g;

    apply(&g, "", NULL);
    assert_int_equal(g.complaints.errors, 0);
    assert_int_equal(g.top.small, 0);
    assert_int_equal(g.top.size, 65536);
    assert_true(g.top.seconds == UINT32_MAX);
    assert_int_equal(g.top.rate, 100);
    assert_int_equal(g.top.mode, 0640);
    assert_int_equal(g.top.color, GREEN);
    assert_int_equal(g.top.set, 5);
    assert_string_equal(g.top.name, "bob");
    assert_null(g.top.path);
    assert_string_equal(g.top.text, "abc");
    assert_true(g.top.inner.on);
    assert_null(g.top.inner.block.table); /* not given, so `file` is not missing */
    end(&g);
}

static void values_are_read(void **state)
{
    struct generation g;

    apply(&g,
          "small 200; size 1m; seconds 1h; rate 5/s; mode 600; color red; set 3.1.1;\n"
          "name off; path certs/x.pem; address [::1]:1883; text 1234567; secret pw;\n"
          "list a b; list c; inner { file /abs; on off; }\n"
          "item one { port 1; } item two { inner { file y; } }\n"
          "load auth { password x; }",
          NULL);
    complaints_print(&g.complaints, stderr);
    assert_int_equal(g.complaints.errors, 0);
    assert_int_equal(g.top.small, 200);
    assert_int_equal(g.top.size, 1 << 20);
    assert_int_equal(g.top.seconds, 3600);
    assert_int_equal(g.top.color, RED);
    assert_int_equal(g.top.set, 2);
    assert_null(g.top.name);
    assert_string_equal(g.top.path, "/etc/certs/x.pem"); /* relative to the file */
    assert_string_equal(g.top.text, "1234567");
    assert_true(str_eq(g.top.secret.value, STR("pw")));
    assert_int_equal(g.top.list.count, 3);
    assert_string_equal(g.top.list.items[2], "c");
    assert_int_equal(g.top.list.pos[2].line, 3);
    assert_false(g.top.inner.on);
    assert_string_equal(g.top.inner.file, "/abs");
    assert_int_equal(g.top.items.count, 2);
    struct item *one = g.top.items.items[0], *two = g.top.items.items[1];
    assert_string_equal(one->block.label, "one");
    assert_int_equal(one->port, 1);
    assert_int_equal(two->port, 1883);
    assert_non_null(two->inner.block.table);
    struct plugin *p = g.top.plugins.items[0];
    assert_ptr_equal(p->block.table, &plugin_table);
    assert_int_equal(p->timeout_ms, 2000);
    end(&g);
}

static void complaints_name_place_and_hint(void **state)
{
    wrong("\n  sise 1m;", "/etc/f:2:3: unknown directive sise, did you mean size?");
    wrong("file x;", "/etc/f:1:1: unknown directive file, it belongs inside inner { }");
    wrong("qqqqqq 1;", "/etc/f:1:1: unknown directive qqqqqq");
    wrong("size;", "/etc/f:1:1: size needs a value, for example: size 64k;");
    wrong("size 1m 2m;", "/etc/f:1:9: size takes one value");
    wrong("size 1m\nsmall 1;",
          "/etc/f:2:1: size takes one value, is a ';' missing at the end of line 1?");
    wrong("size 1q;", "/etc/f:1:6: size: unknown unit 'q', sizes look like 512, 64k, 1m or 1g");
    wrong("size 15;", "/etc/f:1:6: size: 15 is out of range (at least 16)");
    wrong("size 4g;", "/etc/f:1:6: size: 4g is out of range (at least 16)");
    wrong("small 201;", "/etc/f:1:7: small: 201 is out of range (1 to 200)");
    wrong("small x;",
          "/etc/f:1:7: small: 'x' is not a number, 'auto' may be written instead of a value");
    wrong("seconds 1500ms;", "/etc/f:1:9: seconds takes whole seconds");
    wrong("color bleu;", "/etc/f:1:7: color: 'bleu' is not one of red|green");
    wrong("color gren;", "/etc/f:1:7: color: 'gren' is not one of red|green, did you mean green?");
    wrong("size 1m; size 2m;", "/etc/f:1:10: size is given twice, it stands already at /etc/f:1");
    wrong("size { }", "/etc/f:1:1: size is no block, write: size VALUE;");
    wrong("inner;", "/etc/f:1:1: inner needs a block: inner { ... }");
    wrong("inner x { file y; }", "/etc/f:1:7: inner { } takes no name");
    wrong("inner { }", "/etc/f:1:1: file is missing here, add: file path;");
    wrong("item { }",
          "/etc/f:1:1: item takes one name before its '{', for example: item main { ... }");
    wrong("item a { }\nitem a { }", "/etc/f:2:6: a second item with the name a, the first is at "
                                    "/etc/f:1");
    wrong("item a { port 70000; }", "/etc/f:1:15: port: 70000 is out of range (1 to 65535)");
    wrong("load other { }", "/etc/f:1:6: load: there is no other");
    wrong("load auth { timeout 2; }", "/etc/f:1:21: timeout: the duration '2' has no unit, "
                                      "durations look like 500ms, 30s, 5m, 1h or 7d");
    wrong("text 12345678;", "/etc/f:1:6: text has 8 bytes (0 to 7)");
    wrong("address localhost:1;",
          "/etc/f:1:9: address: 'localhost' is not an IP address, 0.0.0.0 and [::] stand for every "
          "address of this machine, 127.0.0.1 and [::1] for local clients only");
    wrong("path '';", "/etc/f:1:6: path: an empty path");
}

static void several_errors_are_reported_at_once(void **state)
{
    struct generation g;

    apply(&g, "sise 1;\nsmall 201;\nrate 5;\ninner { }", NULL);
    assert_int_equal(g.complaints.errors, 4);
    end(&g);
}

static void lines_are_kept_apart(void **state)
{
    struct generation g;

    apply(&g, "lines a b;\nlines 'c d' e f;", NULL);
    assert_int_equal(g.complaints.errors, 0);
    assert_int_equal(g.top.lines.count, 2);
    assert_int_equal(g.top.lines.items[0].count, 2);
    assert_int_equal(g.top.lines.items[1].count, 3);
    assert_string_equal(g.top.lines.items[1].items[0], "c d");
    assert_int_equal(g.top.lines.items[1].pos[2].line, 2);
    end(&g);
    apply(&g, "lines a b; lines c d;", "lines x y; lines z z;");
    assert_int_equal(g.top.lines.count, 2);
    assert_string_equal(g.top.lines.items[0].items[0], "x");
    end(&g);
    wrong("lines a;", "/etc/f:1:1: lines needs a value, for example: lines string ...;");
    wrong("lines a b c d;", "/etc/f:1:13: lines has too many values");
}

/* `load auth;` is `load auth { }`, where that is allowed. */
static void a_block_may_be_left_out(void **state)
{
    struct generation g;

    apply(&g, "load auth;", NULL);
    assert_int_equal(g.complaints.errors, 0);
    assert_int_equal(g.top.plugins.count, 1);
    assert_int_equal(((struct plugin *)g.top.plugins.items[0])->timeout_ms, 2000);
    end(&g);
    wrong("load auth; load auth;", "/etc/f:1:17: a second load with the name auth, the first is at "
                                   "/etc/f:1");
    wrong("load auth other;",
          "/etc/f:1:1: load takes one name before its '{', for example: load main { ... }");
    wrong("item a;", "/etc/f:1:1: item needs a block: item { ... }");
}

static void the_command_line_wins(void **state)
{
    struct generation g;

    apply(&g, "size 1m; list a b; item one { port 5; } inner { file x; }",
          "size 2m; list c; list d; item one { port 6; } inner { on off; }");
    complaints_print(&g.complaints, stderr);
    assert_int_equal(g.complaints.errors, 0);
    assert_int_equal(g.top.size, 2 << 20);
    assert_int_equal(g.top.list.count, 2);
    assert_string_equal(g.top.list.items[0], "c");
    assert_int_equal(g.top.items.count, 1);
    assert_int_equal(((struct item *)g.top.items.items[0])->port, 6);
    assert_false(g.top.inner.on);
    assert_string_equal(g.top.inner.file, "/etc/x");
    end(&g);
}

static char *effective(const struct generation *g)
{
    char *text;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    show_effective(to, &top_table, &g->top);
    fclose(to);
    return text;
}

static void secrets_come_from_outside_and_stay_hidden(void **state)
{
    char path[] = "/tmp/skep-secret-XXXXXX", text[256];
    struct generation g;
    int fd = mkstemp(path);

    assert_int_equal(write(fd, "s3cr\0t\n", 7), 7);
    close(fd);
    snprintf(text, sizeof text, "secret file:%s; load auth { password env:SKEP_TEST_PW; }", path);
    setenv("SKEP_TEST_PW", "hunter2", 1);
    apply(&g, text, NULL);
    assert_int_equal(g.complaints.errors, 0);
    assert_true(str_eq(g.top.secret.value, ((struct str){"s3cr\0t", 6})));
    struct plugin *p = g.top.plugins.items[0];
    assert_true(str_eq(p->password.value, STR("hunter2")));
    char *shown = effective(&g);
    assert_null(strstr(shown, "hunter2"));
    assert_null(strstr(shown, "s3cr"));
    assert_non_null(strstr(shown, "password env:SKEP_TEST_PW;"));
    free(shown);
    end(&g);
    unlink(path);
    unsetenv("SKEP_TEST_PW");

    wrong("secret env:SKEP_TEST_PW;",
          "/etc/f:1:8: secret: the environment has no variable SKEP_TEST_PW");
    wrong("secret file:/nonexistent;",
          "/etc/f:1:8: secret: cannot read /nonexistent: No such file or directory");
    apply(&g, "secret \"env:X\"; load auth { password tops3cret; }", NULL);
    assert_true(str_eq(g.top.secret.value, STR("env:X"))); /* quoted: itself */
    shown = effective(&g);
    assert_null(strstr(shown, "tops3cret"));
    assert_non_null(strstr(shown, "password \"hidden\";"));
    free(shown);
    end(&g);
}

static void what_is_printed_can_be_read_again(void **state)
{
    struct generation g, again;

    apply(&g,
          "small 7; size 1m; seconds 90s; rate 64k/s; mode 0600; color red; set 3.1.1 5;\n"
          "name \"a b;{\\\"\"; path /x; list a 'b c'; inner { file f; }\n"
          "item one { port 5; inner { file g; on off; } } item 'two three' { }",
          NULL);
    assert_int_equal(g.complaints.errors, 0);
    char *first = effective(&g);
    apply(&again, first, NULL);
    complaints_print(&again.complaints, stderr);
    assert_int_equal(again.complaints.errors, 0);
    char *second = effective(&again);
    assert_string_equal(first, second);
    assert_null(show_changes(&top_table, &g.top, &again.top, &again.arena));
    free(first);
    free(second);
    end(&g);
    end(&again);
}

static void changes_are_listed(void **state)
{
    struct generation a, b;
    static const char *const wanted[] = {
        "small: auto -> 4",
        "size: 64k -> 1m",
        "path: added /etc/x",
        "secret: changed (not shown)",
        "inner: added",
        "item one.port: 1 -> 2",
        "item gone: removed",
        "item new: added",
        "load auth.password: changed (not shown)",
    };
    size_t n = 0;

    apply(&a, "secret a; item one { port 1; } item gone { } load auth { password a; }", NULL);
    apply(&b,
          "small 4; size 1m; path x; secret b; inner { file x; }\n"
          "item one { port 2; } item new { } load auth { password b; }",
          NULL);
    for (struct show_change *c = show_changes(&top_table, &a.top, &b.top, &b.arena); c;
         c = c->next, n++) {
        assert_true(n < ARRAY_LEN(wanted));
        assert_string_equal(show_change_text(c, &b.arena), wanted[n]);
        assert_int_equal(c->fixed, n == 0);
    }
    assert_int_equal(n, ARRAY_LEN(wanted));
    end(&a);
    end(&b);
}

static void the_reference_names_every_directive(void **state)
{
    for (int format = REFERENCE_TEXT; format <= REFERENCE_MAN; format++) {
        char *text;
        size_t len;
        FILE *to = open_memstream(&text, &len);
        reference_print(to, &top_table, (enum reference_format)format);
        fclose(to);
        for (size_t i = 0; i < top_table.count; i++)
            assert_non_null(strstr(text, top_table.items[i].name));
        assert_non_null(strstr(text, "port"));
        if (format == REFERENCE_JSON) {
            cJSON *o = cJSON_Parse(text);
            assert_int_equal(cJSON_GetArraySize(o), top_table.count);
            cJSON_Delete(o);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_set),
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(complaints_name_place_and_hint),
        cmocka_unit_test(several_errors_are_reported_at_once),
        cmocka_unit_test(lines_are_kept_apart),
        cmocka_unit_test(a_block_may_be_left_out),
        cmocka_unit_test(the_command_line_wins),
        cmocka_unit_test(secrets_come_from_outside_and_stay_hidden),
        cmocka_unit_test(what_is_printed_can_be_read_again),
        cmocka_unit_test(changes_are_listed),
        cmocka_unit_test(the_reference_names_every_directive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
