/* What skepctl does: one function a subcommand.  Each gets its own argv (argv[0] is its name) and
 * returns skepctl's exit status (ctl/fault.h). */
#ifndef SKEP_CTL_COMMAND_H
#define SKEP_CTL_COMMAND_H

int pub_command(int argc, char **argv);
int sub_command(int argc, char **argv);
int passwd_command(int argc, char **argv);
int status_command(int argc, char **argv);
int reload_command(int argc, char **argv);
int stop_command(int argc, char **argv);
int log_level_command(int argc, char **argv);
int config_command(int argc, char **argv);
int directives_command(int argc, char **argv);
int store_command(int argc, char **argv);
int clients_command(int argc, char **argv);
int client_command(int argc, char **argv);
int kick_command(int argc, char **argv);
int trace_command(int argc, char **argv);
int explain_command(int argc, char **argv);
int module_command(int argc, char **argv);
int bridge_command(int argc, char **argv);
int lua_command(int argc, char **argv);
int record_command(int argc, char **argv);

#endif
