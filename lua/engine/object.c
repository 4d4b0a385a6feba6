#include "object.h"

struct object {
    struct call *call;
    uint32_t serial;
    uint32_t kind;
};

static const char class_keys[OBJECT_KINDS];

struct skep_str arg_str(lua_State *L, int index)
{
    size_t len;
    const char *ptr = luaL_checklstring(L, index, &len);

    return skep_bytes(ptr, len);
}

void push_str(lua_State *L, struct skep_str s)
{
    lua_pushlstring(L, s.ptr ? s.ptr : "", s.len);
}

void object_push(struct call *c, enum object_kind kind)
{
    struct object *o = lua_newuserdatauv(c->co, sizeof *o, kind == OBJECT_MESSAGE);

    *o = (struct object){c, c->serial, kind};
    lua_rawgetp(c->co, LUA_REGISTRYINDEX, &class_keys[kind]);
    lua_setmetatable(c->co, -2);
}

static const struct object_class *class_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static struct call *check(lua_State *L, int index, const struct object_class *class_)
{
    struct object *o = lua_touserdata(L, index);

    if (!o || lua_islightuserdata(L, index) || lua_rawlen(L, index) != sizeof *o ||
        o->kind != class_->kind)
        luaL_error(L, "%s expected; write object:method(), not object.method()", class_->name);
    if (o->serial != o->call->serial)
        luaL_error(L, "this %s is not valid any more: its handler has returned", class_->name);
    return o->call;
}

struct call *object_check(lua_State *L, int index, enum object_kind kind)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &class_keys[kind]);
    lua_getfield(L, -1, "class");
    const struct object_class *class_ = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return check(L, index, class_);
}

/* Upvalues: the class, the table of names. */
static int l_index(lua_State *L)
{
    const struct object_class *class_ = class_of(L);
    struct call *c = check(L, 1, class_);

    lua_pushvalue(L, 2);
    switch (lua_rawget(L, lua_upvalueindex(2))) {
    case LUA_TNUMBER:
        return class_->get(L, c, (int)lua_tointeger(L, -1));
    case LUA_TFUNCTION:
        return 1;
    default:
        return luaL_error(L, "a %s has no field '%s'", class_->name, luaL_tolstring(L, 2, NULL));
    }
}

static int l_newindex(lua_State *L)
{
    const struct object_class *class_ = class_of(L);
    struct call *c = check(L, 1, class_);

    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNUMBER || !class_->set)
        return luaL_error(L, "field '%s' of a %s cannot be set", luaL_tolstring(L, 2, NULL),
                          class_->name);
    class_->set(L, c, (int)lua_tointeger(L, -1), 3);
    return 0;
}

static int l_tostring(lua_State *L)
{
    lua_pushfstring(L, "%s: %p", class_of(L)->name, lua_topointer(L, 1));
    return 1;
}

static void push_names(lua_State *L, const struct object_class *class_)
{
    lua_newtable(L);
    for (int i = 0; class_->fields[i]; i++) {
        lua_pushinteger(L, i);
        lua_setfield(L, -2, class_->fields[i]);
    }
    luaL_setfuncs(L, class_->methods, 0);
}

static void meta_function(lua_State *L, const struct object_class *class_, const char *name,
                          lua_CFunction fn)
{
    lua_pushlightuserdata(L, (void *)class_);
    push_names(L, class_);
    lua_pushcclosure(L, fn, 2);
    lua_setfield(L, -2, name);
}

void object_class(lua_State *L, const struct object_class *class_)
{
    lua_newtable(L);
    meta_function(L, class_, "__index", l_index);
    meta_function(L, class_, "__newindex", l_newindex);
    meta_function(L, class_, "__tostring", l_tostring);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, (void *)class_);
    lua_setfield(L, -2, "class");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &class_keys[class_->kind]);
}
