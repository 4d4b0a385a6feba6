/* broker.kv: get, set, delete, add, swap. */
#include <lauxlib.h>
#include <math.h>
#include <skep/loop.h>
#include <stdlib.h>

#include "bind.h"
#include "kv.h"
#include "object.h"

enum { KEY_MOST = 500 };

static struct skep_str key_at(lua_State *L, int index)
{
    struct skep_str key = arg_str(L, index);

    luaL_argcheck(L, key.len >= 1 && key.len <= KEY_MOST, index, "a key has 1 to 500 bytes");
    return key;
}

static struct kv_value value_at(lua_State *L, int index)
{
    struct kv_value v = {.type = KV_NONE};

    switch (lua_type(L, index)) {
    case LUA_TNIL:
    case LUA_TNONE:
        break;
    case LUA_TBOOLEAN:
        v.type = KV_BOOLEAN;
        v.boolean = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            v.type = KV_INTEGER;
            v.integer = lua_tointeger(L, index);
        } else {
            v.type = KV_FLOAT;
            v.real = lua_tonumber(L, index);
        }
        break;
    case LUA_TSTRING:
        v.type = KV_STRING;
        v.string = arg_str(L, index);
        break;
    default:
        luaL_argerror(L, index, "a string, number, boolean or nil expected (tables: as JSON)");
    }
    return v;
}

/* Seconds, nil for ever. */
static uint64_t ttl_at(lua_State *L, int index)
{
    double seconds = luaL_optnumber(L, index, 0);

    luaL_argcheck(L, seconds >= 0 && seconds < 1e10, index, "seconds");
    return (uint64_t)ceil(seconds * 1000.0);
}

static struct kv *kv_of(lua_State *L)
{
    return state_of(L)->engine->kv;
}

static int done(lua_State *L, int err)
{
    lua_pushboolean(L, err == 0);
    if (err == 0)
        return 1;
    lua_pushstring(L, err == SKEP_E_LIMIT ? "the store is full" : skep_error_text(err));
    return 2;
}

static int push_string(lua_State *L)
{
    const struct kv_value *v = lua_touserdata(L, 1);

    push_str(L, v->string);
    return 1;
}

static int l_get(lua_State *L)
{
    struct kv_value v;
    int status = LUA_OK;

    kv_get(kv_of(L), key_at(L, 1), skep_now_ms(), &v);
    switch (v.type) {
    case KV_BOOLEAN:
        lua_pushboolean(L, v.boolean);
        break;
    case KV_INTEGER:
        lua_pushinteger(L, v.integer);
        break;
    case KV_FLOAT:
        lua_pushnumber(L, v.real);
        break;
    case KV_STRING:
        lua_pushcfunction(L, push_string);
        lua_pushlightuserdata(L, &v);
        status = lua_pcall(L, 1, 1, 0);
        free((char *)v.string.ptr);
        break;
    default:
        lua_pushnil(L);
    }
    return status == LUA_OK ? 1 : lua_error(L);
}

static int l_set(lua_State *L)
{
    struct kv_value v = value_at(L, 2);

    return done(L, kv_set(kv_of(L), key_at(L, 1), &v, skep_now_ms(), ttl_at(L, 3)));
}

static int l_delete(lua_State *L)
{
    struct kv_value none = {.type = KV_NONE};

    return done(L, kv_set(kv_of(L), key_at(L, 1), &none, skep_now_ms(), 0));
}

static int l_add(lua_State *L)
{
    int64_t sum;
    int err =
        kv_add(kv_of(L), key_at(L, 1), luaL_optinteger(L, 2, 1), skep_now_ms(), ttl_at(L, 3), &sum);

    if (err == SKEP_E_INVALID)
        return luaL_error(L, "the value of '%s' is not a whole number", lua_tostring(L, 1));
    if (err < 0) {
        lua_pushnil(L);
        lua_pushstring(L, "the store is full");
        return 2;
    }
    lua_pushinteger(L, sum);
    return 1;
}

static int l_swap(lua_State *L)
{
    struct kv_value old = value_at(L, 2), v = value_at(L, 3);
    int err = kv_swap(kv_of(L), key_at(L, 1), &old, &v, skep_now_ms(), ttl_at(L, 4));

    if (err == SKEP_E_STATE) {
        lua_pushboolean(L, false);
        return 1;
    }
    return done(L, err);
}

int kv_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"get", l_get}, {"set", l_set},   {"delete", l_delete},
                                         {"add", l_add}, {"swap", l_swap}, {NULL, NULL}};

    luaL_newlib(L, functions);
    return 1;
}
