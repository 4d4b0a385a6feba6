#include "main/inspect.h"

#include <stdio.h>

#include "conf/syntax.h"
#include "host/check.h"

int inspect_check(const struct options *o)
{
    cJSON *result = check_module(o->module);
    char *text = cJSON_PrintUnformatted(result);
    bool good = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "good"));

    puts(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(result);
    return good ? 0 : 1;
}

/* As `load` in the configuration would find it. */
int inspect_directives(const struct options *o)
{
    struct settings *s;
    int status = 0;

    if (!o->module) {
        reference_print(stdout, &settings_table, o->format);
        return 0;
    }
    settings_load(&s, &o->origin); /* for its module_path; what else is wrong there is no matter */
    struct complaints complaints;
    struct directive_context ctx = {
        .arena = &s->arena, .complaints = &complaints, .source = &source_files, .user = &s->opened};
    struct syntax_word label = {.text = str_of(o->module), .pos = {.file = "command line"}};
    const struct directive load = {.name = "load"};

    complaints_init(&complaints, &s->arena);
    const struct directive_table *table = load_find(&load, &label, &ctx);
    if (table) {
        reference_print(stdout, table, o->format);
    } else {
        complaints_print(&complaints, stderr);
        status = 1;
    }
    settings_free(&s);
    return status;
}
