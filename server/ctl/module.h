/* skepctl module: one function a command, as in ctl/command.h. */
#ifndef SKEP_CTL_MODULE_H
#define SKEP_CTL_MODULE_H

#include "ctl/control.h"

int module_new_command(int argc, char **argv);
int module_list_command(int argc, char **argv);
int module_info_command(int argc, char **argv);
int module_call_command(int argc, char **argv);
int module_check_command(int argc, char **argv);

/* Gives a loaded module the words and prints its answer: for commands of skepctl's own that end in
 * a module (`skepctl bridge status`).  name: of the command, for messages.  Exit status. */
int module_call(const char *name, const char *module, const struct control_conf *conf,
                const char *const *words, size_t count);

#endif
