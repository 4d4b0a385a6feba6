/* What handlers of on_connect and on_subscribe get. */
#include <stdio.h>

#include "object.h"

static int said(lua_State *L, struct call *c, enum call_says says)
{
    c->says = says;
    return 0;
}

static int deny(lua_State *L, struct call *c, int usual)
{
    lua_Integer reason = luaL_optinteger(L, 3, usual);

    luaL_argcheck(L, reason >= 0x80 && reason <= 0xff, 3, "a reason code is 0x80 to 0xff");
    snprintf(c->text, sizeof c->text, "%s", luaL_optstring(L, 2, ""));
    c->reason = (uint8_t)reason;
    return said(L, c, SAYS_DENY);
}

/* -- CONNECT -- */

enum { CLIENT_ID, USERNAME, PASSWORD, CLEAN_START, KEEP_ALIVE, CONNECT_CLIENT };

static const char *const connect_fields[] = {"client_id",  "username", "password", "clean_start",
                                             "keep_alive", "client",   NULL};

static int connect_get(lua_State *L, struct call *c, int field)
{
    switch (field) {
    case CLIENT_ID:
        push_str(L, skep_connect_client_id(c->r));
        break;
    case USERNAME:
        if (skep_connect_has_username(c->r))
            push_str(L, skep_connect_username(c->r));
        else
            lua_pushnil(L);
        break;
    case PASSWORD:
        if (skep_connect_has_password(c->r))
            push_str(L, skep_connect_password(c->r));
        else
            lua_pushnil(L);
        break;
    case CLEAN_START:
        lua_pushboolean(L, skep_connect_clean_start(c->r));
        break;
    case KEEP_ALIVE:
        lua_pushinteger(L, skep_connect_keep_alive_s(c->r));
        break;
    default:
        client_push(L, skep_request_client(c->r));
    }
    return 1;
}

static int connect_allow(lua_State *L)
{
    return said(L, object_check(L, 1, OBJECT_CONNECT), SAYS_ALLOW);
}

static int connect_deny(lua_State *L)
{
    return deny(L, object_check(L, 1, OBJECT_CONNECT), SKEP_RC_BAD_CREDENTIALS);
}

static int connect_set_username(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_CONNECT);

    skep_connect_set_username(c->r, arg_str(L, 2));
    return 0;
}

static int connect_set_attribute(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_CONNECT);
    int err = skep_connect_set_attribute(c->r, luaL_checkstring(L, 2), arg_str(L, 3));

    return err < 0 ? luaL_error(L, "set_attribute: %s", skep_error_text(err)) : 0;
}

/* connect:rule("allow", "publish", "sensors/%c/#") */
static int connect_rule(lua_State *L)
{
    static const char *const verdicts[] = {"deny", "allow", NULL};
    static const char *const actions[] = {"publish", "subscribe", "receive", "all", NULL};
    static const unsigned bits[] = {SKEP_MAY_PUBLISH, SKEP_MAY_SUBSCRIBE, SKEP_MAY_RECEIVE,
                                    SKEP_MAY_PUBLISH | SKEP_MAY_SUBSCRIBE | SKEP_MAY_RECEIVE};
    struct call *c = object_check(L, 1, OBJECT_CONNECT);
    bool allow = luaL_checkoption(L, 2, NULL, verdicts);
    unsigned action = bits[luaL_checkoption(L, 3, NULL, actions)];
    int err = skep_connect_add_rule(c->r, allow, action, arg_str(L, 4));

    return err < 0 ? luaL_error(L, "rule: %s", skep_error_text(err)) : 0;
}

static const luaL_Reg connect_methods[] = {{"allow", connect_allow},
                                           {"deny", connect_deny},
                                           {"set_username", connect_set_username},
                                           {"set_attribute", connect_set_attribute},
                                           {"rule", connect_rule},
                                           {NULL, NULL}};

static const struct object_class connect_class = {.kind = OBJECT_CONNECT,
                                                  .name = "connect",
                                                  .fields = connect_fields,
                                                  .methods = connect_methods,
                                                  .get = connect_get};

/* -- SUBSCRIBE -- */

enum { FILTER, GROUP, QOS, SUBSCRIBE_CLIENT, RESUMED };

static const char *const subscribe_fields[] = {"filter", "group", "qos", "client", "resumed", NULL};

static int subscribe_get(lua_State *L, struct call *c, int field)
{
    switch (field) {
    case FILTER:
        push_str(L, skep_subscribe_filter(c->r));
        break;
    case GROUP:
        if (skep_subscribe_group(c->r).len > 0)
            push_str(L, skep_subscribe_group(c->r));
        else
            lua_pushnil(L);
        break;
    case QOS:
        lua_pushinteger(L, skep_subscribe_qos(c->r));
        break;
    case RESUMED:
        lua_pushboolean(L, skep_subscribe_is_resumed(c->r));
        break;
    default:
        client_push(L, skep_request_client(c->r));
    }
    return 1;
}

static void subscribe_set(lua_State *L, struct call *c, int field, int value)
{
    lua_Integer qos = luaL_checkinteger(L, value);

    if (field != QOS)
        luaL_error(L, "field '%s' of a subscribe cannot be set", subscribe_fields[field]);
    luaL_argcheck(L, qos >= 0 && qos <= 2, value, "QoS is 0, 1 or 2");
    skep_subscribe_set_qos(c->r, (unsigned)qos);
}

static int subscribe_allow(lua_State *L)
{
    return said(L, object_check(L, 1, OBJECT_SUBSCRIBE), SAYS_ALLOW);
}

static int subscribe_deny(lua_State *L)
{
    return deny(L, object_check(L, 1, OBJECT_SUBSCRIBE), SKEP_RC_NOT_AUTHORIZED);
}

static const luaL_Reg subscribe_methods[] = {
    {"allow", subscribe_allow}, {"deny", subscribe_deny}, {NULL, NULL}};

static const struct object_class subscribe_class = {.kind = OBJECT_SUBSCRIBE,
                                                    .name = "subscribe",
                                                    .fields = subscribe_fields,
                                                    .methods = subscribe_methods,
                                                    .get = subscribe_get,
                                                    .set = subscribe_set};

void connect_open(lua_State *L)
{
    object_class(L, &connect_class);
    object_class(L, &subscribe_class);
}
