/* skepctl: what an operator or author does with Skep from a shell.  One row a subcommand; the
 * work is in server/ctl. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/arg.h"
#include "ctl/command.h"
#include "ctl/fault.h"

#ifdef SKEP_HAVE_BENCH
#include "bench.h"
#endif

static int version_command(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"pub", pub_command, "publish messages, ask for answers"},
    {"sub", sub_command, "subscribe and print what arrives"},
    {"passwd", passwd_command, "create and change files of users and passwords"},
    {"status", status_command, "how the broker on this machine is doing"},
    {"reload", reload_command, "have it read its configuration again"},
    {"stop", stop_command, "have it end"},
    {"log-level", log_level_command, "have it log more or less"},
    {"config", config_command, "print the configuration in force"},
    {"directives", directives_command, "describe every directive of skep.conf"},
    {"clients", clients_command, "list who is connected"},
    {"client", client_command, "all about one client"},
    {"kick", kick_command, "end a client's connection"},
    {"explain", explain_command, "what modules would decide, and why"},
    {"trace", trace_command, "watch what happens to a client or on a topic"},
    {"store", store_command, "check, count, compact, export, import or repair a store"},
    {"record", record_command, "write traffic to a file, for skepctl lua replay"},
    {"lua", lua_command, "scripts: list, switch, test, check, measure, replay"},
    {"module", module_command, "list, ask and check modules, begin one of your own"},
    {"bridge", bridge_command, "the bridges to other brokers"},
#ifdef SKEP_HAVE_BENCH
    {"bench", bench_main, "measure a broker"},
#endif
    {"version", version_command, "print the version"},
};

static int version_command(int argc, char **argv)
{
    puts("skepctl " SKEP_VERSION);
    return CTL_OK;
}

static void print_help(void)
{
    puts("Usage: skepctl COMMAND [OPTIONS]\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].help);
    puts("\nskepctl COMMAND --help tells the rest; skepctl(1) is the manual.\n"
         "Exit status: 0 done, 1 failed, 2 wrong command line, 3 broker not reached,\n"
         "4 refused by the broker, 5 connection lost, 27 timeout (-W).");
}

static int unknown_command(const char *name)
{
    const char *near = NULL;
    unsigned best = 3;

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        unsigned distance = arg_distance(name, commands[i].name);

        if (distance < best) {
            near = commands[i].name;
            best = distance;
        }
    }
    if (near)
        fprintf(stderr, "skepctl: there is no command '%s'; did you mean %s?\n", name, near);
    else
        fprintf(stderr, "skepctl: there is no command '%s'; skepctl --help lists them\n", name);
    return CTL_USAGE;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";

    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write that meets it */
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return argc > 1 ? CTL_OK : CTL_USAGE;
    }
    if (strcmp(name, "--version") == 0)
        return version_command(argc, argv);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(name, commands[i].name) == 0) {
            int status = commands[i].run(argc - 1, argv + 1);

            if (fflush(stdout) != 0 && status == CTL_OK) {
                perror("skepctl: cannot write");
                status = CTL_FAILED;
            }
            return status;
        }
    }
    return unknown_command(name);
}
