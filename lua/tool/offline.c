/* skep-lua check and replay: the C around check.lua and replay.lua. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_lua.h"
#include "replay_lua.h"
#include "tool.h"
#include "types_lua.h"

/* A Lua with all libraries and the chunk's function at the top of its stack. */
static lua_State *open_chunk(const unsigned char *text, size_t len, const char *name)
{
    lua_State *L = luaL_newstate();

    luaL_openlibs(L);
    if (luaL_loadbuffer(L, (const char *)text, len, name) != LUA_OK) {
        fprintf(stderr, "skep-lua: %s\n", lua_tostring(L, -1));
        exit(1);
    }
    return L;
}

static bool push_file(lua_State *L, const char *path)
{
    FILE *f = fopen(path, "re");
    luaL_Buffer b;
    size_t n;

    if (!f)
        return false;
    luaL_buffinit(L, &b);
    do {
        char *room = luaL_prepbuffer(&b);
        n = fread(room, 1, LUAL_BUFFERSIZE, f);
        luaL_addsize(&b, n);
    } while (n > 0);
    luaL_pushresult(&b);
    fclose(f);
    return true;
}

/* The function to call is at index 1.  How much there was to say. */
static size_t check_file(lua_State *L, const char *path)
{
    size_t count;

    lua_pushvalue(L, 1);
    lua_pushstring(L, path);
    if (!push_file(L, path)) {
        fprintf(stderr, "%s: it cannot be read\n", path);
        lua_settop(L, 1);
        return 1;
    }
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        fprintf(stderr, "%s: %s\n", path, lua_tostring(L, -1));
        lua_settop(L, 1);
        return 1;
    }
    count = lua_rawlen(L, -1);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        puts(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
    return count;
}

int tool_check(int argc, char **argv)
{
    lua_State *L;
    size_t found = 0;

    if (argc == 0) {
        fputs("usage: skepctl lua check SCRIPT ...\n", stderr);
        return 2;
    }
    L = open_chunk(check_lua, check_lua_len, "=check");
    lua_pushlstring(L, (const char *)types_lua, types_lua_len);
    lua_call(L, 1, 1);
    for (int i = 0; i < argc; i++)
        found += check_file(L, argv[i]);
    lua_close(L);
    if (found == 0)
        printf("%d script%s: nothing to complain about\n", argc, argc == 1 ? "" : "s");
    return found > 0;
}

/* -- replay -- */

static int say(lua_State *L)
{
    puts(luaL_checkstring(L, 1));
    return 0;
}

static char *load_block(int argc, char **argv)
{
    size_t len = 16;
    char *text;

    for (int i = 0; i < argc; i++)
        len += 4200;
    text = malloc(len);
    if (!text)
        abort();
    strcpy(text, "script");
    for (int i = 0; i < argc; i++) {
        char *path = realpath(argv[i], NULL);
        if (!path) {
            fprintf(stderr, "skep-lua replay: %s: no such file\n", argv[i]);
            free(text);
            return NULL;
        }
        strcat(text, " \"");
        strcat(text, path);
        strcat(text, "\"");
        free(path);
    }
    return strcat(text, ";");
}

int tool_replay(int argc, char **argv)
{
    lua_State *L;
    char *config;
    int status = 1;

    if (argc < 2) {
        fputs("usage: skepctl lua replay RECORDING SCRIPT ...\n", stderr);
        return 2;
    }
    config = load_block(argc - 1, argv + 1);
    if (!config)
        return 1;
    L = open_chunk(replay_lua, replay_lua_len, "=replay");
    tool_errors_to(L);
    testlib_open(L);
    lua_call(L, 1, 1);
    lua_pushstring(L, config);
    lua_getglobal(L, "io");
    lua_getfield(L, -1, "lines");
    lua_remove(L, -2);
    lua_pushstring(L, argv[0]);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        lua_pushcfunction(L, say);
        if (lua_pcall(L, 3, 1, 0) == LUA_OK)
            status = lua_tointeger(L, -1) > 0;
    }
    if (lua_type(L, -1) == LUA_TSTRING)
        fprintf(stderr, "skep-lua replay: %s\n", lua_tostring(L, -1));
    tool_errors_to(NULL);
    lua_close(L);
    free(config);
    return status;
}
