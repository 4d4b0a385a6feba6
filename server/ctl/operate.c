/* skepctl status, reload, stop, log-level, config, directives: what an operator asks a running
 * Skep, or the program itself. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/place.h"
#include "ctl/table.h"

/* -- status -- */

static void print_uptime(double seconds)
{
    unsigned long s = (unsigned long)seconds;

    printf("up");
    if (s >= 86400)
        printf(" %lu d", s / 86400);
    if (s >= 3600)
        printf(" %lu h", s / 3600 % 24);
    if (s >= 60 && s < 86400)
        printf(" %lu min", s / 60 % 60);
    if (s < 60)
        printf(" %lu s", s);
}

static void print_store(const cJSON *store)
{
    char settling[96] = "";

    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(store, "on"))) {
        printf("%-20s off: nothing survives a restart\n", "store");
        return;
    }
    if (ask_number(store, "unsynced_bytes") > 0)
        snprintf(settling, sizeof settling, ", %.0f bytes not on the disk yet",
                 ask_number(store, "unsynced_bytes"));
    printf("%-20s sync %s, %.0f syncs%s\n", "store", ask_text(store, "sync"),
           ask_number(store, "syncs"), settling);
    printf("%-20s %.0f bytes since the last checkpoint, %.0f files in use, %.0f spare\n", "log",
           ask_number(store, "log_bytes"), ask_number(store, "segments"),
           ask_number(store, "spare_segments"));
    printf("%-20s %.0f, %.0f failed\n", "checkpoints", ask_number(store, "checkpoints"),
           ask_number(store, "checkpoint_failures"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(store, "refusing")))
        printf("%-20s the disk takes nothing: %s; what must survive is refused\n", "NOT READY",
               ask_text(store, "why"));
}

static void print_status(const cJSON *answer)
{
    static const struct {
        const char *name, *label;
    } figures[] = {
        {"connections", "connections"},
        {"sessions", "sessions"},
        {"subscriptions", "subscriptions"},
        {"retained", "retained messages"},
        {"messages_in", "messages in"},
        {"messages_out", "messages out"},
        {"messages_dropped", "messages dropped"},
        {"bytes_in", "bytes in"},
        {"bytes_out", "bytes out"},
    };
    const cJSON *listener, *alarm;

    printf("Skep %s, %s, ", ask_text(answer, "version"), ask_text(answer, "state"));
    print_uptime(ask_number(answer, "uptime_s"));
    printf(", process %.0f, %.0f threads, log level %s\n", ask_number(answer, "pid"),
           ask_number(answer, "threads"), ask_text(answer, "log_level"));
    printf("%-20s %s\n", "configuration", ask_text(answer, "config"));
    printf("%-20s %s\n", "data", ask_text(answer, "data_dir"));
    cJSON_ArrayForEach(listener, cJSON_GetObjectItemCaseSensitive(answer, "listeners"))
    {
        printf("listener %-11s %s\n", ask_text(listener, "name"), ask_text(listener, "address"));
    }
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        printf("%-20s %.0f\n", figures[i].label, ask_number(answer, figures[i].name));
    print_store(cJSON_GetObjectItemCaseSensitive(answer, "store"));
    cJSON_ArrayForEach(alarm, cJSON_GetObjectItemCaseSensitive(answer, "alarms"))
    {
        printf("%-20s %s %s: ", "ALARM", ask_text(alarm, "module"), ask_text(alarm, "name"));
        table_value(stdout, cJSON_GetObjectItemCaseSensitive(alarm, "text"));
        putchar('\n');
    }
}

int status_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    static const struct arg_option options[] = {
        ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "the answer as it came"),
        ARG_LAST,
    };
    struct arg_command command = {
        .name = "skepctl status",
        .usage = "[OPTIONS]",
        .summary = "Tells how the Skep on this machine is doing.",
        .sets = {{options, &conf}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    cJSON *answer;

    if (status >= 0)
        return status;
    status = (int)ask(&command, &conf, ask_request("status"), &answer);
    if (status == CTL_OK && conf.json)
        ask_print(answer);
    else if (status == CTL_OK)
        print_status(answer);
    cJSON_Delete(answer);
    return status;
}

/* -- reload -- */

struct reload_conf {
    struct control_conf control;
    bool plan;
};

static void print_reload(const cJSON *answer, bool plan)
{
    const cJSON *changes = cJSON_GetObjectItemCaseSensitive(answer, "changes"), *item;
    bool restart = false;

    cJSON_ArrayForEach(item, changes)
    {
        bool fixed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(item, "restart"));

        printf("%s%s\n", ask_text(item, "text"), fixed ? "   (only after a restart)" : "");
        restart |= fixed;
    }
    if (cJSON_GetArraySize(changes) == 0)
        puts(plan ? "nothing would change"
                  : "reloaded; no directive changed (certificates and "
                    "other files were read again)");
    else if (plan)
        puts("nothing was changed: this was the plan");
    else
        puts(restart ? "reloaded, except for what takes a restart" : "reloaded");
}

static void print_messages(const cJSON *answer)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer, "messages"))
    {
        if (cJSON_IsString(item))
            fprintf(stderr, "%s\n", item->valuestring);
    }
}

int reload_command(int argc, char **argv)
{
    struct reload_conf conf = {.control = {.timeout_ms = CONTROL_TIMEOUT_MS}};
    static const struct arg_option options[] = {
        ARG_FIELD(ARG_ON, 0, "plan", struct reload_conf, plan, NULL,
                  "only tell what would change, and what is wrong"),
        ARG_LAST,
    };
    static const struct arg_option json_options[] = {
        ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "the answer as it came"),
        ARG_LAST,
    };
    struct arg_command command = {
        .name = "skepctl reload",
        .usage = "[--plan] [OPTIONS]",
        .summary = "Has the running Skep read its configuration again: all of it takes effect, or, "
                   "when anything in it is wrong, nothing does.",
        .sets = {{options, &conf}, {json_options, &conf.control}, {control_options, &conf.control}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    request = ask_request("reload");
    if (conf.plan)
        cJSON_AddTrueToObject(request, "plan");
    status = (int)ask(&command, &conf.control, request, &answer);
    if (answer && conf.control.json)
        ask_print(answer);
    else if (answer)
        print_messages(answer);
    if (status == CTL_OK && !conf.control.json)
        print_reload(answer, conf.plan);
    cJSON_Delete(answer);
    return status;
}

/* -- stop -- */

int stop_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl stop",
        .usage = "[OPTIONS]",
        .summary = "Has the running Skep tell its clients and end, and waits until it has.",
        .sets = {{control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    struct control_link *link = NULL;
    struct fault fault = {0};
    cJSON *answer = NULL;

    if (status >= 0)
        return status;
    status = (int)control_connect(&link, &conf, &fault);
    if (status == CTL_OK)
        status = (int)control_ask(link, ask_request("stop"), &answer, &fault);
    if (status == CTL_OK && !control_wait_end(link, conf.timeout_ms)) {
        fault_set(&fault, "it is still running after %u s", conf.timeout_ms / 1000);
        status = CTL_TIMEOUT;
    }
    cJSON_Delete(answer);
    control_free(&link);
    return status == CTL_OK ? CTL_OK : (int)ask_fail(&command, (enum ctl_status)status, &fault);
}

/* -- log-level, config -- */

int log_level_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl log-level",
        .usage = "[debug|info|warn|error] [OPTIONS]",
        .summary = "Changes what the running Skep logs, until its next start or reload; without a "
                   "level, tells it.",
        .sets = {{control_options, &conf}},
    };
    int status = ask_parse(&command, 1, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    request = ask_request("log-level");
    if (command.word_count > 0)
        cJSON_AddStringToObject(request, "level", command.words[0]);
    status = (int)ask(&command, &conf, request, &answer);
    if (status == CTL_OK)
        puts(ask_text(answer, "level"));
    cJSON_Delete(answer);
    return status;
}

int config_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl config",
        .usage = "[OPTIONS]",
        .summary = "Prints the configuration in force, defaults included, secrets left out.",
        .sets = {{control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    cJSON *answer;

    if (status >= 0)
        return status;
    status = (int)ask(&command, &conf, ask_request("config"), &answer);
    if (status == CTL_OK)
        fputs(ask_text(answer, "text"), stdout);
    cJSON_Delete(answer);
    return status;
}

/* -- directives -- */

int directives_command(int argc, char **argv)
{
    static const char *const formats[] = {"text", "json", "markdown", "man"};
    const char *format = "text", *module = NULL;
    struct arg_command command = {
        .name = "skepctl directives",
        .usage = "[MODULE] [text|json|markdown|man]",
        .summary = "Describes every directive of skep.conf, or of a module's load block: what it "
                   "takes, its default, and whether a reload changes it.",
        .sets = {{(const struct arg_option[]){ARG_LAST}, NULL}},
    };
    int status = ask_parse(&command, 2, argc, argv);
    char program[PATH_MAX], option[64];

    if (status >= 0)
        return status;
    for (int i = 0; i < command.word_count; i++) {
        bool is_format = false;
        for (size_t f = 0; f < ARRAY_LEN(formats); f++)
            is_format |= strcmp(command.words[i], formats[f]) == 0;
        *(is_format ? &format : &module) = command.words[i];
    }
    snprintf(option, sizeof option, "--directives=%s", format);
    if (!place_skep(program)) {
        fprintf(stderr, "skepctl directives: there is no skep beside this skepctl\n");
        return CTL_FAILED;
    }
    if (module)
        execl(program, program, option, "--module", module, (char *)NULL);
    else
        execl(program, program, option, (char *)NULL);
    fprintf(stderr, "skepctl directives: %s: %s\n", program, strerror(errno));
    return CTL_FAILED;
}
