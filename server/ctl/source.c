#include "ctl/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { MESSAGE_MAX = 268435455, READ_SIZE = 65536 };

#define S(kind, key, name, field, value, help)                                                     \
    ARG_FIELD(kind, key, name, struct source, field, value, help)

const struct arg_option source_options[] = {
    ARG_HEADING("The message"),
    S(ARG_TEXT, 'm', "message", text, "TEXT", "this text"),
    S(ARG_TEXT, 'f', "file", file, "FILE", "the contents of a file"),
    S(ARG_ON, 's', "stdin-file", whole_stdin, NULL, "all of standard input as one message"),
    S(ARG_ON, 'l', "stdin-line", lines, NULL, "each line of standard input as a message"),
    S(ARG_ON, 'n', "null-message", empty, NULL, "an empty message"),
    ARG_RANGE(ARG_NUMBER, 0, "repeat", struct source, repeat, "COUNT", 1, UINT32_MAX,
              "publish it this many times"),
    S(ARG_SECONDS, 0, "repeat-delay", repeat_delay_ms, "SECONDS", "and wait in between"),
    ARG_LAST,
};

#undef S

static int file_read(struct source *s, const struct arg_command *command)
{
    FILE *file = s->whole_stdin ? stdin : fopen(s->file, "re");
    const char *name = s->whole_stdin ? "standard input" : s->file;
    int err;

    if (!file)
        return arg_error(command, "%s: %s", name, strerror(errno));
    err = bytes_read(&s->buffer, file, MESSAGE_MAX);
    if (err < 0)
        arg_error(command, "%s: %s", name,
                  errno == EFBIG ? "larger than the 256 MiB of MQTT" : strerror(errno));
    if (file != stdin)
        fclose(file);
    return err;
}

int source_open(struct source *s, const struct arg_command *command)
{
    int ways = (s->text != NULL) + (s->file != NULL) + s->empty + s->whole_stdin + s->lines;

    if (ways == 0)
        return arg_error(command, "what is the message?  Give -m TEXT, -f FILE, -s, -l or -n");
    if (ways > 1)
        return arg_error(command, "give only one of -m, -f, -s, -l and -n");
    if (s->lines && (s->repeat > 1 || s->repeat_delay_ms))
        return arg_error(command, "--repeat does not go with -l");
    if (s->repeat == 0)
        s->repeat = 1;
    if (s->text)
        bytes_add(&s->buffer, s->text, strlen(s->text));
    return s->file || s->whole_stdin ? file_read(s, command) : 0;
}

void source_fini(struct source *s)
{
    bytes_fini(&s->buffer);
}

static int next_line(struct source *s, struct str *line)
{
    struct str rest = {(const char *)s->buffer.ptr + s->taken, s->buffer.len - s->taken};
    const char *end = rest.len ? memchr(rest.ptr, '\n', rest.len) : NULL;

    if (!end && !s->at_end) {
        bytes_take(&s->buffer, s->taken);
        s->taken = 0;
        return 0;
    }
    if (rest.len == 0)
        return -1;
    *line = rest;
    s->taken = s->buffer.len;
    if (end) {
        line->len = (size_t)(end - rest.ptr);
        s->taken -= rest.len - line->len - 1;
    }
    return 1;
}

int source_next(struct source *s, struct str *payload)
{
    if (s->lines)
        return next_line(s, payload);
    if (s->sent == s->repeat)
        return -1;
    if (s->next_at > clock_mono_ms())
        return 0;
    s->sent++;
    s->next_at = clock_mono_ms() + s->repeat_delay_ms;
    *payload = bytes_str(&s->buffer);
    return 1;
}

int source_fd(const struct source *s)
{
    return s->lines && !s->at_end ? STDIN_FILENO : -1;
}

int source_read(struct source *s, struct fault *fault)
{
    ssize_t n = read(STDIN_FILENO, bytes_room(&s->buffer, READ_SIZE), READ_SIZE);

    if (n < 0 && errno != EINTR && errno != EAGAIN)
        return fault_set(fault, "standard input: %s", strerror(errno));
    if (n > 0)
        s->buffer.len += (size_t)n;
    s->at_end = n == 0;
    if (s->buffer.len > MESSAGE_MAX && !memchr(s->buffer.ptr, '\n', s->buffer.len))
        return fault_set(fault, "a line is longer than the 256 MiB of MQTT");
    return 0;
}

int source_wait_ms(const struct source *s)
{
    uint64_t now = clock_mono_ms();

    if (s->lines || s->sent == s->repeat)
        return -1;
    return s->next_at > now ? (int)(s->next_at - now) : 0;
}
