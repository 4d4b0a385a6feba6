/* Commands: how an operator talks to a module.  `skepctl module call NAME WORD...`, or a command
 * of skepctl's own for it (`skepctl bridge status`), ends in the module's on_command. */
#ifndef SKEP_COMMAND_H
#define SKEP_COMMAND_H

#include <skep/base.h>

SKEP_BEGIN

struct skep_command;

/* The i-th word behind the module's name; empty behind the last. */
SKEP_EXPORT struct skep_str skep_command_word(const struct skep_command *c, size_t i);
SKEP_EXPORT size_t skep_command_words(const struct skep_command *c);

/* The answer: one JSON value as text, copied.  People get it as a table if it is an array of
 * objects, else as `name: value` lines; scripts get it with --json.  Once; on the management loop,
 * now or within 10 s. */
SKEP_EXPORT void skep_command_answer(struct skep_command *c, struct skep_str json);
/* One line that says what was wrong, instead. */
SKEP_EXPORT void skep_command_fail(struct skep_command *c, const char *format, ...)
    SKEP_PRINTF(2, 3);

SKEP_END
#endif
