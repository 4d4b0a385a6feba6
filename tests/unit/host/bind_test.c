/* A module's option list as a table of directives: what is refused, and where values end up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/show.h"
#include "conf/syntax.h"
#include "host/bind.h"

struct inner {
    struct skep_block block;
    uint16_t port;
};

struct conf {
    uint32_t number;
    uint8_t small;
    const char *text;
    struct skep_list list;
    struct skep_lines lines;
    struct inner inner;
    struct skep_blocks parts;
};

#define FIELD(T, member) .offset = offsetof(T, member), .width = sizeof(((T *)0)->member)

static const struct skep_option inner_options[] = {
    SKEP_UINT(struct inner, port, "80", .max = 65535, .help = "h"),
    {0},
};

static const struct skep_option good_options[] = {
    SKEP_UINT(struct conf, number, "7", .help = "h"),
    SKEP_STRING(struct conf, text, SKEP_REQUIRED, .help = "h"),
    SKEP_LIST(struct conf, list, NULL, .help = "h"),
    SKEP_LINES(struct conf, lines, NULL, .help = "h"),
    SKEP_BLOCK(struct conf, inner, inner_options, .help = "h"),
    SKEP_BLOCKS(struct conf, parts, inner_options, struct inner, .help = "h"),
    {0},
};

/* The object of a module with these options; the caller frees its arena. */
static int bind(struct object *o, const char *name, const struct skep_option *options, char *why,
                size_t why_size)
{
    *o = (struct object){.d = {.name = name, .conf_size = sizeof(struct conf), .options = options}};
    return bind_object(o, why, why_size);
}

static void refused(const struct skep_option *option, const char *expected)
{
    struct skep_option list[] = {*option, {0}};
    struct object o;
    char why[256] = "";

    assert_true(bind(&o, "m", list, why, sizeof why) < 0);
    assert_string_equal(why, expected);
    arena_fini(&o.arena);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    refused(&(struct skep_option){.name = "No", .type = SKEP_TYPE_UINT, FIELD(struct conf, number)},
            "its option No needs a name of a-z, 0-9 and _");
    refused(&(struct skep_option){.name = "n", .type = 99, FIELD(struct conf, number)},
            "its option n has a type this Skep does not know: it was made for a newer SDK");
    refused(&(struct skep_option){.name = "n", .type = SKEP_TYPE_NONE, FIELD(struct conf, number)},
            "its option n has a type this Skep does not know: it was made for a newer SDK");
    refused(&(struct skep_option){.name = "n", .type = SKEP_TYPE_BOOL, FIELD(struct conf, number)},
            "its option n has a member of another C type than its option type needs");
    refused(&(struct skep_option){.name = "n", .type = SKEP_TYPE_UINT, .width = 3},
            "its option n has a member of another C type than its option type needs");
    refused(
        &(struct skep_option){
            .name = "n", .type = SKEP_TYPE_UINT, .offset = sizeof(struct conf) - 1, .width = 4},
        "its option n lies outside of conf_size");
    refused(
        &(struct skep_option){
            .name = "n", .type = SKEP_TYPE_UINT, .offset = SIZE_MAX - 1, .width = 4},
        "its option n lies outside of conf_size");
    refused(&(struct skep_option){.name = "n", .type = SKEP_TYPE_ENUM, FIELD(struct conf, number)},
            "its option n needs .choices");
    refused(&(struct skep_option){.name = "b", .type = SKEP_TYPE_BLOCK, FIELD(struct conf, inner)},
            "its option b needs a table of what is in it");
    refused(&(struct skep_option){.name = "b",
                                  .type = SKEP_TYPE_BLOCKS,
                                  .body = inner_options,
                                  .body_size = 8,
                                  FIELD(struct conf, parts)},
            "its option b needs a struct that begins with struct skep_block");
    refused(&(struct skep_option){.name = "decision_timeout",
                                  .type = SKEP_TYPE_UINT,
                                  FIELD(struct conf, number)},
            "its option decision_timeout has a name that Skep itself uses in every load block");
}

static void a_default_must_be_legal(void **state)
{
    static const char *const bad[] = {"many", "1 2", "1; number 2", "{", "", "-1"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(&(struct skep_option){.name = "number",
                                      .type = SKEP_TYPE_UINT,
                                      .fallback = bad[i],
                                      FIELD(struct conf, number)},
                "its option number has a default that it would not take");
    refused(
        &(struct skep_option){
            .name = "small", .type = SKEP_TYPE_UINT, .fallback = "256", FIELD(struct conf, small)},
        "its option small has a default that it would not take");
    refused(&(struct skep_option){.name = "number",
                                  .type = SKEP_TYPE_UINT,
                                  .fallback = "5",
                                  .max = 4,
                                  FIELD(struct conf, number)},
            "its option number has a default that it would not take");
}

static void names_are_unique_and_lists_end(void **state)
{
    const struct skep_option twice[] = {
        {.name = "n", .type = SKEP_TYPE_UINT, FIELD(struct conf, number)},
        {.name = "n", .type = SKEP_TYPE_UINT, FIELD(struct conf, small)},
        {0},
    };
    static struct skep_option endless[2000];
    static struct skep_option self[2];
    struct object o;
    char why[256];

    assert_true(bind(&o, "m", twice, why, sizeof why) < 0);
    assert_string_equal(why, "its option n is there twice");
    arena_fini(&o.arena);

    for (size_t i = 0; i < 2000; i++)
        endless[i] = twice[0];
    assert_true(bind(&o, "m", endless, why, sizeof why) < 0);
    assert_string_equal(why, "its options have no end: does the list end with {0}?");
    arena_fini(&o.arena);

    /* a block in itself */
    self[0] = (struct skep_option){
        .name = "b", .type = SKEP_TYPE_BLOCK, .width = sizeof(struct conf), .body = self};
    assert_true(bind(&o, "m", self, why, sizeof why) < 0);
    assert_string_equal(why, "its options have no end: does the list end with {0}?");
    arena_fini(&o.arena);

    assert_true(bind(&o, "Bad Name", good_options, why, sizeof why) < 0);
    arena_fini(&o.arena);
    assert_true(bind(&o, NULL, good_options, why, sizeof why) < 0);
    arena_fini(&o.arena);
    assert_int_equal(bind(&o, "none", NULL, why, sizeof why), 0); /* no options are fine */
    assert_int_equal(o.table->count, bind_host_table.count);
    arena_fini(&o.arena);
}

/* A load block with this in it. */
static struct load_block *read_block(struct object *o, const char *text, struct arena *arena,
                                     struct complaints *complaints)
{
    struct directive_context ctx = {
        .arena = arena, .complaints = complaints, .source = &source_files};
    struct load_block *b = arena_alloc(arena, o->table->size);
    struct syntax tree;

    complaints_init(complaints, arena);
    syntax_init(&tree, arena, complaints, NULL);
    syntax_parse(&tree, "/etc/skep.conf", str_of(text), false);
    directive_apply(o->table, tree.top, (struct text_pos){"/etc/skep.conf", 1, 1}, b, &ctx);
    b->block.table = o->table;
    return b;
}

static void values_reach_the_module(void **state)
{
    struct complaints complaints;
    struct arena arena = {0};
    struct object o;
    char why[256];

    assert_int_equal(bind(&o, "m", good_options, why, sizeof why), 0);
    struct load_block *b = read_block(&o,
                                      "decision_timeout 3s; on_error allow; text hello;\n"
                                      "list a b; list c; lines x y; lines z;\n"
                                      "inner { port 81; } parts one { port 1; } parts two { }",
                                      &arena, &complaints);
    const struct conf *c = bind_conf(b);

    assert_int_equal(complaints.errors, 0);
    assert_ptr_equal(bind_object_of(b), &o);
    assert_int_equal((uintptr_t)c % _Alignof(max_align_t), 0);
    assert_int_equal(b->decision_timeout_ms, 3000);
    assert_int_equal(b->on_error, ON_ERROR_ALLOW);
    assert_int_equal(c->number, 7);
    assert_string_equal(c->text, "hello");
    assert_int_equal(c->list.count, 3);
    assert_string_equal(c->list.items[2], "c");
    assert_int_equal(c->list.places[2].line, 2);
    assert_string_equal(c->list.places[2].file, "/etc/skep.conf");
    assert_int_equal(c->lines.count, 2);
    assert_int_equal(c->lines.items[0].count, 2);
    assert_string_equal(c->lines.items[1].items[0], "z");
    assert_int_equal(c->lines.items[1].places[0].line, 2);
    assert_int_equal(c->inner.port, 81);
    assert_null(c->inner.block.label);
    assert_int_equal(c->inner.block.place.line, 3);
    assert_int_equal(c->parts.count, 2);
    const struct inner *two = c->parts.items[1];
    assert_string_equal(two->block.label, "two");
    assert_int_equal(two->port, 80);
    arena_fini(&arena);
    arena_fini(&o.arena);
}

static void a_block_that_is_absent_says_so(void **state)
{
    struct complaints complaints;
    struct arena arena = {0};
    struct object o;
    char why[256];

    assert_int_equal(bind(&o, "m", good_options, why, sizeof why), 0);
    const struct conf *c = bind_conf(read_block(&o, "text t;", &arena, &complaints));
    assert_int_equal(complaints.errors, 0);
    assert_null(c->inner.block.place.file);
    assert_int_equal(c->inner.port, 80); /* its defaults are there all the same */
    read_block(&o, "number 3;", &arena, &complaints);
    assert_int_equal(complaints.errors, 1);
    assert_non_null(strstr(complaints.first->message, "text is missing"));
    arena_fini(&arena);
    arena_fini(&o.arena);
}

/* What is printed can be read again, and gives the same. */
static void what_is_shown_reads_the_same(void **state)
{
    struct complaints complaints;
    struct arena arena = {0};
    char *first = NULL, *second = NULL, why[256];
    size_t len;
    struct object o;

    assert_int_equal(bind(&o, "m", good_options, why, sizeof why), 0);
    const struct load_block *b = read_block(&o,
                                            "text \"a b\"; lines \"x;\" y; lines z; list q;"
                                            "parts p { port 2; } inner { }",
                                            &arena, &complaints);
    FILE *to = open_memstream(&first, &len);
    show_effective(to, o.table, b);
    fclose(to);
    b = read_block(&o, first, &arena, &complaints);
    assert_int_equal(complaints.errors, 0);
    to = open_memstream(&second, &len);
    show_effective(to, o.table, b);
    fclose(to);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "lines \"x;\" y;\nlines z;\n"));
    free(first);
    free(second);
    arena_fini(&arena);
    arena_fini(&o.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(a_default_must_be_legal),
        cmocka_unit_test(names_are_unique_and_lists_end),
        cmocka_unit_test(values_reach_the_module),
        cmocka_unit_test(a_block_that_is_absent_says_so),
        cmocka_unit_test(what_is_shown_reads_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
