#include "call.h"

#include <lauxlib.h>
#include <skep/http.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>

static void thread_new(struct call *c)
{
    lua_State *L = c->s->L;

    c->co = lua_newthread(L); /* with the hook of L */
    c->co_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct call *call_new(struct state *s)
{
    struct call *c = calloc(1, sizeof *c);

    if (!c)
        abort();
    c->s = s;
    c->object = LUA_NOREF;
    thread_new(c);
    return c;
}

struct call *call_take(struct state *s)
{
    struct call *c = s->idle;

    if (c)
        s->idle = c->next;
    else
        c = call_new(s);
    c->next = NULL;
    return c;
}

void call_function(struct call *c, struct script *script, int function)
{
    c->script = script;
    c->changed = 0;
    c->says = SAYS_NOTHING;
    c->text[0] = 0;
    lua_rawgeti(c->co, LUA_REGISTRYINDEX, function);
}

struct arguments {
    struct call *c;
    void (*fill)(struct call *c);
};

/* An error on the coroutine's stack, which runs nothing yet, ends up in the state's own thread. */
static int protected_fill(lua_State *L)
{
    struct arguments *a = lua_touserdata(L, 1);

    a->fill(a->c);
    return 0;
}

bool call_arguments(struct call *c, void (*fill)(struct call *c))
{
    struct state *s = c->s;
    struct arguments a = {c, fill};
    struct call *outer = s->running;

    budget_begin(s, c->script);
    lua_pushcfunction(s->L, protected_fill);
    lua_pushlightuserdata(s->L, &a);
    int status = lua_pcall(s->L, 1, 0, 0);
    budget_end(s);
    if (outer)
        s->alloc.owner = outer->script->number;
    if (status == LUA_OK)
        return true;
    script_failed(s, c->script, lua_tostring(s->L, -1));
    lua_pop(s->L, 1);
    return false;
}

static void drop_answer(struct call *c)
{
    if (c->answer && c->answer_free)
        c->answer_free(c->answer);
    c->answer = NULL;
}

void call_waited(struct call *c)
{
    if (!c->waits)
        return;
    c->waits = false;
    c->token = 0;
    for (struct call **p = &c->s->waiting; *p; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    c->next = NULL;
    if (c->waits_for)
        c->give_up(c);
    skep_timer_free(c->timer);
    c->timer = NULL;
    if (c->http)
        skep_http_cancel(c->s->engine->m, c->http);
    c->http = 0;
}

void call_clear(struct call *c)
{
    struct state *s = c->s;

    c->serial++;
    luaL_unref(s->L, LUA_REGISTRYINDEX, c->object);
    c->object = LUA_NOREF;
    if (lua_status(c->co) == LUA_OK) {
        lua_settop(c->co, 0);
        return;
    }
    /* One that failed or still waits is thrown away as it is.  To reset it would run what it left
     * to be closed; and after an error out of the hook Lua never calls that hook again in a thread.
     */
    luaL_unref(s->L, LUA_REGISTRYINDEX, c->co_ref);
    thread_new(c);
}

void call_end(struct call *c)
{
    struct state *s = c->s;

    call_waited(c);
    drop_answer(c);
    call_clear(c);
    c->r = NULL;
    c->message = NULL;
    c->handler = NULL;
    c->done = NULL;
    c->hops = 0;
    c->next = s->idle;
    s->idle = c;
}

static void failed(struct call *c)
{
    struct state *s = c->s;

    const char *text = lua_tostring(c->co, -1);
    char kind[64];

    if (!text) { /* its __tostring is not called: that would be the script's code again */
        snprintf(kind, sizeof kind, "error with a %s value", luaL_typename(c->co, -1));
        text = kind;
    }
    luaL_traceback(s->L, c->co, text, 0);
    script_failed(s, c->script, lua_tostring(s->L, -1));
    lua_pop(s->L, 1);
}

enum call_outcome call_run(struct call *c, int nargs)
{
    struct state *s = c->s;
    struct call *outer = s->running;
    int results = 0;

    s->running = c;
    budget_begin(s, c->script);
    int status = lua_resume(c->co, outer ? outer->co : s->L, nargs, &results);
    budget_end(s);
    s->running = outer;
    if (outer)
        s->alloc.owner = outer->script->number;
    if (status == LUA_YIELD) {
        lua_pop(c->co, results);
        return CALL_WAITS;
    }
    if (status == LUA_OK) {
        if (s->over) /* it caught the error just before its end */
            budget_install(c->co);
        script_worked(c->script);
        return CALL_DONE;
    }
    failed(c);
    return CALL_FAILED;
}

struct call *call_current(lua_State *L, const char *what)
{
    struct state *s = state_of(L);

    if (!s->running)
        luaL_error(L, "%s cannot be used while the script is being loaded", what);
    if (s->testing)
        luaL_error(L, "%s cannot be used in a selftest", what);
    return s->running;
}

/* -- Waiting -- */

struct call *call_wait(lua_State *L, const char *what)
{
    struct call *c = call_current(L, what);

    if (c->co != L || !lua_isyieldable(L))
        luaL_error(L, "%s cannot be used here", what);
    if (c->handler && c->handler->kind == ON_DELIVER)
        luaL_error(L, "%s cannot be used in on_deliver: it has to answer at once", what);
    return c;
}

int call_yield(lua_State *L, struct call *c, int (*resume_with)(struct call *c))
{
    c->resume_with = resume_with;
    c->waits = true;
    c->next = c->s->waiting;
    c->s->waiting = c;
    return lua_yield(L, 0);
}

/* The answer is the script's before it runs: the next wait has one of its own, of another kind. */
enum call_outcome call_go_on(struct call *c)
{
    int nargs = c->resume_with(c);

    drop_answer(c);
    return call_run(c, nargs);
}

/* In a decision the host calls back (decide.c); else the call goes on by itself. */
void call_resume(struct call *c)
{
    c->http = 0;
    if (c->token) {
        skep_complete(c->token, c);
        return;
    }
    call_waited(c);
    enum call_outcome outcome = call_go_on(c);
    if (outcome == CALL_WAITS)
        return;
    if (c->done)
        c->done(c, outcome == CALL_FAILED);
    call_end(c);
}
