/* skepctl store: the operator's tools for the durable store.  One row a command. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/arg.h"
#include "ctl/command.h"
#include "ctl/store_tool.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words, *help;
} commands[] = {
    {"check", store_check_command, "[DIR]", "read everything and say whether it is whole"},
    {"stat", store_stat_command, "[DIR]", "count what is in it; the longest queues"},
    {"compact", store_compact_command, "[DIR]", "give back the space that is no longer used"},
    {"backup", store_backup_command, "DIR", "a copy of the store, by the running Skep"},
    {"export", store_export_command, "DIR [FILE]", "write all of it as text, JSON lines"},
    {"import", store_import_command, "DIR FILE", "make a new store from such a file"},
    {"repair", store_repair_command, "[DIR]", "cut the log where it is damaged"},
};

static void print_help(void)
{
    puts("Usage: skepctl store COMMAND [DIR] [OPTIONS]\n\n"
         "Looks after a store while no broker is running on it; backup: while one is.\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-8s %-11s %s\n", commands[i].name, commands[i].words, commands[i].help);
    puts(
        "\nDIR is the folder 'store' inside the broker's data_dir; by default that of this source\n"
        "tree, else /var/lib/skep/store.  skepctl store COMMAND --help tells the rest.");
}

static int unknown_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (arg_distance(name, commands[i].name) < 3) {
            fprintf(stderr, "skepctl store: there is no command '%s'; did you mean %s?\n", name,
                    commands[i].name);
            return CTL_USAGE;
        }
    }
    fprintf(stderr, "skepctl store: there is no command '%s'; skepctl store --help lists them\n",
            name);
    return CTL_USAGE;
}

int store_command(int argc, char **argv)
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
