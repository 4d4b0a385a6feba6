/* From options in a string to running instances: the way that main takes with a file. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/directive.h"
#include "harness.h"
#include "host/life.h"
#include "world.h"

enum { WARM_STEP_MS = 100, PATHS_MAX = 16 };

struct test_conf {
    struct directive_blocks loads;
};

/* Everything that one reading of the options made; counted, since instances live in it. */
struct config {
    unsigned refs;
    struct arena arena;
    struct complaints complaints;
    struct load_context loads;
    struct test_conf conf;
    const char *path[PATHS_MAX];
};

static const struct directive directives[] = {
    {
        .name = "load",
        .type = DIRECTIVE_BLOCKS,
        DIRECTIVE_FIELD(struct test_conf, loads),
        .flags = DIRECTIVE_HEADED | DIRECTIVE_BARE,
        .body = &bind_host_table,
        .find = load_find,
    },
};

static const struct directive_table table = {directives, ARRAY_LEN(directives),
                                             sizeof(struct test_conf), NULL};

static const struct life_chain chains[] = {{TEST_LISTENER, NULL, 0}};

static void config_retain(void *config)
{
    ((struct config *)config)->refs++;
}

static void config_release(void *config)
{
    struct config *c = config;

    if (--c->refs > 0)
        return;
    load_close(&c->loads);
    arena_fini(&c->arena);
    free(c);
}

/* $SKEP_TEST_MODULES, as PATH is written; then here. */
static void config_path(struct config *c)
{
    const char *list = getenv("SKEP_TEST_MODULES");

    while (list && *list && c->loads.path_count < PATHS_MAX - 1) {
        size_t len = strcspn(list, ":");
        c->path[c->loads.path_count++] = arena_cstr(&c->arena, (struct str){list, len});
        list += len + (list[len] == ':');
    }
    c->path[c->loads.path_count++] = ".";
    c->loads.path = c->path;
}

/* "auth_token" is looked for; "auth_token.so" is a file, as is what has a '/'. */
static const char *label_of(struct arena *arena, const struct test_line *line)
{
    const char *file = line->file ? line->file : TEST_LINKED;
    size_t len = strlen(file);
    bool bare = !strchr(file, '/') && len > 3 && strcmp(file + len - 3, ".so") == 0;

    return bare ? arena_printf(arena, "./%s", file) : file;
}

/* The options stand on lines of their own, so that a complaint's first line is theirs. */
static const char *config_text(struct config *c, const struct skep_test *t)
{
    const char *text = "";

    for (const struct test_line *line = t->lines; line; line = line->next)
        text = arena_printf(&c->arena, "%sload \"%s\" {%s\n}\n", text, label_of(&c->arena, line),
                            line->options);
    return text;
}

static bool config_read(struct config *c, const struct skep_test *t)
{
    struct directive_context ctx = {.arena = &c->arena,
                                    .complaints = &c->complaints,
                                    .source = &source_files,
                                    .user = &c->loads};
    struct syntax syntax;

    config_path(c);
    syntax_init(&syntax, &c->arena, &c->complaints, NULL);
    syntax_parse(&syntax, "options", str_of(config_text(c, t)), false);
    directive_apply(&table, syntax.top, (struct text_pos){"options", 1, 1}, &c->conf, &ctx);
    if (c->complaints.errors == 0)
        load_check(&c->conf.loads, &c->complaints);
    return c->complaints.errors == 0;
}

/* As a reload does: time passes until the new instances are ready, or say that they are not. */
static bool warm_up(struct skep_test *t, struct life_set *set, struct complaints *complaints)
{
    enum life_warmth warmth;

    life_warm(set, clock_mono_ms());
    world_run();
    while ((warmth = life_warmed(set, clock_mono_ms(), complaints)) == LIFE_WARMING)
        world_pass(clock_mono_ms() + WARM_STEP_MS);
    return warmth == LIFE_WARM;
}

static void commit(struct skep_test *t, struct config *c)
{
    struct life_conf conf = {.loads = &c->conf.loads,
                             .chains = chains,
                             .chain_count = ARRAY_LEN(chains),
                             .acl = LIFE_ACL_AUTO,
                             .owner = c,
                             .retain = config_retain,
                             .release = config_release};
    struct life_set *set;
    bool first = !t->module;

    if (life_build(&set, t->host, &conf, &c->complaints) < 0)
        return;
    if (!first && !warm_up(t, set, &c->complaints)) {
        life_abandon(&set);
        return;
    }
    life_prepare(set);
    life_commit(&set);
    t->module = life_find(t->host, load_name(c->conf.loads.items[0], &c->arena));
}

static const char *complaints_text(const struct complaints *complaints)
{
    static char text[4096];
    size_t len = 0;

    text[0] = 0;
    for (const struct complaint *one = complaints->first; one; one = one->next) {
        if (!one->warning && len < sizeof text)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? "\n" : "",
                                    complaint_text(complaints, one));
    }
    return text;
}

const char *config_apply(struct skep_test *t)
{
    struct config *c = xcalloc(1, sizeof *c);
    const char *wrong = NULL;

    c->refs = 1;
    arena_init(&c->arena);
    complaints_init(&c->complaints, &c->arena);
    if (config_read(c, t))
        commit(t, c);
    if (c->complaints.errors > 0)
        wrong = complaints_text(&c->complaints);
    rig_settle(t);
    config_release(c);
    return wrong;
}
