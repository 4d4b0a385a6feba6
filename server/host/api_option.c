/* The functions of sdk/include/skep/option.h. */
#include <skep/option.h>
#include <stdarg.h>

#include "base/arena.h"
#include "host/report.h"

static void complain(struct skep_report *r, const struct skep_place *place, bool warning,
                     const char *hint, const char *format, va_list args)
{
    struct arena *arena = r->complaints->arena;
    struct text_pos pos = r->pos;
    const char *text = arena_vprintf(arena, format, args);

    if (place && place->file)
        pos = (struct text_pos){place->file, place->line, place->column};
    hint = hint ? arena_cstr(arena, str_of(hint)) : NULL;
    if (warning)
        complaint_warn(r->complaints, pos, hint, "%s", text);
    else
        complaint_error(r->complaints, pos, hint, "%s", text);
}

void skep_report(struct skep_report *report, const struct skep_place *place, const char *hint,
                 const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(report, place, false, hint, format, args);
    va_end(args);
}

void skep_report_warning(struct skep_report *report, const struct skep_place *place,
                         const char *hint, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    complain(report, place, true, hint, format, args);
    va_end(args);
}
