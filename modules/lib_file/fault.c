#include "fault.h"

#include <stdarg.h>
#include <stdio.h>

static void add(struct faults *f, bool warning, unsigned line, unsigned column, const char *hint,
                const char *format, va_list ap)
{
    struct fault *one;

    f->errors += !warning;
    if (f->count == FAULTS_MAX) {
        f->more++;
        return;
    }
    one = &f->list[f->count++];
    *one = (struct fault){.line = line, .column = column, .warning = warning};
    vsnprintf(one->text, sizeof one->text, format, ap);
    if (hint)
        snprintf(one->hint, sizeof one->hint, "%s", hint);
}

void faults_error(struct faults *f, unsigned line, unsigned column, const char *hint,
                  const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(f, false, line, column, hint, format, ap);
    va_end(ap);
}

void faults_warn(struct faults *f, unsigned line, unsigned column, const char *hint,
                 const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    add(f, true, line, column, hint, format, ap);
    va_end(ap);
}

const char *printable(char *out, size_t cap, struct skep_str s)
{
    size_t at = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '\\';

        if (at + (plain ? 1 : 4) + 4 > cap) {
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        if (plain)
            out[at++] = (char)c;
        else
            at += (size_t)snprintf(out + at, 5, "\\x%02x", c);
    }
    out[at] = '\0';
    return out;
}
