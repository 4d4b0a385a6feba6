/* skepctl lua: scripts of the running Skep, and scripts without one.
 *
 * list, show, disable and enable are commands of the module lua; the others are done by skep-lua,
 * a program of its own, for it is the engine and skepctl is not. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "ctl/module.h"
#include "ctl/place.h"

static const struct arg_option json_option[] = {
    ARG_FIELD(ARG_ON, 0, "json", struct control_conf, json, NULL, "the answer as it came"),
    ARG_LAST,
};

static const struct {
    const char *name, *words, *help;
    bool offline;
} commands[] = {
    {"list", "", "the scripts of the running Skep", false},
    {"show", "NAME", "one of them: its handlers and its last error", false},
    {"disable", "NAME", "stop calling it", false},
    {"enable", "NAME", "call it again", false},
    {"eval", "CODE", "run code in the broker, as a script would", false},
    {"test", "FILE_test.lua ...", "run tests of scripts, without a broker", true},
    {"check", "SCRIPT ...", "find mistakes without running anything", true},
    {"bench", "SCRIPT --topic T", "what one message costs in a script", true},
    {"replay", "RECORDING SCRIPT ...", "what scripts would make of recorded traffic", true},
};

static void print_help(void)
{
    puts("Usage: skepctl lua COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-8s %-21s %s\n", commands[i].name, commands[i].words, commands[i].help);
    puts("\nIf the module was loaded under another name (load lua:NAME), say --module lua:NAME.");
}

static int run_offline(char **argv)
{
    char program[PATH_MAX];

    if (!place_program(program, "skep-lua")) {
        fputs("skepctl lua: there is no skep-lua beside this skepctl or in libexec/skep\n", stderr);
        return CTL_FAILED;
    }
    argv[0] = program;
    execv(program, argv);
    perror("skepctl lua: skep-lua");
    return CTL_FAILED;
}

struct lua_conf {
    struct control_conf control;
    const char *module;
};

static const struct arg_option lua_options[] = {
    ARG_FIELD(ARG_TEXT, 0, "module", struct lua_conf, module, "NAME",
              "the module's name in the configuration (default lua)"),
    ARG_LAST,
};

static int run_online(int argc, char **argv)
{
    struct lua_conf conf = {.control = {.timeout_ms = CONTROL_TIMEOUT_MS}, .module = "lua"};
    char name[32];
    struct arg_command command = {
        .name = name,
        .usage = "[OPTIONS] [NAME]",
        .summary = "Asks the module lua of the running Skep about its scripts.",
        .sets = {{lua_options, &conf},
                 {json_option, &conf.control},
                 {control_options, &conf.control}},
    };
    const char *words[2] = {argv[0]};

    snprintf(name, sizeof name, "skepctl lua %s", argv[0]);
    int status = ask_parse(&command, 1, argc, argv);
    if (status >= 0)
        return status;
    if (command.word_count > 0)
        words[1] = command.words[0];
    if (strcmp(argv[0], "list") != 0 && !words[1]) {
        arg_error(&command, strcmp(argv[0], "eval") == 0
                                ? "which code?"
                                : "which script?  skepctl lua list names them");
        return CTL_USAGE;
    }
    return module_call(name, conf.module, &conf.control, words, words[1] ? 2 : 1);
}

int lua_command(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return argc > 1 ? CTL_OK : CTL_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].offline ? run_offline(argv) : run_online(argc - 1, argv + 1);
    }
    fprintf(stderr, "skepctl lua: there is no command '%s'; skepctl lua --help lists them\n", name);
    return CTL_USAGE;
}
