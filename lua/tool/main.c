#include <lauxlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

/* The harness reports through cmocka's two functions; here they end in an error of Lua. */
static lua_State *errors_to;
static char last_error[2048];

__attribute__((visibility("default"))) void print_error(const char *format, ...);
__attribute__((visibility("default"))) void _fail(const char *file, int line);

void tool_errors_to(lua_State *L)
{
    errors_to = L;
}

void print_error(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(last_error, sizeof last_error, format, args);
    va_end(args);
}

void _fail(const char *file, int line)
{
    size_t len = strlen(last_error);

    while (len > 0 && last_error[len - 1] == '\n')
        last_error[--len] = 0;
    if (errors_to)
        luaL_error(errors_to, "%s", last_error);
    fprintf(stderr, "%s (%s:%d)\n", last_error, file, line);
    exit(1);
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"test", tool_test, "FILE_test.lua ...    run the tests in these files"},
    {"check", tool_check, "SCRIPT ...          find mistakes without running anything"},
    {"bench", tool_bench, "SCRIPT --topic T [--payload P] [--count N]   what one message costs"},
    {"replay", tool_replay, "RECORDING SCRIPT ...   what scripts would make of recorded traffic"},
};

static void usage(FILE *to)
{
    fputs("Usage: skep-lua COMMAND ...        (also: skepctl lua COMMAND ...)\n\n", to);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].help);
    fputs("\ndocs/lua/testing.md tells how to write tests.\n", to);
}

int main(int argc, char **argv)
{
    bool help = argc >= 2 && strcmp(argv[1], "--help") == 0;

    for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    }
    usage(help ? stdout : stderr);
    return help ? 0 : 2;
}
