/* skepctl module: for those who write modules and those who run them.  One row a command. */
#include "ctl/module.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/arg.h"
#include "ctl/command.h"
#include "ctl/fault.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words, *help;
} commands[] = {
    {"list", module_list_command, "", "what is loaded, and how it does"},
    {"info", module_info_command, "NAME", "all about one of them"},
    {"call", module_call_command, "NAME [WORD...]", "a command of the module's own"},
    {"check", module_check_command, "FILE.so", "would it load, and what is it?"},
    {"new", module_new_command, "NAME", "begin a module: a project that builds and has a test"},
};

static void print_help(void)
{
    puts("Usage: skepctl module COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-6s %-16s %s\n", commands[i].name, commands[i].words, commands[i].help);
    puts("\nskepctl module COMMAND --help tells the rest.");
}

static int unknown_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (arg_distance(name, commands[i].name) < 3) {
            fprintf(stderr, "skepctl module: there is no command '%s'; did you mean %s?\n", name,
                    commands[i].name);
            return CTL_USAGE;
        }
    }
    fprintf(stderr, "skepctl module: there is no command '%s'; skepctl module --help lists them\n",
            name);
    return CTL_USAGE;
}

int module_command(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return argc > 1 ? CTL_OK : CTL_USAGE;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_command(name);
}
