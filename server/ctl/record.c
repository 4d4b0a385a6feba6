/* skepctl record: traffic in a file, for `skepctl lua replay`.  It is `skepctl sub --json` with
 * what a recording needs: every topic, QoS as published, no retained messages of yesterday. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/fault.h"

static void print_help(void)
{
    puts(
        "Usage: skepctl record -o FILE [-t FILTER] [OPTIONS OF skepctl sub]\n\n"
        "Writes what is published to a file, one JSON object a line, until Ctrl-C, -C messages or\n"
        "-W seconds; `skepctl lua replay FILE SCRIPT ...` plays it through scripts. Messages are\n"
        "recorded as subscribers get them: after the scripts in force.\n\n"
        "  -o, --output FILE   where to write to; an existing file is not overwritten\n"
        "  -t, --topic FILTER  only these topics (default '#'); may be repeated\n\n"
        "skepctl sub --help has the other options: which broker, who connects, how many.");
}

/* Takes -o FILE out of the arguments; NULL: it is not there. */
static const char *take_output(int *argc, char **argv)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strcmp(argv[i], "-o") != 0 && strcmp(argv[i], "--output") != 0)
            continue;
        const char *path = argv[i + 1];
        memmove(argv + i, argv + i + 2, (size_t)(*argc - i - 1) * sizeof *argv);
        *argc -= 2;
        return path;
    }
    return NULL;
}

static bool names_topic(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-t") == 0 || strncmp(argv[i], "--topic", 7) == 0)
            return true;
    }
    return false;
}

int record_command(int argc, char **argv)
{
    static char *const fixed[] = {"--json", "-q", "2", "-R", "--retain-as-published"};
    const char *path;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        print_help();
        return CTL_OK;
    }
    path = take_output(&argc, argv);
    if (!path) {
        fputs("skepctl record: say where to write to: -o FILE\n", stderr);
        return CTL_USAGE;
    }
    char **args = xcalloc((size_t)argc + ARRAY_LEN(fixed) + 3, sizeof *args);
    int n = 0;
    args[n++] = argv[0];
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        args[n++] = fixed[i];
    if (!names_topic(argc, argv)) {
        args[n++] = "-t";
        args[n++] = "#";
    }
    for (int i = 1; i < argc; i++)
        args[n++] = argv[i];
    if (!freopen(path, "wx", stdout)) {
        fprintf(stderr, "skepctl record: %s: %s\n", path, strerror(errno));
        free(args);
        return CTL_FAILED;
    }
    int status = sub_command(n, args);
    free(args);
    return status;
}
