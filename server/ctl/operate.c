/* skepctl status, reload, stop, log-level, config, directives: what an operator asks a running
 * Skep, or the program itself. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/control.h"
#include "ctl/format.h"

enum { CONTROL_TIMEOUT_MS = 30000 };

static enum ctl_status operate_fail(const struct arg_command *command, enum ctl_status status,
                                    const struct fault *fault)
{
    fault_print(fault, command->name);
    return status;
}

/* Parses the command line of a command with at most `words` plain words.  -1: go on, else the
 * exit status. */
static int operate_parse(struct arg_command *command, int words, int argc, char **argv)
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

static cJSON *request_new(const char *cmd)
{
    cJSON *request = cJSON_CreateObject();

    cJSON_AddStringToObject(request, "cmd", cmd);
    return request;
}

/* One question, one answer (NULL when there was none).  The fault has been printed. */
static enum ctl_status ask(const struct arg_command *command, const struct control_conf *conf,
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
    return status == CTL_OK ? status : operate_fail(command, status, &fault);
}

static void print_json(const cJSON *answer)
{
    char *text = cJSON_PrintUnformatted(answer);

    puts(text ? text : "{}");
    cJSON_free(text);
}

static double number_of(const cJSON *answer, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer, name);

    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *text_of(const cJSON *answer, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(answer, name));

    return text ? text : "";
}

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
    if (number_of(store, "unsynced_bytes") > 0)
        snprintf(settling, sizeof settling, ", %.0f bytes not on the disk yet",
                 number_of(store, "unsynced_bytes"));
    printf("%-20s sync %s, %.0f syncs%s\n", "store", text_of(store, "sync"),
           number_of(store, "syncs"), settling);
    printf("%-20s %.0f bytes since the last checkpoint, %.0f files in use, %.0f spare\n", "log",
           number_of(store, "log_bytes"), number_of(store, "segments"),
           number_of(store, "spare_segments"));
    printf("%-20s %.0f, %.0f failed\n", "checkpoints", number_of(store, "checkpoints"),
           number_of(store, "checkpoint_failures"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(store, "refusing")))
        printf("%-20s the disk takes nothing: %s; what must survive is refused\n", "NOT READY",
               text_of(store, "why"));
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
    const cJSON *listener;

    printf("Skep %s, %s, ", text_of(answer, "version"), text_of(answer, "state"));
    print_uptime(number_of(answer, "uptime_s"));
    printf(", process %.0f, %.0f threads, log level %s\n", number_of(answer, "pid"),
           number_of(answer, "threads"), text_of(answer, "log_level"));
    printf("%-20s %s\n", "configuration", text_of(answer, "config"));
    printf("%-20s %s\n", "data", text_of(answer, "data_dir"));
    cJSON_ArrayForEach(listener, cJSON_GetObjectItemCaseSensitive(answer, "listeners"))
    {
        printf("listener %-11s %s\n", text_of(listener, "name"), text_of(listener, "address"));
    }
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        printf("%-20s %.0f\n", figures[i].label, number_of(answer, figures[i].name));
    print_store(cJSON_GetObjectItemCaseSensitive(answer, "store"));
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
    int status = operate_parse(&command, 0, argc, argv);
    cJSON *answer;

    if (status >= 0)
        return status;
    status = (int)ask(&command, &conf, request_new("status"), &answer);
    if (status == CTL_OK && conf.json)
        print_json(answer);
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

        printf("%s%s\n", text_of(item, "text"), fixed ? "   (only after a restart)" : "");
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
    int status = operate_parse(&command, 0, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    request = request_new("reload");
    if (conf.plan)
        cJSON_AddTrueToObject(request, "plan");
    status = (int)ask(&command, &conf.control, request, &answer);
    if (answer && conf.control.json)
        print_json(answer);
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
    int status = operate_parse(&command, 0, argc, argv);
    struct control_link *link = NULL;
    struct fault fault = {0};
    cJSON *answer = NULL;

    if (status >= 0)
        return status;
    status = (int)control_connect(&link, &conf, &fault);
    if (status == CTL_OK)
        status = (int)control_ask(link, request_new("stop"), &answer, &fault);
    if (status == CTL_OK && !control_wait_end(link, conf.timeout_ms)) {
        fault_set(&fault, "it is still running after %u s", conf.timeout_ms / 1000);
        status = CTL_TIMEOUT;
    }
    cJSON_Delete(answer);
    control_free(&link);
    return status == CTL_OK ? CTL_OK : (int)operate_fail(&command, (enum ctl_status)status, &fault);
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
    int status = operate_parse(&command, 1, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    request = request_new("log-level");
    if (command.word_count > 0)
        cJSON_AddStringToObject(request, "level", command.words[0]);
    status = (int)ask(&command, &conf, request, &answer);
    if (status == CTL_OK)
        puts(text_of(answer, "level"));
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
    int status = operate_parse(&command, 0, argc, argv);
    cJSON *answer;

    if (status >= 0)
        return status;
    status = (int)ask(&command, &conf, request_new("config"), &answer);
    if (status == CTL_OK)
        fputs(text_of(answer, "text"), stdout);
    cJSON_Delete(answer);
    return status;
}

/* -- directives -- */

/* The skep that belongs to this skepctl: beside it, or in the sbin or bin beside its folder. */
static bool skep_find(char out[PATH_MAX])
{
    static const char *const places[] = {"skep", "../sbin/skep", "../bin/skep"};
    char folder[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 32);

    if (n <= 0)
        return false;
    folder[n] = '\0';
    *strrchr(folder, '/') = '\0';
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(out, PATH_MAX, "%.*s/%s", PATH_MAX - 32, folder, places[i]);
        if (access(out, X_OK) == 0)
            return true;
    }
    return false;
}

int directives_command(int argc, char **argv)
{
    const char *format = "text";
    struct arg_command command = {
        .name = "skepctl directives",
        .usage = "[text|json|markdown|man]",
        .summary = "Describes every directive of skep.conf: what it takes, its default, and "
                   "whether a reload changes it.",
        .sets = {{(const struct arg_option[]){ARG_LAST}, NULL}},
    };
    int status = operate_parse(&command, 1, argc, argv);
    char program[PATH_MAX], option[64];

    if (status >= 0)
        return status;
    if (command.word_count > 0)
        format = command.words[0];
    snprintf(option, sizeof option, "--directives=%s", format);
    if (!skep_find(program)) {
        fprintf(stderr, "skepctl directives: there is no skep beside this skepctl\n");
        return CTL_FAILED;
    }
    execl(program, program, option, (char *)NULL);
    fprintf(stderr, "skepctl directives: %s: %s\n", program, strerror(errno));
    return CTL_FAILED;
}
