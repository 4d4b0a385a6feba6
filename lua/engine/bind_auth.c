/* What handlers of on_auth get: one step of an enhanced authentication [MQTT 4.12]. */
#include <stdio.h>
#include <stdlib.h>

#include "object.h"

enum { METHOD, DATA, ROUND, REAUTH, CLIENT_ID, CLIENT, STATE };

static const char *const fields[] = {"method",    "data",   "round", "reauth",
                                     "client_id", "client", "state", NULL};

/* A value of the script's that stays for the exchange. */
struct kept {
    struct state *s;
    int ref;
};

static void kept_drop(void *arg)
{
    struct kept *kept = arg;

    luaL_unref(kept->s->L, LUA_REGISTRYINDEX, kept->ref);
    free(kept);
}

static void push_state(lua_State *L, const struct call *c)
{
    const struct kept *kept = skep_auth_state(c->r);

    if (kept)
        lua_rawgeti(L, LUA_REGISTRYINDEX, kept->ref);
    else
        lua_pushnil(L);
}

static int get(lua_State *L, struct call *c, int field)
{
    switch (field) {
    case METHOD:
        push_str(L, skep_auth_method(c->r));
        break;
    case DATA:
        push_str(L, skep_auth_data(c->r));
        break;
    case ROUND:
        lua_pushinteger(L, skep_auth_round(c->r));
        break;
    case REAUTH:
        lua_pushboolean(L, skep_auth_is_reauth(c->r));
        break;
    case CLIENT_ID:
        push_str(L, skep_client_id(skep_request_client(c->r)));
        break;
    case CLIENT:
        client_push(L, skep_request_client(c->r));
        break;
    default:
        push_state(L, c);
    }
    return 1;
}

static void set(lua_State *L, struct call *c, int field, int value)
{
    struct kept *kept = skep_auth_state(c->r);

    if (field != STATE)
        luaL_error(L, "field '%s' of an auth cannot be set", fields[field]);
    if (!kept) {
        kept = malloc(sizeof *kept);
        if (!kept)
            abort();
        *kept = (struct kept){c->s, LUA_NOREF};
        skep_auth_set_state(c->r, kept, kept_drop);
    }
    luaL_unref(L, LUA_REGISTRYINDEX, kept->ref);
    lua_pushvalue(L, value);
    kept->ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int say(lua_State *L, enum call_says says)
{
    struct call *c = object_check(L, 1, OBJECT_AUTH);

    if (!lua_isnoneornil(L, 2))
        skep_auth_reply(c->r, arg_str(L, 2));
    c->says = says;
    return 0;
}

static int l_allow(lua_State *L)
{
    return say(L, SAYS_ALLOW);
}

static int l_continue(lua_State *L)
{
    return say(L, SAYS_CONTINUE);
}

static int l_deny(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_AUTH);

    snprintf(c->text, sizeof c->text, "%s", luaL_optstring(L, 2, ""));
    c->reason = SKEP_RC_NOT_AUTHORIZED;
    c->says = SAYS_DENY;
    return 0;
}

static int l_set_username(lua_State *L)
{
    struct call *c = object_check(L, 1, OBJECT_AUTH);

    skep_connect_set_username(c->r, arg_str(L, 2));
    return 0;
}

static const luaL_Reg methods[] = {{"allow", l_allow},
                                   {"continue", l_continue},
                                   {"deny", l_deny},
                                   {"set_username", l_set_username},
                                   {NULL, NULL}};

static const struct object_class auth_class = {.kind = OBJECT_AUTH,
                                               .name = "auth",
                                               .fields = fields,
                                               .methods = methods,
                                               .get = get,
                                               .set = set};

void auth_open(lua_State *L)
{
    object_class(L, &auth_class);
}
