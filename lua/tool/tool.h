/* skep-lua: scripts without a broker; what `skepctl lua test` and `bench` run.
 *
 * The real engine and the real dispatcher, on the clock and with the clients of <skep/test.h>. */
#ifndef SKEP_LUA_TOOL_H
#define SKEP_LUA_TOOL_H

#include <lua.h>

/* Each gets the words behind its name and returns an exit status. */
int tool_test(int argc, char **argv);
int tool_bench(int argc, char **argv);
int tool_check(int argc, char **argv);
int tool_replay(int argc, char **argv);

/* `require "test"`: its C half, as one table. */
int testlib_open(lua_State *L);

/* Where a failure inside the harness goes: an error of this state.  NULL: the process ends. */
void tool_errors_to(lua_State *L);

#endif
