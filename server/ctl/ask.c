#include "ctl/ask.h"

#include <stdio.h>

enum ctl_status ask_fail(const struct arg_command *command, enum ctl_status status,
                         const struct fault *fault)
{
    fault_print(fault, command->name);
    return status;
}

int ask_parse(struct arg_command *command, int words, int argc, char **argv)
{
    int status = arg_parse(command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    if (command->word_count > words) {
        arg_error(command, "what is '%s'?", command->words[words]);
        return CTL_USAGE;
    }
    return -1;
}

cJSON *ask_request(const char *cmd)
{
    cJSON *request = cJSON_CreateObject();

    cJSON_AddStringToObject(request, "cmd", cmd);
    return request;
}

enum ctl_status ask(const struct arg_command *command, const struct control_conf *conf,
                    cJSON *request, cJSON **answer)
{
    struct control_link *link = NULL;
    struct fault fault = {0};
    enum ctl_status status = control_connect(&link, conf, &fault);

    *answer = NULL;
    if (status == CTL_OK)
        status = control_ask(link, request, answer, &fault);
    else
        cJSON_Delete(request);
    control_free(&link);
    return status == CTL_OK ? status : ask_fail(command, status, &fault);
}

void ask_print(const cJSON *answer)
{
    char *text = cJSON_PrintUnformatted(answer);

    puts(text ? text : "{}");
    cJSON_free(text);
}

double ask_number(const cJSON *answer, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

const char *ask_text(const cJSON *answer, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, name));

    return text ? text : "";
}
