/* What a script can reach: an allow-list.  No io, os, debug, load, bytecode, coroutine or
 * finalizers; libraries are copies, so that no script changes another's. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "engine.h"
#include "pattern.h"

static const char templates_key, libraries_key;

static const char *const base_functions[] = {"assert", "error",    "ipairs",   "next",   "pairs",
                                             "pcall",  "rawequal", "rawget",   "rawlen", "rawset",
                                             "select", "tonumber", "tostring", "type",   NULL};

/* A __gc would run in somebody else's time. */
static int l_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL)
            return luaL_error(L, "__gc is not available in scripts");
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int l_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    if (!lua_istable(L, 1) || !lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    luaL_getmetafield(L, 1, "__metatable");
    return 1;
}

/* tostring(table) must not tell addresses apart from a plain name; print goes to the log. */
static int l_print(lua_State *L)
{
    struct state *s = state_of(L);
    struct script *script = state_script(s);
    int n = lua_gettop(L);
    luaL_Buffer b;

    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, ' ');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    skep_log(s->engine->m, SKEP_LOG_INFO, "%s: %s", script ? script->name : "?",
             lua_tostring(L, -1));
    return 0;
}

static int l_require(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    if (lua_getfield(L, lua_upvalueindex(1), name) == LUA_TNIL)
        return luaL_error(L, "there is no library '%s' for scripts", name);
    return 1;
}

static void copy_field(lua_State *L, int from, int to, const char *name)
{
    lua_getfield(L, from, name);
    lua_setfield(L, to, name);
}

/* Pushes a shallow copy of the table at the top, and removes that. */
static void copy_table(lua_State *L)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_remove(L, -2);
}

static void open_library(lua_State *L, int templates, const char *name, lua_CFunction open)
{
    luaL_requiref(L, name, open, 0);
    lua_setfield(L, templates, name);
}

/* ("x"):rep(3) goes through the strings' metatable: nobody may reach into it. */
static void seal_strings(lua_State *L, int templates)
{
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_getfield(L, templates, "string");
    copy_table(L);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void sandbox_open(lua_State *L)
{
    lua_newtable(L);
    int templates = lua_gettop(L);

    luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
    lua_newtable(L);
    for (const char *const *f = base_functions; *f; f++)
        copy_field(L, templates + 1, templates + 2, *f);
    lua_pushcfunction(L, l_setmetatable);
    lua_setfield(L, -2, "setmetatable");
    lua_pushcfunction(L, l_getmetatable);
    lua_setfield(L, -2, "getmetatable");
    lua_pushcfunction(L, l_print);
    lua_setfield(L, -2, "print");
    lua_pushliteral(L, LUA_VERSION);
    lua_setfield(L, -2, "_VERSION");
    lua_setfield(L, templates, "_G");
    lua_pop(L, 1);
    open_library(L, templates, "string", luaopen_string);
    open_library(L, templates, "table", luaopen_table);
    open_library(L, templates, "math", luaopen_math);
    open_library(L, templates, "utf8", luaopen_utf8);
    lua_getfield(L, templates, "string");
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
    pattern_register(L);
    lua_pop(L, 1);
    seal_strings(L, templates);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &templates_key);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &libraries_key);
}

void sandbox_library(lua_State *L, const char *name, lua_CFunction open)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &libraries_key);
    lua_pushcfunction(L, open);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* Each script has libraries of its own, made when its environment is. */
static void push_libraries(lua_State *L)
{
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &libraries_key);
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_call(L, 0, 1); /* the opener */
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -5);
    }
    lua_pop(L, 1);
}

void sandbox_environment(lua_State *L, struct script *script)
{
    static const char *const libraries[] = {"string", "table", "math", "utf8"};

    lua_rawgetp(L, LUA_REGISTRYINDEX, &templates_key);
    lua_getfield(L, -1, "_G");
    copy_table(L);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        lua_getfield(L, -2, libraries[i]);
        copy_table(L);
        lua_setfield(L, -2, libraries[i]);
    }
    push_libraries(L);
    lua_pushcclosure(L, l_require, 1);
    lua_setfield(L, -2, "require");
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    lua_remove(L, -2);
}
