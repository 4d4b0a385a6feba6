/* JSON to Lua and back, through cJSON: `require "broker.json"`. */
#ifndef SKEP_LUA_JSON_H
#define SKEP_LUA_JSON_H

#include <lua.h>
#include <skep/base.h>

/* Pushes the value, or nil and a line that says where the text is wrong. */
int json_decode(lua_State *L, struct skep_str text);
/* Pushes the text of the value at index; raises an error for what JSON has no form for. */
void json_encode(lua_State *L, int index, bool pretty);

int json_open(lua_State *L);

#endif
