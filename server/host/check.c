#include "host/check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <skep/event.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/directive.h"
#include "host/bind.h"
#include "host/elf.h"

/* -- Functions of the SDK that it needs and this program does not have -- */

static void add_missing(const char *name, void *missing)
{
    if (strncmp(name, "skep_", 5) == 0 && !dlsym(RTLD_DEFAULT, name))
        cJSON_AddItemToArray(missing, cJSON_CreateString(name));
}

static void find_missing(const char *path, cJSON *missing)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    void *map = MAP_FAILED;
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (map == MAP_FAILED)
        return;
    elf_undefined(map, (size_t)st.st_size, add_missing, missing);
    munmap(map, (size_t)st.st_size);
}

/* -- What it says of itself -- */

static void add_hooks(cJSON *out, const struct skep_descriptor *d)
{
    const struct {
        const char *name;
        bool there;
    } hooks[] = {
        {"check", d->check},           {"load", d->load},         {"warm", d->warm},
        {"start", d->start},           {"stop", d->stop},         {"unload", d->unload},
        {"on_connect", d->on_connect}, {"on_auth", d->on_auth},   {"on_subscribe", d->on_subscribe},
        {"on_publish", d->on_publish}, {"on_will", d->on_will},   {"on_deliver", d->on_deliver},
        {"on_message", d->on_message}, {"on_event", d->on_event}, {"on_command", d->on_command},
    };
    cJSON *list = cJSON_AddArrayToObject(out, "hooks");

    for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
        if (hooks[i].there)
            cJSON_AddItemToArray(list, cJSON_CreateString(hooks[i].name));
}

static void add_events(cJSON *out, const struct skep_descriptor *d)
{
    cJSON *list = cJSON_AddArrayToObject(out, "events");

    for (unsigned kind = 0; kind < SKEP_EVENT_COUNT; kind++)
        if (d->events & SKEP_EVENT_BIT(kind))
            cJSON_AddItemToArray(list,
                                 cJSON_CreateString(skep_event_text((enum skep_event_kind)kind)));
}

static void add_options(cJSON *list, const struct directive_table *table, const char *inside,
                        struct arena *arena)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct directive *d = &table->items[i];
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "name", arena_printf(arena, "%s%s", inside, d->name));
        cJSON_AddStringToObject(o, "type", directive_type_text(d, arena));
        cJSON_AddStringToObject(o, "default",
                                d->flags & DIRECTIVE_REQUIRED ? "required"
                                : d->fallback                 ? d->fallback
                                                              : "");
        cJSON_AddStringToObject(o, "help", d->help);
        cJSON_AddItemToArray(list, o);
        if (d->body)
            add_options(list, d->body, arena_printf(arena, "%s%s.", inside, d->name), arena);
    }
}

/* -- What might be better -- */

static void warn(cJSON *list, struct arena *arena, const char *what, const char *name)
{
    cJSON_AddItemToArray(list, cJSON_CreateString(arena_printf(arena, "%s%s", what, name)));
}

static void warn_options(cJSON *list, const struct directive_table *table, struct arena *arena)
{
    for (size_t i = 0; i < table->count; i++) {
        if (!*table->items[i].help)
            warn(list, arena, "no .help for the option ", table->items[i].name);
        if (table->items[i].body)
            warn_options(list, table->items[i].body, arena);
    }
}

static bool decides_or_sees(const struct skep_descriptor *d)
{
    return d->on_connect || d->on_auth || d->on_subscribe || d->on_publish || d->on_will ||
           d->on_deliver || d->on_message || d->on_event || d->on_command || d->start;
}

static void add_warnings(cJSON *out, const struct object *o, struct arena *arena)
{
    const struct skep_descriptor *d = &o->d;
    cJSON *list = cJSON_AddArrayToObject(out, "warnings");

    if (!d->version || !*d->version)
        warn(list, arena, "it says no version", "");
    if (!d->summary || !*d->summary)
        warn(list, arena, "it does not say what it is for", "");
    warn_options(list, o->table, arena);
    if (!decides_or_sees(d))
        warn(list, arena, "it has no hook that would ever be called", "");
    if (d->events && !d->on_event)
        warn(list, arena, "it names events and has no on_event", "");
    if (d->on_event && !d->events)
        warn(list, arena, "it has an on_event and names no events", "");
    if (d->start && !d->stop && !d->unload)
        warn(list, arena, "it has start, and neither stop nor unload", "");
    if (d->conf_size > 0 && !d->options)
        warn(list, arena, "it has a conf_size and no options", "");
}

cJSON *check_module(const char *path)
{
    cJSON *out = cJSON_CreateObject(), *missing;
    struct arena arena = {0};
    char why[512];
    struct object *o;
    bool good;

    cJSON_AddStringToObject(out, "file", path);
    missing = cJSON_CreateArray();
    find_missing(path, missing);
    good = object_open(&o, path, why, sizeof why) == 0;
    cJSON_AddBoolToObject(out, "good", good);
    if (!good)
        cJSON_AddStringToObject(out, "error", why);
    cJSON_AddItemToObject(out, "missing", missing);
    if (good) {
        cJSON_AddStringToObject(out, "name", o->d.name);
        cJSON_AddStringToObject(out, "version", o->d.version ? o->d.version : "");
        cJSON_AddStringToObject(out, "summary", o->d.summary ? o->d.summary : "");
        cJSON_AddStringToObject(out, "sdk", o->sdk);
        add_hooks(out, &o->d);
        add_events(out, &o->d);
        add_options(cJSON_AddArrayToObject(out, "options"), o->table, "", &arena);
        add_warnings(out, o, &arena);
        object_unref(&o);
    }
    arena_fini(&arena);
    return out;
}
