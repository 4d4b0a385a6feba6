/* `skepctl lua eval CODE`: runs code of an operator in the first loop's state, in an environment of
 * its own, within the budgets of a script. */
#include <lauxlib.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind.h"
#include "json.h"
#include "operate.h"

struct eval {
    struct engine *engine;
    struct skep_command *command;
    char *code;
    char *answer; /* JSON, or an error */
    bool failed;
};

static void eval_free(struct eval *v)
{
    free(v->code);
    free(v->answer);
    free(v);
}

/* Back on the management loop. */
static void tell(void *arg)
{
    struct eval *v = arg;

    if (v->failed)
        skep_command_fail(v->command, "%s", v->answer);
    else
        skep_command_answer(v->command, skep_str(v->answer));
    eval_free(v);
}

/* The module goes: nobody runs on its behalf any more. */
static void dropped(void *arg)
{
    struct eval *v = arg;

    skep_command_fail(v->command, "the scripts are being replaced; try again");
    eval_free(v);
}

static void go_back(struct eval *v, const char *text, bool failed)
{
    v->answer = strdup(text ? text : "?");
    v->failed = failed;
    skep_post(v->engine->m, SKEP_MANAGEMENT, tell, v, dropped);
}

/* Compiles "return CODE", or CODE if that is no expression, and pushes the function. */
static int compile(lua_State *L)
{
    struct eval *v = lua_touserdata(L, 1);

    lua_pushfstring(L, "return %s", v->code);
    if (luaL_loadbufferx(L, lua_tostring(L, -1), lua_rawlen(L, -1), "=eval", "t") != LUA_OK &&
        luaL_loadbufferx(L, v->code, strlen(v->code), "=eval", "t") != LUA_OK)
        return lua_error(L);
    sandbox_environment(L, v->engine->scripts[0]);
    if (!lua_setupvalue(L, -2, 1))
        lua_pop(L, 1);
    lua_pushinteger(L, luaL_ref(L, LUA_REGISTRYINDEX));
    return 1;
}

static int encode(lua_State *L)
{
    json_encode(L, 1, false);
    return 1;
}

static void give_result(struct call *c, struct eval *v, bool failed)
{
    lua_State *L = c->s->L;
    char text[512];

    if (failed) {
        script_last_error(c->script, text, sizeof text);
        go_back(v, text, true);
        return;
    }
    lua_pushcfunction(L, encode);
    if (lua_gettop(c->co) > 0)
        lua_xmove(c->co, L, 1);
    else
        lua_pushnil(L);
    bool good = lua_pcall(L, 1, 1, 0) == LUA_OK;
    go_back(v, lua_tostring(L, -1), !good);
    lua_pop(L, 1);
}

static void waited(struct call *c, bool failed)
{
    give_result(c, c->done_arg, failed);
}

static void run(void *arg)
{
    struct eval *v = arg;
    struct state *s = v->engine->states[0];
    lua_State *L = s->L;

    lua_pushcfunction(L, compile);
    lua_pushlightuserdata(L, v);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
        go_back(v, lua_tostring(L, -1), true);
        lua_pop(L, 1);
        return;
    }
    int function = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
    struct call *c = call_take(s);
    call_function(c, v->engine->scripts[0], function);
    luaL_unref(L, LUA_REGISTRYINDEX, function);
    enum call_outcome outcome = call_run(c, 0);
    if (outcome == CALL_WAITS) {
        c->done = waited;
        c->done_arg = v;
        return;
    }
    give_result(c, v, outcome == CALL_FAILED);
    call_end(c);
}

void operate_eval(struct skep_command *command, struct engine *e, struct skep_str code)
{
    struct eval *v;

    if (e->script_count == 0 || code.len == 0) {
        skep_command_fail(command, e->script_count == 0 ? "no script is loaded"
                                                        : "eval what?  skepctl lua eval CODE");
        return;
    }
    v = calloc(1, sizeof *v);
    if (!v || !(v->code = strndup(code.ptr, code.len)))
        abort();
    v->engine = e;
    v->command = command;
    skep_log(e->m, SKEP_LOG_WARN, "an operator evaluates: %.200s", v->code);
    skep_post(e->m, 0, run, v, dropped);
}
