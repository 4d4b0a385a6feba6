/* skep-story: runs the stories of tests/scenario against a broker binary.
 *
 * This file only opens Lua and hands the arguments to lib/main.lua, which holds the command line,
 * the scheduler and everything else.
 */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

int host_fail(lua_State *lua, const char *why)
{
    lua_pushnil(lua);
    lua_pushstring(lua, why);
    return 2;
}

int host_set_flags(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int traceback(lua_State *lua)
{
    luaL_traceback(lua, lua, luaL_tolstring(lua, 1, NULL), 1);
    return 1;
}

static void host_open(lua_State *lua)
{
    luaL_openlibs(lua);
    lua_newtable(lua);
    sock_register(lua);
    proc_register(lua);
    sys_register(lua);
    hash_register(lua);
    lua_pushstring(lua, STORY_ROOT);
    lua_setfield(lua, -2, "root");
    lua_setglobal(lua, "host");
}

static void search_path_set(lua_State *lua)
{
    lua_getglobal(lua, "package");
    lua_pushstring(lua, STORY_ROOT "/lib/?.lua");
    lua_setfield(lua, -2, "path");
    lua_pushstring(lua, "");
    lua_setfield(lua, -2, "cpath");
    lua_pop(lua, 1);
}

/* Runs lib/main.lua with the arguments; the exit status. */
static int run(lua_State *lua, int argc, char **argv)
{
    lua_pushcfunction(lua, traceback);
    if (luaL_loadfile(lua, STORY_ROOT "/lib/main.lua") != LUA_OK)
        goto fail;
    for (int i = 0; i < argc; i++)
        lua_pushstring(lua, argv[i]);
    if (lua_pcall(lua, argc, 1, 1) != LUA_OK)
        goto fail;
    return (int)lua_tointeger(lua, -1);
fail:
    fprintf(stderr, "skep-story: %s\n", lua_tostring(lua, -1));
    return 2;
}

int main(int argc, char **argv)
{
    lua_State *lua = luaL_newstate();

    if (!lua)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    host_open(lua);
    search_path_set(lua);
    int status = run(lua, argc, argv);
    lua_close(lua);
    return status;
}
