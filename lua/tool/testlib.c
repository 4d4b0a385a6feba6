/* The C half of test.lua: a thin layer over <skep/test.h>. */
#include <lauxlib.h>
#include <math.h>
#include <skep/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../engine/bind.h"
#include "../engine/json.h"
#include "tool.h"

/* Errors carry the place in Lua; the C place says nothing to authors of scripts. */
#undef SKEP_TEST_AT
#define SKEP_TEST_AT(call) (call)

static const char *const verdicts[] = {
    [SKEP_NEXT] = "next",   [SKEP_ALLOW] = "allow",     [SKEP_DENY] = "deny",
    [SKEP_ERROR] = "error", [SKEP_PENDING] = "pending", [SKEP_CONTINUE] = "continue",
    [SKEP_DROP] = "drop"};

static void *handle(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TLIGHTUSERDATA);
    return lua_touserdata(L, index);
}

static void push_answer(lua_State *L, struct skep_test_client *c, enum skep_verdict v)
{
    const char *text = v == SKEP_PENDING ? NULL : skep_test_text(c);

    lua_newtable(L);
    lua_pushstring(L, verdicts[v]);
    lua_setfield(L, -2, "verdict");
    lua_pushinteger(L, v == SKEP_PENDING ? 0 : skep_test_reason(c));
    lua_setfield(L, -2, "reason");
    lua_pushstring(L, text ? text : "");
    lua_setfield(L, -2, "text");
    lua_newtable(L);
    const struct skep_message *m;
    for (size_t i = 0; v != SKEP_PENDING && (m = skep_test_message(c, i)) != NULL; i++) {
        message_table(L, m);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "messages");
}

static int l_open(lua_State *L)
{
    lua_pushlightuserdata(L, skep_test_load(NULL, luaL_checkstring(L, 1)));
    return 1;
}

static int l_close(lua_State *L)
{
    struct skep_test *t = handle(L, 1);

    skep_test_free(&t);
    return 0;
}

static int l_pass(lua_State *L)
{
    skep_test_pass_ms(handle(L, 1), (uint64_t)llround(luaL_checknumber(L, 2) * 1000.0));
    return 0;
}

static int l_log(lua_State *L)
{
    lua_pushstring(L, skep_test_log(handle(L, 1)));
    return 1;
}

static int l_http(lua_State *L)
{
    struct skep_test *t = handle(L, 1);
    const char *url = luaL_checkstring(L, 2);

    skep_test_http(t, url, (unsigned)luaL_checkinteger(L, 3), luaL_checkstring(L, 4));
    skep_test_http_delay(t, url, (uint32_t)llround(luaL_checknumber(L, 5) * 1000.0));
    return 0;
}

static int l_http_count(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)skep_test_http_count(handle(L, 1)));
    return 1;
}

static int l_command(lua_State *L)
{
    lua_pushstring(L, skep_test_command(handle(L, 1), luaL_checkstring(L, 2)));
    return 1;
}

static int l_published(lua_State *L)
{
    struct skep_test *t = handle(L, 1);
    const struct skep_message *m = skep_test_published(t, (size_t)luaL_checkinteger(L, 2));

    if (m)
        message_table(L, m);
    else
        lua_pushnil(L);
    return 1;
}

static int l_client(lua_State *L)
{
    struct skep_test_client *c =
        skep_test_client(handle(L, 1), luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL),
                         luaL_optstring(L, 4, NULL));

    if (lua_isstring(L, 5))
        skep_test_client_address(c, lua_tostring(L, 5));
    lua_pushlightuserdata(L, c);
    return 1;
}

static int l_connect(lua_State *L)
{
    struct skep_test_client *c = handle(L, 1);

    push_answer(L, c, skep_test_connect(c));
    return 1;
}

static int l_publish(lua_State *L)
{
    struct skep_test_client *c = handle(L, 1);

    push_answer(L, c,
                skep_test_publish(c, luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                                  (unsigned)luaL_checkinteger(L, 4), lua_toboolean(L, 5)));
    return 1;
}

static int l_deliver(lua_State *L)
{
    struct skep_test_client *c = handle(L, 1);

    push_answer(L, c,
                skep_test_deliver(c, luaL_checkstring(L, 2), luaL_checkstring(L, 3),
                                  (unsigned)luaL_checkinteger(L, 4), lua_toboolean(L, 5)));
    return 1;
}

static int l_subscribe(lua_State *L)
{
    struct skep_test_client *c = handle(L, 1);

    push_answer(L, c,
                skep_test_subscribe(c, luaL_checkstring(L, 2), (unsigned)luaL_checkinteger(L, 3)));
    return 1;
}

static int l_verdict(lua_State *L)
{
    struct skep_test_client *c = handle(L, 1);

    push_answer(L, c, skep_test_verdict(c));
    return 1;
}

static int l_leave(lua_State *L)
{
    skep_test_leave(handle(L, 1));
    return 0;
}

/* A word of the configuration. */
static int l_quote(lua_State *L)
{
    const char *text = luaL_checkstring(L, 1);
    luaL_Buffer b;

    luaL_buffinit(L, &b);
    luaL_addchar(&b, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            luaL_addchar(&b, '\\');
        luaL_addchar(&b, *text);
    }
    luaL_addchar(&b, '"');
    luaL_pushresult(&b);
    return 1;
}

int testlib_open(lua_State *L)
{
    static const luaL_Reg functions[] = {{"open", l_open},
                                         {"close", l_close},
                                         {"pass", l_pass},
                                         {"log", l_log},
                                         {"http", l_http},
                                         {"http_count", l_http_count},
                                         {"command", l_command},
                                         {"published", l_published},
                                         {"client", l_client},
                                         {"connect", l_connect},
                                         {"publish", l_publish},
                                         {"deliver", l_deliver},
                                         {"subscribe", l_subscribe},
                                         {"verdict", l_verdict},
                                         {"leave", l_leave},
                                         {"quote", l_quote},
                                         {NULL, NULL}};

    luaL_newlib(L, functions);
    lua_pushcfunction(L, json_open);
    lua_call(L, 0, 1);
    lua_getfield(L, -1, "decode");
    lua_setfield(L, -3, "json");
    lua_pop(L, 1);
    return 1;
}
