/* broker.after, broker.every, broker.sleep.
 *
 * A timer of a script runs on the script's home loop only: the same chunk has run for every loop.
 * Timers made in a handler run on the loop of that handler. */
#include <lauxlib.h>
#include <math.h>
#include <skep/loop.h>
#include <stdlib.h>

#include "bind.h"

static const char timer_key;

struct timer {
    struct timer *next; /* of the state */
    struct state *s;
    struct script *script;
    struct skep_timer *timer;
    int function;
    uint64_t ms;
    bool repeats, gone;
    uint32_t refs; /* the list's, and the script's object */
};

static void timer_unref(struct timer *t)
{
    if (--t->refs == 0)
        free(t);
}

static void timer_remove(struct timer *t)
{
    struct state *s = t->s;

    if (t->gone)
        return;
    t->gone = true;
    skep_timer_free(t->timer);
    t->timer = NULL;
    luaL_unref(s->L, LUA_REGISTRYINDEX, t->function);
    for (struct timer **p = &s->timers; *p; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    timer_unref(t);
}

static void fire(void *arg)
{
    struct timer *t = arg;
    struct state *s = t->s;
    struct script *script = t->script;
    struct call *c = call_take(s);

    call_function(c, script, t->function);
    if (t->repeats)
        skep_timer_set(t->timer, t->ms);
    else
        timer_remove(t);
    if (atomic_load(&script->disabled) || call_run(c, 0) != CALL_WAITS)
        call_end(c);
}

static void arm(struct timer *t)
{
    t->timer = skep_timer_new(t->s->engine->m, fire, t);
    skep_timer_set(t->timer, t->ms);
}

static int make(lua_State *L, bool repeats)
{
    struct state *s = state_of(L);
    double seconds = luaL_checknumber(L, 1);

    luaL_argcheck(L, seconds >= 0.001 && seconds < 1e9, 1, "seconds, at least 0.001");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    struct timer **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &timer_key);
    lua_setmetatable(L, -2);
    if (s->loading && s->loading->home != s->loop)
        return 1; /* another loop's state has it */
    struct timer *t = calloc(1, sizeof *t);
    if (!t)
        abort();
    t->s = s;
    t->script = state_script(s);
    t->ms = (uint64_t)ceil(seconds * 1000.0);
    t->repeats = repeats;
    t->refs = 2;
    lua_pushvalue(L, 2);
    t->function = luaL_ref(L, LUA_REGISTRYINDEX);
    t->next = s->timers;
    s->timers = t;
    *box = t;
    if (!s->loading)
        arm(t);
    return 1;
}

static int l_after(lua_State *L)
{
    return make(L, false);
}

static int l_every(lua_State *L)
{
    return make(L, true);
}

static int l_cancel(lua_State *L)
{
    struct timer **box = lua_touserdata(L, 1);

    luaL_argcheck(L, box && lua_rawlen(L, 1) == sizeof *box, 1, "a timer expected");
    if (*box)
        timer_remove(*box);
    return 0;
}

static int l_gc(lua_State *L)
{
    struct timer **box = lua_touserdata(L, 1);

    if (*box)
        timer_unref(*box);
    *box = NULL;
    return 0;
}

/* -- sleep -- */

static void sleep_over(void *call)
{
    call_resume(call);
}

static int returns_nothing(struct call *c)
{
    (void)c;
    return 0;
}

static int l_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct call *c = call_wait(L, "sleep");

    luaL_argcheck(L, seconds >= 0 && seconds <= 3600, 1, "0 to 3600 seconds");
    c->timer = skep_timer_new(c->s->engine->m, sleep_over, c);
    skep_timer_set(c->timer, (uint64_t)ceil(seconds * 1000.0));
    return call_yield(L, c, returns_nothing);
}

void timers_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"after", l_after}, {"every", l_every}, {"sleep", l_sleep}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"cancel", l_cancel}, {NULL, NULL}};

    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &timer_key) == LUA_TNIL) {
        lua_newtable(L);
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, l_gc);
        lua_setfield(L, -2, "__gc");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        lua_rawsetp(L, LUA_REGISTRYINDEX, &timer_key);
    }
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}

void timers_start(struct state *s)
{
    for (struct timer *t = s->timers; t; t = t->next)
        arm(t);
}

void timers_stop(struct state *s)
{
    while (s->timers)
        timer_remove(s->timers);
}
