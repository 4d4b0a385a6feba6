#include "conf/complaint.h"

void complaints_init(struct complaints *c, struct arena *arena)
{
    *c = (struct complaints){.arena = arena, .last = &c->first};
}

bool complaints_full(const struct complaints *c)
{
    return c->errors >= COMPLAINT_MAX;
}

static void add(struct complaints *c, struct text_pos pos, bool warning, const char *hint,
                const char *fmt, va_list args)
{
    struct complaint *one;

    if (complaints_full(c))
        return;
    one = ARENA_NEW(c->arena, struct complaint);
    one->pos = pos;
    one->warning = warning;
    one->hint = hint;
    one->message = arena_vprintf(c->arena, fmt, args);
    *c->last = one;
    c->last = &one->next;
    if (warning)
        c->warnings++;
    else
        c->errors++;
}

void complaint_error(struct complaints *c, struct text_pos pos, const char *hint, const char *fmt,
                     ...)
{
    va_list args;
    va_start(args, fmt);
    add(c, pos, false, hint, fmt, args);
    va_end(args);
}

void complaint_warn(struct complaints *c, struct text_pos pos, const char *hint, const char *fmt,
                    ...)
{
    va_list args;
    va_start(args, fmt);
    add(c, pos, true, hint, fmt, args);
    va_end(args);
}

const char *complaint_text(const struct complaints *c, const struct complaint *one)
{
    const char *kind = one->warning ? "warning: " : "";
    const char *comma = one->hint ? ", " : "", *hint = one->hint ? one->hint : "";
    const char *file = one->pos.file ? one->pos.file : "configuration";

    if (one->pos.line == 0)
        return arena_printf(c->arena, "%s: %s%s%s%s", file, kind, one->message, comma, hint);
    return arena_printf(c->arena, "%s:%u:%u: %s%s%s%s", file, one->pos.line, one->pos.column, kind,
                        one->message, comma, hint);
}

void complaints_print(const struct complaints *c, FILE *to)
{
    for (const struct complaint *one = c->first; one; one = one->next)
        fprintf(to, "%s\n", complaint_text(c, one));
    if (complaints_full(c))
        fprintf(to, "(stopped after %d errors)\n", COMPLAINT_MAX);
}
