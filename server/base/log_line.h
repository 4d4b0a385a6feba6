/* The text of one log line: escaping, and the three layouts (text, JSON, journal).
 * Private to log.c, apart from log_escape, which also serves whoever prints a peer's
 * bytes elsewhere. */
#ifndef SKEP_BASE_LOG_LINE_H
#define SKEP_BASE_LOG_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

/* A pipe takes this many bytes in one piece, so lines of two threads never mix. */
enum { LOG_LINE_MAX = 4096 };

struct log_line {
    char text[LOG_LINE_MAX];
    size_t len;
};

struct log_record {
    enum log_level level;
    uint64_t wall_ms;
    const char *area;
    struct str message;
    const struct log_field *fields;
    size_t field_count;
    uint32_t suppressed; /* similar lines kept back before this one */
};

enum log_quoting { LOG_PLAIN, LOG_QUOTED, LOG_IN_JSON };

/* Appends `s` with everything unprintable escaped, at most `room` bytes of it, ending in
 * "..." when cut.  LOG_QUOTED and LOG_IN_JSON also escape `"` and `\`. */
void log_escape(struct log_line *out, struct str s, enum log_quoting quoting, size_t room);

/* Each clears the line first and ends it with a newline. */
void log_line_text(struct log_line *out, const struct log_record *r);    /* with date and level */
void log_line_json(struct log_line *out, const struct log_record *r);    /* one object */
void log_line_bare(struct log_line *out, const struct log_record *r);    /* area: message k=v */
void log_line_journal(struct log_line *out, const struct log_record *r); /* native fields */

/* The syslog severity, 0 to 7. */
int log_severity(enum log_level level);

#endif
