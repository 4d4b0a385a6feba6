/* `skepctl lua list|show|disable|enable|eval`: the engine's side of it. */
#ifndef SKEP_LUA_OPERATE_H
#define SKEP_LUA_OPERATE_H

#include <skep/command.h>

struct engine;

void operate(struct skep_command *command, void *self);

/* eval.c */
void operate_eval(struct skep_command *command, struct engine *e, struct skep_str code);

#endif
