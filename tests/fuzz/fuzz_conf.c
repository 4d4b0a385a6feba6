/* The configuration: text to a tree, the tree through the real tables, the result printed
 * and read again.  `include` reads the input itself, so that depth and loops are exercised;
 * no file of the machine is touched. */
#include "fuzz.h"

#include <string.h>

#include "conf/show.h"
#include "conf/syntax.h"
#include "conf/value.h"
#include "tables.h"

static struct str input;

static void self_read(void *arg, const char *path, size_t max_bytes, struct arena *arena,
                      struct str *out, const char **why)
{
    *out = arena_str(arena, input);
}

static const char **self_glob(void *arg, const char *pattern, struct arena *arena, size_t *count)
{
    const char **paths = ARENA_ARRAY(arena, const char *, 1);

    paths[0] = "/f/again";
    *count = 1;
    return paths;
}

static const struct source self = {.read = self_read, .glob = self_glob};

struct generation {
    struct arena arena;
    struct complaints complaints;
    struct fuzz_top top;
};

static void apply(struct generation *g, struct str text)
{
    struct directive_context ctx = {
        .arena = &g->arena, .complaints = &g->complaints, .source = &self};
    struct syntax syntax;

    *g = (struct generation){0};
    complaints_init(&g->complaints, &g->arena);
    syntax_init(&syntax, &g->arena, &g->complaints, &self);
    syntax_parse(&syntax, "/f/input", text, false);
    directive_apply(&fuzz_table, syntax.top, (struct text_pos){.file = "/f/input"}, &g->top, &ctx);
}

static char *effective(const struct generation *g, size_t *len)
{
    char *text;
    FILE *to = open_memstream(&text, len);

    show_effective(to, &fuzz_table, &g->top);
    fclose(to);
    return text;
}

/* Every complaint has a place inside a file we know, and prints. */
static void check_complaints(const struct generation *g)
{
    for (const struct complaint *c = g->complaints.first; c; c = c->next) {
        MUST(c->pos.file && c->message[0]);
        MUST(strlen(complaint_text(&g->complaints, c)) > 0);
    }
    MUST(g->complaints.errors <= COMPLAINT_MAX);
}

/* A good configuration, printed, means the same again. */
static void check_round_trip(const struct generation *g)
{
    struct generation again;
    size_t len, len2;
    char *text = effective(g, &len), *text2;

    apply(&again, (struct str){text, len});
    MUST(again.complaints.errors == 0);
    text2 = effective(&again, &len2);
    MUST(len == len2 && memcmp(text, text2, len) == 0);
    MUST(!show_changes(&fuzz_table, &g->top, &again.top, &again.arena));
    free(text);
    free(text2);
    arena_fini(&again.arena);
}

static void check_values(struct str s)
{
    struct value_address address;
    struct value_error e;
    uint64_t n, again;
    struct arena a = {0};

    if (value_size(s, &n, &e) == 0)
        MUST(value_size(str_of(value_print_size(&a, n)), &again, &e) == 0 && again == n);
    if (value_duration(s, &n, &e) == 0)
        MUST(value_duration(str_of(value_print_duration(&a, n)), &again, &e) == 0 && again == n);
    value_rate(s, &n, &e);
    value_mode(s, &n, &e);
    if (value_address(s, &address, &e) == 0)
        MUST(address.host.ptr >= s.ptr && address.host.ptr + address.host.len <= s.ptr + s.len);
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct generation g;

    if (size > 65536)
        return 0;
    input = (struct str){(const char *)data, size};
    check_values(input);
    apply(&g, input);
    check_complaints(&g);
    if (g.complaints.errors == 0)
        check_round_trip(&g);
    arena_fini(&g.arena);
    return 0;
}
