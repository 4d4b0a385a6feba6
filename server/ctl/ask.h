/* What commands share that ask the running Skep one question: the command line, the question, and
 * reading the answer. */
#ifndef SKEP_CTL_ASK_H
#define SKEP_CTL_ASK_H

#include "ctl/control.h"

enum { CONTROL_TIMEOUT_MS = 30000 };

/* Parses the command line of a command with at most `words` plain words.  -1: go on, else the
 * exit status. */
int ask_parse(struct arg_command *command, int words, int argc, char **argv);

/* {"cmd":cmd}, for more members. */
cJSON *ask_request(const char *cmd);

/* One question, one answer (NULL when there was none).  The fault has been printed. */
enum ctl_status ask(const struct arg_command *command, const struct control_conf *conf,
                    cJSON *request, cJSON **answer);

/* Prints the fault and returns status. */
enum ctl_status ask_fail(const struct arg_command *command, enum ctl_status status,
                         const struct fault *fault);

/* The answer on one line. */
void ask_print(const cJSON *answer);
/* A member; 0 or "" when it is not there. */
double ask_number(const cJSON *answer, const char *name);
const char *ask_text(const cJSON *answer, const char *name);

#endif
