#include "operate.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "engine.h"

static unsigned handlers_of(const struct engine *e, const struct script *script)
{
    const struct state *s = e->states[0];
    unsigned n = 0;

    for (uint32_t i = 0; i < s->handler_count; i++)
        n += s->handlers[i].script == script;
    return n;
}

/* Bytes held on all loops; read while they run, so only nearly exact. */
static double memory_of(const struct engine *e, const struct script *script)
{
    size_t sum = 0;

    for (unsigned i = 0; i < e->state_count; i++)
        sum += __atomic_load_n(&e->states[i]->alloc.used[script->number], __ATOMIC_RELAXED);
    return (double)sum;
}

static cJSON *describe(const struct engine *e, struct script *script)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "script", script->name);
    cJSON_AddStringToObject(o, "state", atomic_load(&script->disabled) ? "disabled" : "running");
    cJSON_AddNumberToObject(o, "handlers", handlers_of(e, script));
    cJSON_AddNumberToObject(o, "calls", (double)atomic_load(&script->calls_total));
    cJSON_AddNumberToObject(o, "errors", (double)atomic_load(&script->errors_total));
    cJSON_AddNumberToObject(o, "memory", memory_of(e, script));
    cJSON_AddStringToObject(o, "path", script->path);
    return o;
}

static void answer(struct skep_command *command, cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);

    skep_command_answer(command, skep_str(text));
    cJSON_free(text);
    cJSON_Delete(value);
}

static struct script *find(const struct engine *e, struct skep_str name)
{
    for (unsigned i = 0; i < e->script_count; i++) {
        if (skep_str_eq(skep_str(e->scripts[i]->name), name))
            return e->scripts[i];
    }
    return NULL;
}

static void list(struct skep_command *command, const struct engine *e)
{
    cJSON *all = cJSON_CreateArray();

    for (unsigned i = 0; i < e->script_count; i++)
        cJSON_AddItemToArray(all, describe(e, e->scripts[i]));
    answer(command, all);
}

static const char *kind_name(enum handler_kind kind)
{
    static const char *const names[] = {[ON_PUBLISH] = "on_publish",
                                        [ON_DELIVER] = "on_deliver",
                                        [ON_WILL] = "on_will",
                                        [ON_SUBSCRIBE] = "on_subscribe",
                                        [ON_CONNECT] = "on_connect",
                                        [ON_CONNECTED] = "on_connected",
                                        [ON_DISCONNECT] = "on_disconnect",
                                        [ON_AUTH] = "on_auth",
                                        [ON_SELFTEST] = "selftest"};

    return names[kind];
}

static void show(struct skep_command *command, const struct engine *e, struct script *script)
{
    cJSON *o = describe(e, script), *handlers = cJSON_AddArrayToObject(o, "registered");
    const struct state *s = e->states[0];
    char error[512];

    for (uint32_t i = 0; i < s->handler_count; i++) {
        const struct handler *h = &s->handlers[i];
        char line[640];
        if (h->script != script)
            continue;
        snprintf(line, sizeof line, "%s %s", kind_name(h->kind),
                 h->filter.filter ? h->filter.filter : "");
        cJSON_AddItemToArray(handlers, cJSON_CreateString(line));
    }
    script_last_error(script, error, sizeof error);
    cJSON_AddStringToObject(o, "last_error", error);
    answer(command, o);
}

static void enable(struct skep_command *command, struct engine *e, struct script *script, bool on)
{
    char name[96];

    atomic_store(&script->failures, 0);
    atomic_store(&script->disabled, !on);
    snprintf(name, sizeof name, "script-%s", script->name);
    if (on)
        skep_alarm_clear(e->m, name);
    skep_log(e->m, SKEP_LOG_WARN, "%s: %s by an operator", script->name,
             on ? "enabled" : "disabled");
    answer(command, describe(e, script));
}

void operate(struct skep_command *command, void *self)
{
    struct engine *e = self;
    struct skep_str verb = skep_command_word(command, 0), name = skep_command_word(command, 1);
    struct script *script;

    if (verb.len == 0 || skep_str_eq(verb, SKEP_STR("list"))) {
        list(command, e);
    } else if (skep_str_eq(verb, SKEP_STR("eval"))) {
        operate_eval(command, e, name);
    } else if ((script = find(e, name)) == NULL) {
        skep_command_fail(command, "there is no script '%.*s'; 'list' names them", (int)name.len,
                          name.ptr);
    } else if (skep_str_eq(verb, SKEP_STR("show"))) {
        show(command, e, script);
    } else if (skep_str_eq(verb, SKEP_STR("disable"))) {
        enable(command, e, script, false);
    } else if (skep_str_eq(verb, SKEP_STR("enable"))) {
        enable(command, e, script, true);
    } else {
        skep_command_fail(command, "say list, show NAME, disable NAME, enable NAME or eval CODE");
    }
}
