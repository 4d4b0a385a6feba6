/* The C half of the scenario driver: a few non-blocking primitives for Lua.
 *
 * Nothing here waits, except host.poll.  A primitive that cannot go on returns nil and a word
 * ("read" or "write": poll for that and call again; "closed": the peer is done; anything else is an
 * error text).  The waiting, the deadlines and everything pleasant live in ../lib.
 *
 * Shares no line with the broker: a codec or a socket layer tested by itself proves nothing.
 */
#ifndef STORY_HOST_H
#define STORY_HOST_H

#include <lua.h>

/* Each adds its functions to the table on top of the stack.  Single thread. */
void sock_register(lua_State *lua);
void proc_register(lua_State *lua);
void sys_register(lua_State *lua);
void hash_register(lua_State *lua);

/* Pushes nil and a text; returns 2, for `return fail(...)`. */
int host_fail(lua_State *lua, const char *why);

/* Makes fd non-blocking and close-on-exec; 0 or -1. */
int host_set_flags(int fd);

#endif
