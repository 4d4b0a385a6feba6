/* skep_log() of sdk/include/skep/base.h: lines of a module, by its name, and not too many. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "host/instance.h"

enum { LINES_A_SECOND = 300, LINE_BYTES = 4096 };

static enum log_level level_of(enum skep_level level)
{
    static const enum log_level levels[] = {
        [SKEP_LOG_DEBUG] = LOG_LEVEL_DEBUG,
        [SKEP_LOG_INFO] = LOG_LEVEL_INFO,
        [SKEP_LOG_WARN] = LOG_LEVEL_WARN,
        [SKEP_LOG_ERROR] = LOG_LEVEL_ERROR,
    };

    return level >= SKEP_LOG_DEBUG && level <= SKEP_LOG_ERROR ? levels[level] : LOG_LEVEL_ERROR;
}

void instance_log_end(struct skep_module *m)
{
    uint32_t left_out = atomic_exchange(&m->log_left_out, 0);

    if (left_out)
        log_warn(m->name, "%u lines were left out: too many in a second", left_out);
}

/* Whether one more line fits into this second.  Threads that race for a new second may both say how
 * much was left out in the old one; nobody says it twice, for the count is taken. */
static bool may_write(struct skep_module *m)
{
    uint32_t second = (uint32_t)(clock_mono_ms() / 1000);

    if (atomic_exchange(&m->log_second, second) != second) {
        atomic_store(&m->log_lines, 0);
        instance_log_end(m);
    }
    if (atomic_fetch_add(&m->log_lines, 1) < LINES_A_SECOND)
        return true;
    atomic_fetch_add(&m->log_left_out, 1);
    return false;
}

bool skep_log_wanted(enum skep_level level)
{
    return log_on(level_of(level));
}

void skep_log(struct skep_module *m, enum skep_level level, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;

    if (!skep_log_wanted(level) || (m && !may_write(m)))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log_write(level_of(level), m ? m->name : "modules", "%s", line);
}
