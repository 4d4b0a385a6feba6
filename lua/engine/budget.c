/* Instructions and time of one run of Lua; see docs/adr/0011-lua.md. */
#include <lauxlib.h>
#include <time.h>

#include "engine.h"

enum { EVERY = 1000 };

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static void stop(lua_State *L, struct state *s, struct skep_counter *counter, const char *what,
                 uint64_t most, const char *unit)
{
    if (!s->over)
        skep_counter_add(counter, 1);
    s->over = true;
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, 1); /* no pcall of the script swallows it */
    luaL_error(L, "too much %s: more than %I%s", what, (lua_Integer)most, unit);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    struct state *s = state_of(L);
    const struct conf *conf = s->engine->conf;
    struct script *script = state_script(s);
    uint64_t now;

    if (!script)
        return;
    s->instructions = s->instructions > EVERY ? s->instructions - EVERY : 0;
    if (s->instructions == 0)
        stop(L, s, script->over_instructions, "work", conf->instructions, " instructions");
    now = now_us();
    if (s->deadline_us == 0)
        s->deadline_us = now + conf->time * UINT64_C(1000);
    if (now > s->deadline_us)
        stop(L, s, script->over_time, "time", conf->time, " ms");
}

void budget_install(lua_State *L)
{
    lua_sethook(L, on_count, LUA_MASKCOUNT, EVERY);
}

/* The clock is read when the first thousand instructions are over, not for every call. */
void budget_begin(struct state *s, struct script *script)
{
    s->instructions = s->engine->conf->instructions + EVERY;
    s->deadline_us = 0;
    s->over = false;
    s->alloc.owner = script->number;
}

void budget_end(struct state *s)
{
    s->alloc.owner = ALLOC_ENGINE;
}
