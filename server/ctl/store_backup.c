/* skepctl store backup: asks the running Skep for a backup and waits until it has been made. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/control.h"
#include "ctl/progress.h"
#include "ctl/store_tool.h"

enum { CONTROL_TIMEOUT_MS = 30000, ASK_FIRST_MS = 10, ASK_MOST_MS = 500 };

struct backup {
    struct control_conf control;
    const char *name;
    bool quiet;
    char dir[PATH_MAX];
    struct control_link *link;
    uint64_t number; /* which backup is ours */
};

static const struct arg_option backup_options[] = {
    ARG_FIELD(ARG_ON, 'q', "quiet", struct backup, quiet, NULL, "show no progress"),
    ARG_LAST,
};

static const struct arg_option json_options[] = {
    ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "print one JSON object instead"),
    ARG_LAST,
};

/* Skep has a working directory of its own. */
static int make_absolute(char out[PATH_MAX], const char *word, struct fault *fault)
{
    char here[PATH_MAX] = "";
    int len;

    if (word[0] != '/' && !getcwd(here, sizeof here))
        return fault_set(fault, "cannot tell where we are: %s", strerror(errno));
    len = snprintf(out, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", word);
    return len < PATH_MAX ? 0 : fault_set(fault, "the name of the folder is too long");
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

static enum ctl_status begin(struct backup *b, struct fault *fault)
{
    enum ctl_status status = control_connect(&b->link, &b->control, fault);
    cJSON *request, *answer;

    if (status != CTL_OK) {
        fault_hint(fault, "while no Skep is running, a copy of the store's folder is a backup: "
                          "cp -a (else say where its control socket is: --socket PATH)");
        return status;
    }
    request = cJSON_CreateObject();
    cJSON_AddStringToObject(request, "cmd", "backup");
    cJSON_AddStringToObject(request, "dir", b->dir);
    status = control_ask(b->link, request, &answer, fault);
    b->number = (uint64_t)number_of(answer, "number");
    cJSON_Delete(answer);
    return status;
}

/* What became of our backup; CTL_OK also while it is being made: *running. */
static enum ctl_status look(struct backup *b, bool *running, double *took_ms, struct fault *fault)
{
    cJSON *request = cJSON_CreateObject(), *answer;
    enum ctl_status status;

    cJSON_AddStringToObject(request, "cmd", "backup-status");
    status = control_ask(b->link, request, &answer, fault);
    const char *state = text_of(answer, "state");
    *running = strcmp(state, "running") == 0;
    *took_ms = number_of(answer, "took_ms");
    if (status == CTL_OK && (uint64_t)number_of(answer, "number") != b->number) {
        fault_set(fault, "another backup has begun since, and what became of this one is in "
                         "Skep's log only");
        status = CTL_FAILED;
    } else if (status == CTL_OK && !*running && strcmp(state, "done") != 0) {
        fault_set(fault, "%s", text_of(answer, "why"));
        fault_hint(fault, "Skep makes the folder, as the user it runs as");
        status = CTL_FAILED;
    }
    cJSON_Delete(answer);
    return status;
}

static enum ctl_status wait_end(struct backup *b, double *took_ms, struct fault *fault)
{
    struct progress *progress = progress_start(b->name, NULL, b->quiet);
    enum ctl_status status;
    unsigned pause_ms = ASK_FIRST_MS;
    bool running;

    while ((status = look(b, &running, took_ms, fault)) == CTL_OK && running) {
        nanosleep(&(struct timespec){.tv_nsec = (long)pause_ms * 1000000}, NULL);
        pause_ms = pause_ms * 2 < ASK_MOST_MS ? pause_ms * 2 : ASK_MOST_MS;
    }
    progress_stop(&progress);
    return status;
}

static void print_result(const struct backup *b, double took_ms)
{
    cJSON *o;

    if (!b->control.json) {
        printf("%s is a store of its own with all there was, made in %.1f s\n", b->dir,
               took_ms / 1000);
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "dir", b->dir);
    cJSON_AddNumberToObject(o, "took_ms", took_ms);
    store_tool_print_json(o);
}

int store_backup_command(int argc, char **argv)
{
    struct backup b = {.name = "skepctl store backup",
                       .control = {.timeout_ms = CONTROL_TIMEOUT_MS}};
    struct fault fault = {0};
    struct arg_command command = {
        .name = b.name,
        .usage = "DIR [OPTIONS]",
        .summary = "Has the running Skep make DIR, a new or empty folder, a store with everything "
                   "that it holds now, while it goes on serving, and waits until it is complete "
                   "and on the disk.  To restore, put it in the place of the store.",
        .after = "Example:\n"
                 "  skepctl store backup /backup/store-$(date +%F)\n",
        .sets = {{backup_options, &b}, {json_options, &b.control}, {control_options, &b.control}},
    };
    int status = arg_parse(&command, argc, argv);
    double took_ms = 0;

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    if (command.word_count == 0) {
        arg_error(&command, "give DIR, the new folder");
        return CTL_USAGE;
    }
    if (command.word_count > 1) {
        arg_error(&command, "what is '%s'?", command.words[1]);
        return CTL_USAGE;
    }
    status = CTL_FAILED;
    if (make_absolute(b.dir, command.words[0], &fault) == 0 &&
        (status = (int)begin(&b, &fault)) == CTL_OK &&
        (status = (int)wait_end(&b, &took_ms, &fault)) == CTL_OK)
        print_result(&b, took_ms);
    control_free(&b.link);
    if (status != CTL_OK)
        fault_print(&fault, b.name);
    return status;
}
