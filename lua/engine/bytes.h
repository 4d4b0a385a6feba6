/* Bytes and digests for scripts: `require "broker.bytes"`. */
#ifndef SKEP_LUA_BYTES_H
#define SKEP_LUA_BYTES_H

#include <lua.h>

int bytes_open(lua_State *L);

#endif
