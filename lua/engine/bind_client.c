/* A client as scripts see it: counted, so that a script may keep it. */
#include <lauxlib.h>
#include <string.h>

#include "object.h"

static const char client_key;

static const struct skep_client *client_at(lua_State *L, int index)
{
    const struct skep_client **box = lua_touserdata(L, index);

    return *box;
}

static void push_attributes(lua_State *L, const struct skep_client *c)
{
    struct skep_str name, value;

    lua_newtable(L);
    for (size_t i = 0; skep_client_attribute_at(c, i, &name, &value); i++) {
        push_str(L, name);
        push_str(L, value);
        lua_rawset(L, -3);
    }
}

static void push_optional(lua_State *L, struct skep_str s)
{
    if (s.len > 0)
        push_str(L, s);
    else
        lua_pushnil(L);
}

static int l_index(lua_State *L)
{
    const struct skep_client *c = client_at(L, 1);
    const char *field = luaL_checkstring(L, 2);

    if (strcmp(field, "id") == 0)
        push_str(L, skep_client_id(c));
    else if (strcmp(field, "username") == 0)
        push_optional(L, skep_client_username(c));
    else if (strcmp(field, "address") == 0)
        push_optional(L, skep_client_address(c));
    else if (strcmp(field, "host") == 0)
        push_optional(L, skep_client_host(c));
    else if (strcmp(field, "listener") == 0)
        push_optional(L, skep_client_listener(c));
    else if (strcmp(field, "protocol") == 0)
        lua_pushinteger(L, skep_client_protocol(c));
    else if (strcmp(field, "tls") == 0)
        lua_pushboolean(L, skep_client_is_tls(c));
    else if (strcmp(field, "cert_cn") == 0)
        push_optional(L, skep_client_cert_cn(c));
    else if (strcmp(field, "connected_at") == 0)
        lua_pushnumber(L, (double)skep_client_connected_at(c) / 1000.0);
    else if (strcmp(field, "attributes") == 0)
        push_attributes(L, c);
    else
        return luaL_error(L, "a client has no field '%s'", field);
    return 1;
}

static int l_gc(lua_State *L)
{
    skep_client_unref(client_at(L, 1));
    return 0;
}

static int l_tostring(lua_State *L)
{
    push_str(L, skep_client_id(client_at(L, 1)));
    return 1;
}

static int l_eq(lua_State *L)
{
    lua_pushboolean(L, skep_client_serial(client_at(L, 1)) == skep_client_serial(client_at(L, 2)));
    return 1;
}

void client_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__index", l_index},
                                    {"__gc", l_gc},
                                    {"__tostring", l_tostring},
                                    {"__eq", l_eq},
                                    {NULL, NULL}};

    luaL_newlib(L, meta);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &client_key);
}

/* The box comes first: making it may fail, and then no reference is lost. */
static const struct skep_client **push_box(lua_State *L)
{
    const struct skep_client **box = lua_newuserdatauv(L, sizeof *box, 0);

    *box = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &client_key);
    lua_setmetatable(L, -2);
    return box;
}

void client_push(lua_State *L, const struct skep_client *client)
{
    if (client)
        *push_box(L) = skep_client_ref(client);
    else
        lua_pushnil(L);
}

void client_push_found(lua_State *L, struct skep_module *m, struct skep_str id)
{
    const struct skep_client **box = push_box(L);

    *box = skep_client_find(m, id);
    if (!*box)
        lua_pushnil(L);
}
