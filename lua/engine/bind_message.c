/* The message a handler of on_publish, on_deliver or on_will gets.
 *
 * Reading a field asks the host; nothing is copied that is not read.  What is set stands in the
 * object's user value until the handler has returned. */
#include <stdio.h>

#include "json.h"
#include "object.h"

enum {
    TOPIC,
    PAYLOAD,
    QOS,
    RETAIN,
    EXPIRY,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER_PROPERTIES,
    CLIENT,
    IS_WILL,
    JSON = 100, /* remembered, not a field */
};

static const char *const fields[] = {"topic",          "payload",          "qos",
                                     "retain",         "expiry",           "content_type",
                                     "response_topic", "correlation_data", "user_properties",
                                     "client",         "is_will",          NULL};

static const enum skep_property property_of[] = {
    [CONTENT_TYPE] = SKEP_PROP_CONTENT_TYPE,
    [RESPONSE_TOPIC] = SKEP_PROP_RESPONSE_TOPIC,
    [CORRELATION_DATA] = SKEP_PROP_CORRELATION_DATA,
};

/* -- What was set -- */

static void keep(lua_State *L, int object, int key, int value)
{
    value = lua_absindex(L, value);
    if (lua_getiuservalue(L, object, 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, object, 1);
    }
    lua_pushvalue(L, value);
    lua_rawseti(L, -2, key);
    lua_pop(L, 1);
}

/* Pushes what was kept, or nothing. */
static bool kept(lua_State *L, int object, int key)
{
    if (lua_getiuservalue(L, object, 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_rawgeti(L, -1, key) == LUA_TNIL) {
        lua_pop(L, 2);
        return false;
    }
    lua_remove(L, -2);
    return true;
}

/* -- Reading -- */

static void push_property(lua_State *L, const struct call *c, int field)
{
    struct skep_str value;

    if (skep_publish_property(c->r, property_of[field], &value))
        push_str(L, value);
    else
        lua_pushnil(L);
}

static void push_user_properties(lua_State *L, const struct call *c)
{
    struct skep_str name, value;

    lua_newtable(L);
    for (size_t i = 0; skep_request_user_property(c->r, i, &name, &value); i++) {
        lua_createtable(L, 2, 0);
        push_str(L, name);
        lua_rawseti(L, -2, 1);
        push_str(L, value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_expiry(lua_State *L, const struct call *c)
{
    uint32_t expiry = skep_publish_expiry_s(c->r);

    if (expiry == UINT32_MAX)
        lua_pushnil(L);
    else
        lua_pushinteger(L, expiry);
}

static int get(lua_State *L, struct call *c, int field)
{
    if ((c->changed >> field) & 1 && kept(L, 1, field))
        return 1;
    switch (field) {
    case TOPIC:
        push_str(L, skep_publish_topic(c->r));
        break;
    case PAYLOAD:
        push_str(L, skep_publish_payload(c->r));
        break;
    case QOS:
        lua_pushinteger(L, skep_publish_qos(c->r));
        break;
    case RETAIN:
        lua_pushboolean(L, skep_publish_retain(c->r));
        break;
    case EXPIRY:
        push_expiry(L, c);
        break;
    case USER_PROPERTIES:
        push_user_properties(L, c);
        break;
    case CLIENT:
        client_push(L, skep_request_client(c->r));
        break;
    case IS_WILL:
        lua_pushboolean(L, skep_publish_is_will(c->r));
        break;
    default:
        push_property(L, c, field);
    }
    return 1;
}

/* -- Setting -- */

static void check_value(lua_State *L, int field, int value)
{
    switch (field) {
    case TOPIC:
        if (!skep_topic_valid(arg_str(L, value), true))
            luaL_error(L, "'%s' is not a topic", lua_tostring(L, value));
        return;
    case QOS:
        luaL_argcheck(L, luaL_checkinteger(L, value) >= 0 && lua_tointeger(L, value) <= 2, value,
                      "QoS is 0, 1 or 2");
        return;
    case RETAIN:
        luaL_checktype(L, value, LUA_TBOOLEAN);
        return;
    case EXPIRY:
        luaL_argcheck(L,
                      lua_isnil(L, value) || (luaL_checkinteger(L, value) >= 0 &&
                                              lua_tointeger(L, value) < UINT32_MAX),
                      value, "seconds or nil");
        return;
    case USER_PROPERTIES:
        luaL_checktype(L, value, LUA_TTABLE);
        return;
    default:
        if (!lua_isnil(L, value))
            luaL_checkstring(L, value);
    }
}

static void note_change(lua_State *L, struct call *c, int field)
{
    if (c->object == LUA_NOREF) { /* message_apply() finds it there */
        lua_pushvalue(L, 1);
        c->object = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    c->changed |= 1u << field;
}

static void set(lua_State *L, struct call *c, int field, int value)
{
    if (field == CLIENT || field == IS_WILL)
        luaL_error(L, "field '%s' of a message cannot be set", fields[field]);
    if (c->handler->kind != ON_PUBLISH)
        luaL_error(L, "a message can be changed in on_publish only");
    check_value(L, field, value);
    if (lua_isnil(L, value)) { /* nil means: none */
        lua_pushboolean(L, 0);
        value = lua_gettop(L);
    }
    keep(L, 1, field, value);
    note_change(L, c, field);
    if (field == PAYLOAD) {
        lua_pushboolean(L, 0);
        keep(L, 1, JSON, lua_gettop(L));
    }
}

/* -- Methods -- */

static int l_drop(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_MESSAGE);

    snprintf(c->text, sizeof c->text, "%s", luaL_optstring(L, 2, ""));
    c->says = c->handler->kind == ON_PUBLISH ? SAYS_DROP : SAYS_DENY;
    c->reason = SKEP_RC_NOT_AUTHORIZED;
    return 0;
}

static int l_deny(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_MESSAGE);
    lua_Integer reason = luaL_optinteger(L, 3, SKEP_RC_NOT_AUTHORIZED);

    luaL_argcheck(L, reason >= 0x80 && reason <= 0xff, 3, "a reason code is 0x80 to 0xff");
    snprintf(c->text, sizeof c->text, "%s", luaL_optstring(L, 2, ""));
    c->says = SAYS_DENY;
    c->reason = (uint8_t)reason;
    return 0;
}

/* To one topic, or to several: the first takes the message, the others get copies. */
static int l_route(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_MESSAGE);
    int n = lua_gettop(L);

    luaL_argcheck(L, n >= 2, 2, "a topic expected");
    set(L, c, TOPIC, 2);
    lua_settop(L, n);
    lua_newtable(L);
    for (int i = 3; i <= n; i++) {
        check_value(L, TOPIC, i);
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i - 2);
    }
    if (n > 2)
        keep(L, 1, JSON + 1, lua_gettop(L));
    return 0;
}

/* Decoded once; the table is the script's own to change. */
static int l_json(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_MESSAGE);

    if (kept(L, 1, JSON)) {
        if (lua_istable(L, -1))
            return 1;
        lua_pop(L, 1);
    }
    get(L, c, PAYLOAD);
    int n = json_decode(L, arg_str(L, -1));
    if (n == 1 && lua_istable(L, -1))
        keep(L, 1, JSON, lua_gettop(L));
    return n;
}

static const luaL_Reg methods[] = {
    {"drop", l_drop}, {"deny", l_deny}, {"route", l_route}, {"json", l_json}, {NULL, NULL}};

static const struct object_class message_class = {.kind = OBJECT_MESSAGE,
                                                  .name = "message",
                                                  .fields = fields,
                                                  .methods = methods,
                                                  .get = get,
                                                  .set = set};

void message_open(lua_State *L)
{
    object_class(L, &message_class);
}

/* -- Applying -- */

static int apply_user_properties(struct call *c, lua_State *L, int list)
{
    int err = 0;

    skep_message_clear_user_properties(c->r);
    for (lua_Integer i = 1; !err && lua_rawgeti(L, list, i) == LUA_TTABLE; i++) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        err = lua_isstring(L, -2) && lua_isstring(L, -1)
                  ? skep_message_add_user_property(c->r, arg_str(L, -2), arg_str(L, -1))
                  : SKEP_E_INVALID;
        lua_pop(L, 3);
    }
    return err;
}

static int apply_field(struct call *c, lua_State *L, int field)
{
    struct skep_request *r = c->r;

    switch (field) {
    case TOPIC:
        return skep_message_set_topic(r, arg_str(L, -1));
    case PAYLOAD:
        return skep_message_set_payload(r,
                                        lua_isboolean(L, -1) ? skep_bytes("", 0) : arg_str(L, -1));
    case QOS:
        return skep_message_set_qos(r, (unsigned)lua_tointeger(L, -1));
    case RETAIN:
        return skep_message_set_retain(r, lua_toboolean(L, -1));
    case EXPIRY:
        return skep_message_set_expiry(r, lua_isboolean(L, -1) ? UINT32_MAX
                                                               : (uint32_t)lua_tointeger(L, -1));
    case USER_PROPERTIES:
        return apply_user_properties(c, L, lua_absindex(L, -1));
    default:
        return skep_message_set_property(r, property_of[field],
                                         lua_isboolean(L, -1) ? skep_bytes("", 0) : arg_str(L, -1));
    }
}

static int apply_copies(struct call *c, lua_State *L, int object)
{
    int err = 0;

    if (!kept(L, object, JSON + 1))
        return 0;
    for (lua_Integer i = 1; !err && lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
        err = skep_message_copy_to(c->r, arg_str(L, -1));
        lua_pop(L, 1);
    }
    return err;
}

/* In protected mode: numbers become strings, which may take memory. */
static int protected_apply(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    int err;

    lua_rawgeti(L, LUA_REGISTRYINDEX, c->object);
    for (int field = TOPIC; field <= USER_PROPERTIES; field++) {
        if (!((c->changed >> field) & 1) || !kept(L, 2, field))
            continue;
        if ((err = apply_field(c, L, field)) < 0)
            return luaL_error(L, "%s: %s", fields[field], skep_error_text(err));
        lua_settop(L, 2);
    }
    if ((err = apply_copies(c, L, 2)) < 0)
        return luaL_error(L, "route: %s", skep_error_text(err));
    return 0;
}

bool message_apply(struct call *c)
{
    lua_State *L = c->s->L;

    lua_pushcfunction(L, protected_apply);
    lua_pushlightuserdata(L, c);
    if (lua_pcall(L, 1, 0, 0) == LUA_OK)
        return true;
    snprintf(c->text, sizeof c->text, "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
    return false;
}
