/* skepctl module: one function a command, as in ctl/command.h. */
#ifndef SKEP_CTL_MODULE_H
#define SKEP_CTL_MODULE_H

int module_new_command(int argc, char **argv);

#endif
