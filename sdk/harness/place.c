/* Where the test called, and failing it there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <skep/test.h>

#include "world.h"

/* The test program's: the library itself does without, so that the broker's package does. */
#pragma weak _fail
#pragma weak print_error

static struct {
    const char *file;
    int line;
    char fault[512];
} place = {.file = "?"};

void skep_test_at(const char *file, int line)
{
    place.file = file;
    place.line = line;
}

static void fail_here(const char *text)
{
    print_error("%s\n", text);
    _fail(place.file, place.line);
}

void test_fail(const char *format, ...)
{
    char text[sizeof place.fault];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    place.fault[0] = 0;
    fail_here(text);
    __builtin_unreachable();
}

void test_fault(const char *format, ...)
{
    va_list args;

    if (place.fault[0])
        return;
    va_start(args, format);
    vsnprintf(place.fault, sizeof place.fault, format, args);
    va_end(args);
}

void test_check(void)
{
    char text[sizeof place.fault];

    if (!place.fault[0])
        return;
    snprintf(text, sizeof text, "%s", place.fault);
    place.fault[0] = 0;
    fail_here(text);
}
