#include "ctl/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *f, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
    f->hint[0] = '\0';
    return -1;
}

int fault_hint(struct fault *f, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(f->hint, sizeof f->hint, format, ap);
    va_end(ap);
    return -1;
}

void fault_print(const struct fault *f, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, f->text);
    if (f->hint[0])
        fprintf(stderr, "  %s\n", f->hint);
}
