/* Secrets from where they cannot be overlooked: a terminal without echo, or a file. */
#ifndef SKEP_CTL_PROMPT_H
#define SKEP_CTL_PROMPT_H

#include "ctl/bytes.h"
#include "ctl/fault.h"

/* Both append the password and a NUL behind it (counted in len). */

/* Asks on the terminal with echo off.  -1 without a terminal, or on end of input. */
int prompt_password(struct bytes *out, const char *question, struct fault *fault);

/* The first line of a file, without its line end; "-" is standard input. */
int prompt_first_line(struct bytes *out, const char *path, struct fault *fault);

#endif
