/* Where pub's messages come from: one text or file a given number of times, or the lines of
 * standard input as they arrive. */
#ifndef SKEP_CTL_SOURCE_H
#define SKEP_CTL_SOURCE_H

#include "ctl/arg.h"
#include "ctl/bytes.h"
#include "ctl/fault.h"

struct source {
    const char *text, *file;
    bool empty, whole_stdin, lines;
    uint32_t repeat, repeat_delay_ms;
    /* private */
    struct bytes buffer;
    uint32_t sent;
    uint64_t next_at; /* monotonic milliseconds */
    size_t taken;     /* bytes of buffer that earlier lines used */
    bool at_end;
};

extern const struct arg_option source_options[];

/* Checks the options and reads what is to be read at once.  0; -1 after arg_error. */
int source_open(struct source *s, const struct arg_command *command);
void source_fini(struct source *s);

/* The next message, valid until the next call.  1; 0 when none is due yet (source_fd or
 * source_wait_ms tell what to wait for); -1 when there will be no more. */
int source_next(struct source *s, struct str *payload);

/* The descriptor whose data are awaited, or -1. */
int source_fd(const struct source *s);
/* Call when source_fd is readable.  0, or -1 with fault. */
int source_read(struct source *s, struct fault *fault);
/* Milliseconds until the next message is due; -1 when time is not what is awaited. */
int source_wait_ms(const struct source *s);

#endif
