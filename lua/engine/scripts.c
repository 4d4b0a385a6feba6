#include "scripts.h"

#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void *must(void *ptr)
{
    if (!ptr)
        abort();
    return ptr;
}

/* Relative names are relative to the file they are written in. */
static char *resolve(const char *name, const struct skep_place *place)
{
    const char *slash = place->file ? strrchr(place->file, '/') : NULL;
    size_t dir_len = slash && name[0] != '/' ? (size_t)(slash - place->file) + 1 : 0;
    char *path = must(malloc(dir_len + strlen(name) + 1));

    memcpy(path, place->file ? place->file : "", dir_len);
    strcpy(path + dir_len, name);
    return path;
}

static char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = must(strdup(slash ? slash + 1 : path));
    size_t len = strlen(name);

    if (len > 4 && strcmp(name + len - 4, ".lua") == 0)
        name[len - 4] = 0;
    for (char *p = name; *p; p++) { /* it becomes a label of metrics */
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            *p = '_';
    }
    return name;
}

static bool read_file(struct script *script, struct skep_report *report)
{
    FILE *f = fopen(script->path, "re");
    struct stat st;
    bool good = false;

    if (!f || fstat(fileno(f), &st) < 0) {
        skep_report(report, &script->place, "check the path; it is relative to this file", "%s: %s",
                    script->path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size > SCRIPT_BYTES_MOST) {
        skep_report(report, &script->place, NULL, "%s: not a file of at most 1 MiB", script->path);
    } else {
        script->source = must(malloc((size_t)st.st_size + 1));
        script->source_len = fread(script->source, 1, (size_t)st.st_size, f);
        good = true;
    }
    if (f)
        fclose(f);
    return good;
}

static void make_metrics(struct engine *e, struct script *script)
{
    char labels[256];

    snprintf(labels, sizeof labels, "script=\"%s\"", script->name);
    script->calls = skep_counter(e->m, "calls_total", labels, "handlers that ran to their end");
    script->errors = skep_counter(e->m, "errors_total", labels, "handlers that failed");
    script->dropped = skep_counter(e->m, "dropped_total", labels, "messages dropped by the script");
    script->loops = skep_counter(e->m, "loops_total", labels,
                                 "messages that went round between scripts and were stopped");
    snprintf(labels, sizeof labels, "script=\"%s\",budget=\"instructions\"", script->name);
    script->over_instructions =
        skep_counter(e->m, "over_budget_total", labels, "handlers stopped at a budget");
    snprintf(labels, sizeof labels, "script=\"%s\",budget=\"time\"", script->name);
    script->over_time =
        skep_counter(e->m, "over_budget_total", labels, "handlers stopped at a budget");
}

static bool add_script(struct engine *e, const char *path, const struct skep_place *place,
                       struct skep_report *report)
{
    struct script *script;

    for (unsigned i = 0; i < e->script_count; i++) {
        if (strcmp(e->scripts[i]->path, path) == 0)
            return true; /* named twice, by two patterns */
    }
    if (e->script_count == SCRIPTS_MOST) {
        skep_report(report, place, NULL, "more than %d scripts", SCRIPTS_MOST);
        return false;
    }
    script = must(calloc(1, sizeof *script));
    script->number = e->script_count + 1;
    script->home = e->script_count % (e->state_count ? e->state_count : 1);
    script->path = must(strdup(path));
    script->name = base_name(path);
    script->place = *place;
    e->scripts = must(realloc(e->scripts, (e->script_count + 1) * sizeof(struct script *)));
    e->scripts[e->script_count++] = script;
    if (!read_file(script, report))
        return false;
    if (e->m)
        make_metrics(e, script);
    return true;
}

static bool add_pattern(struct engine *e, const char *name, const struct skep_place *place,
                        struct skep_report *report)
{
    char *path = resolve(name, place);
    bool wild = strpbrk(name, "*?[") != NULL, good = true;
    glob_t found = {0};

    if (!wild) {
        good = add_script(e, path, place, report);
    } else if (glob(path, 0, NULL, &found) == 0) { /* sorted: the order of handlers is known */
        for (size_t i = 0; i < found.gl_pathc && good; i++)
            good = add_script(e, found.gl_pathv[i], place, report);
    } else {
        skep_report_warning(report, place, NULL, "no file matches %s", path);
    }
    globfree(&found);
    free(path);
    return good;
}

static uint64_t look(const struct engine *e);

bool scripts_read(struct engine *e, struct skep_report *report)
{
    const struct skep_list *list = &e->conf->script;
    bool good = true;

    e->looked = look(e); /* first: what changes from here on is seen */
    for (size_t i = 0; i < list->count && good; i++)
        good = add_pattern(e, list->items[i], &list->places[i], report);
    return good;
}

void scripts_free(struct engine *e)
{
    for (unsigned i = 0; i < e->script_count; i++) {
        free(e->scripts[i]->path);
        free(e->scripts[i]->name);
        free(e->scripts[i]->source);
        free(e->scripts[i]);
    }
    free(e->scripts);
    e->scripts = NULL;
    e->script_count = 0;
}

/* What the files behind the lines look like now: names, times, sizes. */
static uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t mix_file(uint64_t h, const char *path)
{
    struct stat st;

    h = mix(h, path, strlen(path) + 1);
    if (stat(path, &st) < 0)
        return mix(h, "gone", 4);
    h = mix(h, &st.st_mtim, sizeof st.st_mtim);
    h = mix(h, &st.st_size, sizeof st.st_size);
    return mix(h, &st.st_ino, sizeof st.st_ino);
}

static uint64_t look(const struct engine *e)
{
    const struct skep_list *list = &e->conf->script;
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < list->count; i++) {
        char *path = resolve(list->items[i], &list->places[i]);
        glob_t found = {0};
        if (glob(path, GLOB_NOCHECK, NULL, &found) == 0) {
            for (size_t j = 0; j < found.gl_pathc; j++)
                h = mix_file(h, found.gl_pathv[j]);
        }
        globfree(&found);
        free(path);
    }
    return h;
}

bool scripts_changed(struct engine *e)
{
    uint64_t now = look(e), before = e->looked;

    e->looked = now;
    return now != before;
}
