/* broker.metric.counter(name, help) and gauge(name, help): made while the script is loaded. */
#include <lauxlib.h>
#include <skep/metric.h>
#include <stdio.h>

#include "bind.h"

static const char counter_key, gauge_key;

static const char *metric_name(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    for (const char *p = name; *p; p++) {
        if (!(*p == '_' || (*p >= 'a' && *p <= 'z') || (p > name && *p >= '0' && *p <= '9')))
            luaL_argerror(L, 1, "a name has a-z, 0-9 and _");
    }
    luaL_argcheck(L, *name, 1, "a name has a-z, 0-9 and _");
    return name;
}

static const char *labels_of(lua_State *L, char *room, size_t size)
{
    const struct script *script = state_script(state_of(L));

    if (!state_of(L)->loading)
        luaL_error(L, "metrics are made at the script's beginning");
    snprintf(room, size, "script=\"%s\"", script->name);
    return room;
}

static void *check(lua_State *L, const void *key)
{
    void **box = lua_touserdata(L, 1);

    luaL_argcheck(L, box && lua_getmetatable(L, 1), 1, "a metric expected");
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    luaL_argcheck(L, lua_rawequal(L, -1, -2), 1, "a metric of another kind");
    lua_pop(L, 2);
    return *box;
}

static void push_box(lua_State *L, void *metric, const void *key)
{
    void **box = lua_newuserdatauv(L, sizeof *box, 0);

    *box = metric;
    lua_rawgetp(L, LUA_REGISTRYINDEX, key);
    lua_setmetatable(L, -2);
}

static int l_counter(lua_State *L)
{
    char room[160];
    const char *name = metric_name(L);
    struct skep_counter *c =
        skep_counter(state_of(L)->engine->m, name, labels_of(L, room, sizeof room),
                     luaL_optstring(L, 2, "counted by a script"));

    push_box(L, c, &counter_key);
    return 1;
}

static int l_gauge(lua_State *L)
{
    char room[160];
    const char *name = metric_name(L);
    struct skep_gauge *g = skep_gauge(state_of(L)->engine->m, name, labels_of(L, room, sizeof room),
                                      luaL_optstring(L, 2, "set by a script"));

    push_box(L, g, &gauge_key);
    return 1;
}

static int l_counter_add(lua_State *L)
{
    lua_Integer n = luaL_optinteger(L, 2, 1);

    luaL_argcheck(L, n >= 0, 2, "a counter only rises");
    skep_counter_add(check(L, &counter_key), (uint64_t)n);
    return 0;
}

static int l_gauge_set(lua_State *L)
{
    skep_gauge_set(check(L, &gauge_key), luaL_checknumber(L, 2));
    return 0;
}

static int l_gauge_add(lua_State *L)
{
    skep_gauge_add(check(L, &gauge_key), luaL_checknumber(L, 2));
    return 0;
}

static void kind(lua_State *L, const void *key, const luaL_Reg *methods)
{
    lua_newtable(L);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

int metric_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"counter", l_counter}, {"gauge", l_gauge}, {NULL, NULL}};
    static const luaL_Reg counter[] = {{"add", l_counter_add}, {NULL, NULL}};
    static const luaL_Reg gauge[] = {{"set", l_gauge_set}, {"add", l_gauge_add}, {NULL, NULL}};

    kind(L, &counter_key, counter);
    kind(L, &gauge_key, gauge);
    luaL_newlib(L, functions);
    return 1;
}
