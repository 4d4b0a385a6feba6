/* `skepctl lua list|show|disable|enable`: the engine's side of it. */
#ifndef SKEP_LUA_OPERATE_H
#define SKEP_LUA_OPERATE_H

#include <skep/command.h>

void operate(struct skep_command *command, void *self);

#endif
