/* string.find, match, gmatch and gsub with a budget.
 *
 * Lua's patterns as the reference manual describes them (section 6.4.1).  Lua's own matcher
 * backtracks without end inside one C function, where no hook sees it; this one counts its steps
 * and raises an error when there are too many. */
#ifndef SKEP_LUA_PATTERN_H
#define SKEP_LUA_PATTERN_H

#include <lua.h>

/* Replaces the four functions in the table at the top of the stack. */
void pattern_register(lua_State *L);

#endif
