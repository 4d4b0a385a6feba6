/* skepctl module list, info, call, check: what is loaded, and what a file would be. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/bytes.h"
#include "ctl/module.h"
#include "ctl/place.h"
#include "ctl/table.h"

static const struct arg_option json_option[] = {
    ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "the answer as it came"),
    ARG_LAST,
};

static cJSON *module_request(const char *what)
{
    cJSON *request = ask_request("module");

    cJSON_AddStringToObject(request, "do", what);
    return request;
}

static const cJSON *member(const cJSON *o, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

/* A list of words on one line. */
static void print_words(const cJSON *list)
{
    const cJSON *item;
    const char *gap = "";

    cJSON_ArrayForEach(item, list)
    {
        fputs(gap, stdout);
        table_value(stdout, item);
        gap = " ";
    }
}

/* -- list -- */

static void print_list(const cJSON *modules)
{
    cJSON *rows = cJSON_Duplicate(modules, true), *row;

    cJSON_ArrayForEach(row, rows)
    {
        char words[256] = "";
        const cJSON *item;
        cJSON_ArrayForEach(item, member(row, "asked"))
        {
            size_t len = strlen(words);
            snprintf(words + len, sizeof words - len, "%s%s", len ? "," : "", item->valuestring);
        }
        cJSON_ReplaceItemInObjectCaseSensitive(row, "asked", cJSON_CreateString(words));
    }
    if (rows && rows->child)
        table_print(stdout, rows);
    else
        puts("no module is loaded");
    cJSON_Delete(rows);
}

int module_list_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl module list",
        .usage = "[OPTIONS]",
        .summary = "Lists the modules of the running Skep in the order in which they are asked.",
        .sets = {{json_option, &conf}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 0, argc, argv);
    cJSON *answer;

    if (status >= 0)
        return status;
    status = (int)ask(&command, &conf, module_request("list"), &answer);
    if (status == CTL_OK && conf.json)
        ask_print(member(answer, "modules"));
    else if (status == CTL_OK)
        print_list(member(answer, "modules"));
    cJSON_Delete(answer);
    return status;
}

/* -- info -- */

static void print_info(const cJSON *m)
{
    static const char *const facts[] = {"summary", "version", "sdk", "file", "state"};

    printf("%s\n", ask_text(m, "name"));
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        printf("%-10s ", facts[i]);
        table_value(stdout, member(m, facts[i]));
        putchar('\n');
    }
    printf("%-10s ", "asked");
    print_words(member(m, "asked"));
    printf("\n%-10s %.0f\n", "pending", ask_number(m, "pending"));
    if (member(m, "hooks") && member(m, "hooks")->child) {
        putchar('\n');
        table_print(stdout, member(m, "hooks"));
    }
    if (member(m, "alarms") && member(m, "alarms")->child) {
        puts("\nALARMS");
        table_print(stdout, member(m, "alarms"));
    }
    printf("\n%s", ask_text(m, "options"));
}

int module_info_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl module info",
        .usage = "[OPTIONS] NAME",
        .summary =
            "Tells all about one loaded module: what it decides, how often and how fast, its "
            "alarms and options.",
        .sets = {{json_option, &conf}, {control_options, &conf}},
    };
    int status = ask_parse(&command, 1, argc, argv);
    cJSON *request, *answer;

    if (status >= 0)
        return status;
    if (command.word_count == 0) {
        arg_error(&command, "which module?  skepctl module list names them");
        return CTL_USAGE;
    }
    request = module_request("info");
    cJSON_AddStringToObject(request, "name", command.words[0]);
    status = (int)ask(&command, &conf, request, &answer);
    if (status == CTL_OK && conf.json)
        ask_print(member(answer, "module"));
    else if (status == CTL_OK)
        print_info(member(answer, "module"));
    cJSON_Delete(answer);
    return status;
}

/* -- call -- */

int module_call(const char *name, const char *module, const struct control_conf *conf,
                const char *const *words, size_t count)
{
    struct arg_command command = {.name = name};
    cJSON *request = module_request("call"), *list, *answer;
    int status;

    cJSON_AddStringToObject(request, "name", module);
    list = cJSON_AddArrayToObject(request, "words");
    for (size_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(words[i]));
    status = (int)ask(&command, conf, request, &answer);
    if (status == CTL_OK && conf->json)
        ask_print(member(answer, "answer"));
    else if (status == CTL_OK)
        table_print(stdout, member(answer, "answer"));
    cJSON_Delete(answer);
    return status;
}

int module_call_command(int argc, char **argv)
{
    struct control_conf conf = {.timeout_ms = CONTROL_TIMEOUT_MS};
    struct arg_command command = {
        .name = "skepctl module call",
        .usage = "[OPTIONS] NAME [WORD...]",
        .summary = "Gives a loaded module a command of its own and prints what it answers.",
        .sets = {{json_option, &conf}, {control_options, &conf}},
    };
    int status = arg_parse(&command, argc, argv);

    if (status != 0)
        return status > 0 ? CTL_OK : CTL_USAGE;
    if (command.word_count == 0) {
        arg_error(&command, "which module?  skepctl module list names them");
        return CTL_USAGE;
    }
    return module_call(command.name, command.words[0], &conf,
                       (const char *const *)command.words + 1, (size_t)command.word_count - 1);
}

/* -- check -- */

/* What the program prints; false when it ended by a signal. */
static bool read_child(const char *program, const char *file, struct bytes *out)
{
    int ends[2], state = 0;
    char buf[4096];
    ssize_t n;
    pid_t pid;

    if (pipe(ends) < 0 || (pid = fork()) < 0)
        return false;
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "--check-module", file, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while ((n = read(ends[0], buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            bytes_add(out, buf, (size_t)n);
    close(ends[0]);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(state);
}

static void print_notes(const cJSON *list, const char *what)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, list)
    {
        printf("%s", what);
        table_value(stdout, item);
        putchar('\n');
    }
}

static void print_check(const cJSON *c)
{
    bool good = cJSON_IsTrue(member(c, "good"));

    printf("%s: %s\n", ask_text(c, "file"), good ? "would load" : ask_text(c, "error"));
    print_notes(member(c, "missing"), "this Skep does not have: ");
    if (!good)
        return;
    printf("%s %s, %s\nmade for SDK %s\nhooks: ", ask_text(c, "name"), ask_text(c, "version"),
           ask_text(c, "summary"), ask_text(c, "sdk"));
    print_words(member(c, "hooks"));
    if (member(c, "events")->child) {
        printf("\nevents: ");
        print_words(member(c, "events"));
    }
    puts("\n");
    table_print(stdout, member(c, "options"));
    if (member(c, "warnings")->child)
        putchar('\n');
    print_notes(member(c, "warnings"), "warning: ");
}

int module_check_command(int argc, char **argv)
{
    struct control_conf conf = {0};
    struct arg_command command = {
        .name = "skepctl module check",
        .usage = "[--json] FILE.so",
        .summary =
            "Tells whether a file is a module that this Skep would load, and what it is. The "
            "file is loaded by a process of its own.",
        .sets = {{json_option, &conf}},
    };
    int status = ask_parse(&command, 1, argc, argv);
    char program[PATH_MAX];
    struct bytes out = {0};
    struct fault fault = {0};
    cJSON *answer = NULL;

    if (status >= 0)
        return status;
    if (command.word_count == 0) {
        arg_error(&command, "which file?");
        return CTL_USAGE;
    }
    if (!place_skep(program)) {
        fault_set(&fault, "there is no skep beside this skepctl");
    } else if (!read_child(program, command.words[0], &out)) {
        fault_set(&fault, "%s crashed while it was loaded", command.words[0]);
    } else if ((answer = cJSON_ParseWithLength((const char *)out.ptr, out.len)) == NULL) {
        fault_set(&fault, "%s: loading it gave no answer", command.words[0]);
    }
    bytes_fini(&out);
    if (!answer)
        return (int)ask_fail(&command, CTL_FAILED, &fault);
    if (conf.json)
        ask_print(answer);
    else
        print_check(answer);
    status = cJSON_IsTrue(member(answer, "good")) ? CTL_OK : CTL_FAILED;
    cJSON_Delete(answer);
    return status;
}
