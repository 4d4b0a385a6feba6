/* What the control socket answers about modules; control.h has the protocol. */
#include <stdio.h>
#include <string.h>

#include "host/alarm.h"
#include "host/command.h"
#include "main/answer.h"

static const char *text_of(const cJSON *request, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(request, name));
}

/* The module an operator named; refuses when there is none. */
static struct skep_module *named(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *name = text_of(request, "name");
    struct skep_module *m = name ? life_find(server_host(d->server), name) : NULL;
    char why[256];

    if (m)
        return m;
    snprintf(why, sizeof why, "no module is loaded as %s", name ? name : "(no name given)");
    control_refuse(answer, why);
    return NULL;
}

static void command_ended(void *arg, uint64_t ticket, const char *json, const char *error)
{
    struct daemon *d = arg;
    cJSON *answer = cJSON_CreateObject(), *value = json ? cJSON_Parse(json) : NULL;

    if (error)
        control_refuse(answer, error);
    else if (!value)
        control_refuse(answer, "the module's answer is no JSON");
    else
        cJSON_AddItemToObject(answer, "answer", value);
    if (d->control)
        control_finish(d->control, ticket, answer);
    cJSON_Delete(answer);
}

static void call(struct daemon *d, struct skep_module *m, const cJSON *request, cJSON *answer)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(request, "words"), *item;
    const char *words[CONTROL_LINE / 2];
    size_t count = 0;

    if (!m->d->on_command) {
        control_refuse(answer, "this module has no commands");
        return;
    }
    cJSON_ArrayForEach(item, list)
    {
        if (cJSON_IsString(item) && count < CONTROL_LINE / 2)
            words[count++] = item->valuestring;
    }
    command_run(m, words, count, command_ended, d, control_later(d->control));
}

void answer_module(struct daemon *d, const cJSON *request, cJSON *answer)
{
    const char *what = text_of(request, "do");
    struct host *h = server_host(d->server);
    struct skep_module *m;

    if (!what || strcmp(what, "list") == 0) {
        cJSON_AddItemToObject(answer, "modules", life_list(h));
    } else if (strcmp(what, "info") == 0) {
        if ((m = named(d, request, answer)) != NULL)
            cJSON_AddItemToObject(answer, "module", life_info(h, m->name));
    } else if (strcmp(what, "call") == 0) {
        if (d->state != DAEMON_RUNNING)
            control_refuse(answer, "Skep is stopping");
        else if ((m = named(d, request, answer)) != NULL)
            call(d, m, request, answer);
    } else {
        control_refuse(answer, "\"do\" is list, info or call");
    }
}

void add_module_steps(cJSON *list, const struct reload *r, bool plan)
{
    for (const struct life_step *s = r->modules; s; s = s->next) {
        char text[512];
        cJSON *one;
        if (!s->changes)
            continue;
        snprintf(text, sizeof text, "module %s: %s%s", s->name, plan ? "would be " : "", s->what);
        one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "text", text);
        snprintf(text, sizeof text, "module %s", s->name);
        cJSON_AddStringToObject(one, "path", text);
        cJSON_AddBoolToObject(one, "restart", false);
        cJSON_AddItemToArray(list, one);
    }
}

void add_alarms(struct daemon *d, cJSON *answer)
{
    cJSON_AddItemToObject(answer, "alarms", alarm_list(server_host(d->server), NULL));
}
