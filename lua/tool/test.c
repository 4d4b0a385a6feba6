/* skep-lua test: each file in a Lua of its own, with all of Lua's libraries: tests are the
 * author's, not the broker's. */
#include <lauxlib.h>
#include <libgen.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_lua.h" /* test.lua as bytes, made by the build */
#include "tool.h"

static int report(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    if (lua_toboolean(L, 2)) {
        printf("  ok    %s\n", name);
        return 0;
    }
    printf("  FAIL  %s\n", name);
    for (const char *p = luaL_optstring(L, 3, ""); *p;) {
        size_t len = strcspn(p, "\n");
        printf("        %.*s\n", (int)len, p);
        p += len + (p[len] == '\n');
    }
    return 0;
}

static int open_test(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "test");
    return 1;
}

static bool prepare(lua_State *L, const char *path)
{
    char *copy = strdup(path), *directory;
    char whole[4096];

    luaL_openlibs(L);
    if (luaL_loadbuffer(L, (const char *)test_lua, test_lua_len, "=test") != LUA_OK)
        return false;
    testlib_open(L);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK)
        return false;
    directory = realpath(dirname(copy), whole);
    lua_pushstring(L, directory ? directory : ".");
    free(copy);
    lua_setfield(L, -2, "directory");
    lua_setfield(L, LUA_REGISTRYINDEX, "test");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_test);
    lua_setfield(L, -2, "test");
    lua_pop(L, 1);
    return true;
}

static int run_file(const char *path, int *count, int *failed)
{
    lua_State *L = luaL_newstate();
    int status = 1;

    printf("%s\n", path);
    tool_errors_to(L);
    if (!prepare(L, path) || luaL_dofile(L, path) != LUA_OK) {
        printf("  FAIL  %s\n", lua_tostring(L, -1));
        ++*failed;
    } else {
        lua_getfield(L, LUA_REGISTRYINDEX, "test");
        lua_getfield(L, -1, "run");
        lua_pushcfunction(L, report);
        if (lua_pcall(L, 1, 2, 0) == LUA_OK) {
            *count += (int)lua_tointeger(L, -2);
            *failed += (int)lua_tointeger(L, -1);
            status = 0;
        } else {
            printf("  FAIL  %s\n", lua_tostring(L, -1));
            ++*failed;
        }
    }
    tool_errors_to(NULL);
    lua_close(L);
    return status;
}

int tool_test(int argc, char **argv)
{
    int count = 0, failed = 0;

    if (argc == 0) {
        fputs("skep-lua test: name the files with tests, for example: skepctl lua test "
              "rules/*_test.lua\n",
              stderr);
        return 2;
    }
    for (int i = 0; i < argc; i++)
        run_file(argv[i], &count, &failed);
    printf("%d tests, %d failed\n", count, failed);
    if (count == 0 && failed == 0)
        fputs("skep-lua test: no test was found; a test is test.it(name, function() ... end)\n",
              stderr);
    return failed > 0 || count == 0;
}
