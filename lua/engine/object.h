/* Objects that a handler gets: a message, a CONNECT, a SUBSCRIBE.
 *
 * Each is a small userdata that names its call and the call's serial at that time.  When the call
 * is over the serials differ, and every use says so. */
#ifndef SKEP_LUA_OBJECT_H
#define SKEP_LUA_OBJECT_H

#include <lauxlib.h>

#include "call.h"

struct object_class {
    enum object_kind kind;
    const char *name;          /* for error messages */
    const char *const *fields; /* NULL at the end; get and set know them by position */
    const luaL_Reg *methods;
    int (*get)(lua_State *L, struct call *c, int field); /* pushes one value */
    void (*set)(lua_State *L, struct call *c, int field, int value);
};

void object_class(lua_State *L, const struct object_class *class_);

/* An argument that is a string with any bytes in it. */
struct skep_str arg_str(lua_State *L, int index);
void push_str(lua_State *L, struct skep_str s);

#endif
