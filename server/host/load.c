#include "host/load.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/near.h"
#include "conf/value.h"
#include "host/crash.h"
#include "host/instance.h"
#include "host/report.h"

#ifndef SKEP_LIBDIR
#define SKEP_LIBDIR "lib"
#endif

/* A label's parts: what to load, and the name behind the last ':' that is in no path. */
struct label {
    struct str what, instance;
    bool is_path;
};

static struct label split(struct str s)
{
    const char *colon = memrchr(s.ptr, ':', s.len);
    struct label out = {.what = s};

    if (colon && !memchr(colon, '/', (size_t)(s.ptr + s.len - colon))) {
        out.what.len = (size_t)(colon - s.ptr);
        out.instance = (struct str){colon + 1, s.len - out.what.len - 1};
    }
    out.is_path = memchr(out.what.ptr, '/', out.what.len) != NULL;
    return out;
}

static bool is_word(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_", s.ptr[i]))
            return false;
    return s.len > 0;
}

/* -- Looking for it -- */

static void offer_directory(struct near *near, const char *dir, struct arena *arena)
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        size_t len = strlen(e->d_name);
        if (len > 3 && strcmp(e->d_name + len - 3, ".so") == 0)
            near_offer(near, arena_str(arena, (struct str){e->d_name, len - 3}));
    }
    if (d)
        closedir(d);
}

static const char *not_found_hint(const struct load_context *load, struct str name,
                                  struct arena *arena)
{
    const char *dirs = "";
    struct near near;

    near_init(&near, name);
    for (size_t i = 0; i < load->path_count; i++) {
        offer_directory(&near, load->path[i], arena);
        dirs = arena_printf(arena, "%s%s%s", dirs, *dirs ? ", " : "", load->path[i]);
    }
    if (near_best(&near).len)
        return arena_printf(arena, "did you mean %.*s? It was looked for in %s",
                            STR_ARG(near_best(&near)), dirs);
    return arena_printf(arena, "it was looked for in %s (see module_path)", dirs);
}

/* NULL: complained. */
static const char *find_file(const struct load_context *load, const struct label *l,
                             struct text_pos pos, struct directive_context *ctx)
{
    const char *path;

    if (l->is_path && str_starts(l->what, STR("./")))
        return source_relative(ctx->arena, pos.file,
                               (struct str){l->what.ptr + 2, l->what.len - 2});
    if (l->is_path)
        return source_relative(ctx->arena, pos.file, l->what);
    if (!is_word(l->what)) {
        complaint_error(ctx->complaints, pos, "a path has a '/' in it: load ./hello.so;",
                        "load: %s is no name of a module", value_quote(ctx->arena, l->what));
        return NULL;
    }
    for (size_t i = 0; i < load->path_count; i++) {
        path = arena_printf(ctx->arena, "%s/%.*s.so", load->path[i], STR_ARG(l->what));
        if (access(path, F_OK) == 0)
            return path;
    }
    complaint_error(ctx->complaints, pos, not_found_hint(load, l->what, ctx->arena),
                    "load: there is no module %.*s", STR_ARG(l->what));
    return NULL;
}

static void keep(struct load_context *load, struct object *o)
{
    load->objects = xrealloc(load->objects, (load->count + 1) * sizeof *load->objects);
    load->objects[load->count++] = o;
}

/* Who can change the file can do all that Skep can. */
static void warn_writable(const char *path, struct text_pos pos, struct directive_context *ctx)
{
    struct stat st;

    if (stat(path, &st) == 0 && (st.st_mode & S_IWOTH))
        complaint_warn(ctx->complaints, pos, arena_printf(ctx->arena, "chmod o-w %s", path),
                       "load: everybody on this machine can change %s", path);
}

/* NULL: complained. */
static const struct directive_table *find_table(const struct syntax_word *label,
                                                struct directive_context *ctx)
{
    struct load_context *load = ctx->user;
    struct label l = split(label->text);
    const char *path;
    struct object *o;
    char why[512];

    if (l.instance.ptr && !is_word(l.instance)) {
        complaint_error(ctx->complaints, label->pos, "for example: load auth_http:internal { ... }",
                        "load: the name behind ':' is made of a-z, 0-9 and _");
        return NULL;
    }
    path = find_file(load, &l, label->pos, ctx);
    if (!path)
        return NULL;
    if (object_open(&o, path, why, sizeof why) < 0) {
        complaint_error(ctx->complaints, label->pos, NULL, "load: %s: %s", path, why);
        return NULL;
    }
    keep(load, o);
    warn_writable(path, label->pos, ctx);
    if (!l.is_path && !str_eq(l.what, str_of(o->d.name))) {
        complaint_error(ctx->complaints, label->pos,
                        arena_printf(ctx->arena, "call the file %s.so", o->d.name),
                        "load: %s holds a module that calls itself %s", path, o->d.name);
        return NULL;
    }
    return o->table;
}

const struct directive_table *load_find(const struct directive *d, const struct syntax_word *label,
                                        struct directive_context *ctx)
{
    const struct directive_table *table = find_table(label, ctx);

    if (!table)
        ((struct load_context *)ctx->user)->failed++;
    return table;
}

void load_close(struct load_context *ctx)
{
    for (size_t i = 0; i < ctx->count; i++)
        object_unref(&ctx->objects[i]);
    free(ctx->objects);
    ctx->objects = NULL;
    ctx->count = 0;
}

const char *load_default_path(struct arena *arena)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    const char *cache;

    if (n <= 0)
        return "/usr/" SKEP_LIBDIR "/skep/modules";
    exe[n] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(exe, '/');
        if (slash)
            *slash = '\0';
    }
    cache = arena_printf(arena, "%s/CMakeCache.txt", exe);
    if (access(cache, F_OK) == 0)
        return arena_printf(arena, "%s/modules", exe);
    return arena_printf(arena, "%s/" SKEP_LIBDIR "/skep/modules", exe);
}

const char *load_name(const struct load_block *b, struct arena *arena)
{
    struct label l = split(str_of(b->block.label));
    const char *name = bind_object_of(b)->d.name;

    return l.instance.ptr ? arena_printf(arena, "%s:%.*s", name, STR_ARG(l.instance))
                          : arena_cstr(arena, str_of(name));
}

static void check_names(const struct directive_blocks *blocks, struct complaints *complaints)
{
    for (size_t i = 0; i < blocks->count; i++) {
        const struct load_block *b = blocks->items[i];
        const char *name = load_name(b, complaints->arena);
        for (size_t j = 0; j < i; j++) {
            const struct load_block *a = blocks->items[j];
            if (strcmp(load_name(a, complaints->arena), name) == 0)
                complaint_error(complaints, b->block.pos,
                                arena_printf(complaints->arena,
                                             "give one of them a name of its own: load %s:other "
                                             "{ ... }; the first is at %s:%u",
                                             b->block.label, a->block.pos.file, a->block.pos.line),
                                "a second module with the name %s", name);
        }
    }
}

/* There is no instance yet, but if it crashes it has a name. */
static void run_check(const struct skep_descriptor *d, const void *conf, struct skep_report *report)
{
    const struct skep_module shade = {.magic = SKEP_MODULE_MAGIC, .name = (char *)d->name};
    struct blame before = blame_begin(&shade, "check");

    d->check(conf, report);
    blame_end(before);
}

void load_check(const struct directive_blocks *blocks, struct complaints *complaints)
{
    check_names(blocks, complaints);
    if (complaints->errors)
        return; /* options that are wrong or missing are no business of the module's */
    for (size_t i = 0; i < blocks->count; i++) {
        const struct load_block *b = blocks->items[i];
        const struct skep_descriptor *d = &bind_object_of(b)->d;
        struct skep_report report = {complaints, b->block.pos};
        if (d->check)
            run_check(d, bind_conf(b), &report);
    }
}

bool load_authenticates(const struct load_block *b)
{
    const struct skep_descriptor *d = &bind_object_of(b)->d;
    return (d->on_connect || d->on_auth) && !(d->flags & SKEP_ADVISES);
}
