#include <lauxlib.h>
#include <lualib.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind.h"
#include "bytes.h"
#include "json.h"

static pthread_mutex_t error_mutex = PTHREAD_MUTEX_INITIALIZER;

struct script *state_script(const struct state *s)
{
    if (s->running)
        return s->running->script;
    return s->loading;
}

/* -- Failures -- */

void script_failed(struct state *s, struct script *script, const char *text)
{
    uint32_t in_a_row = atomic_fetch_add(&script->failures, 1) + 1;
    const struct conf *conf = s->engine->conf;
    char name[96];

    atomic_fetch_add(&script->errors_total, 1);
    skep_counter_add(script->errors, 1);
    pthread_mutex_lock(&error_mutex);
    snprintf(script->last_error, sizeof script->last_error, "%s", text ? text : "?");
    pthread_mutex_unlock(&error_mutex);
    skep_log(s->engine->m, SKEP_LOG_ERROR, "%s", text ? text : "?");
    if (!conf->disable_after || in_a_row < conf->disable_after ||
        atomic_exchange(&script->disabled, true))
        return;
    snprintf(name, sizeof name, "script-%s", script->name);
    skep_alarm(s->engine->m, name, "disabled: it failed too often in a row; see the log");
}

void script_worked(struct script *script)
{
    atomic_fetch_add_explicit(&script->calls_total, 1, memory_order_relaxed);
    skep_counter_add(script->calls, 1);
    if (atomic_load_explicit(&script->failures, memory_order_relaxed))
        atomic_store_explicit(&script->failures, 0, memory_order_relaxed);
}

void script_last_error(struct script *script, char *out, size_t size)
{
    pthread_mutex_lock(&error_mutex);
    snprintf(out, size, "%s", script->last_error);
    pthread_mutex_unlock(&error_mutex);
}

/* -- Building -- */

static int on_traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static int open_all(lua_State *L)
{
    message_open(L);
    connect_open(L);
    auth_open(L);
    client_open(L);
    sandbox_open(L);
    sandbox_library(L, "broker", broker_open);
    sandbox_library(L, "broker.json", json_open);
    sandbox_library(L, "broker.bytes", bytes_open);
    return 0;
}

/* The script is argument 1. */
static int run_chunk(lua_State *L)
{
    struct script *script = lua_touserdata(L, 1);
    char chunk_name[512];

    snprintf(chunk_name, sizeof chunk_name, "@%s", script->path);
    if (luaL_loadbufferx(L, script->source, script->source_len, chunk_name, "t") != LUA_OK)
        return lua_error(L);
    sandbox_environment(L, script);
    if (!lua_setupvalue(L, -2, 1))
        lua_pop(L, 1);
    lua_call(L, 0, 0);
    return 0;
}

static bool load_script(struct state *s, struct script *script, struct skep_report *report)
{
    lua_State *L = s->L;
    int status;

    s->loading = script;
    budget_begin(s, script);
    lua_pushcfunction(L, on_traceback);
    lua_pushcfunction(L, run_chunk);
    lua_pushlightuserdata(L, script);
    status = lua_pcall(L, 1, 0, -3);
    budget_end(s);
    if (s->over)
        budget_install(L);
    s->loading = NULL;
    if (status != LUA_OK) {
        const char *text = lua_tostring(L, -1);
        skep_report(report, &script->place, NULL, "%s", text ? text : "the script failed");
    }
    lua_settop(L, 0);
    return status == LUA_OK;
}

static bool selftest(struct state *s, struct skep_report *report)
{
    bool good = true;

    s->testing = true;
    for (uint32_t i = 0; i < s->plain_count[ON_SELFTEST] && good; i++) {
        struct handler *h = &s->handlers[s->plain[ON_SELFTEST][i]];
        struct call *c = call_take(s);
        call_function(c, h->script, h->function);
        enum call_outcome outcome = call_run(c, 0);
        if (outcome != CALL_DONE) {
            char text[512];
            script_last_error(h->script, text, sizeof text);
            skep_report(report, &h->script->place, NULL, "%s: the selftest failed: %s",
                        h->script->path, outcome == CALL_WAITS ? "it may not wait" : text);
            good = false;
        }
        call_end(c);
    }
    s->testing = false;
    return good;
}

struct state *state_new(struct engine *e, unsigned loop, struct skep_report *report)
{
    struct state *s = calloc(1, sizeof *s);
    bool good = true;

    if (!s)
        abort();
    s->engine = e;
    s->loop = loop;
    alloc_init(&s->alloc, e->script_count, e->conf->memory);
    for (unsigned i = 0; i < ON_SUBSCRIBE; i++)
        s->topics[i] = match_new();
    s->L = lua_newstate(alloc_lua, &s->alloc);
    if (!s->L)
        abort();
    *(struct state **)lua_getextraspace(s->L) = s;
    lua_gc(s->L, LUA_GCGEN, 0, 0);
    lua_pushcfunction(s->L, open_all);
    if (lua_pcall(s->L, 0, 0, 0) != LUA_OK) {
        skep_report(report, NULL, NULL, "Lua does not start: %s", lua_tostring(s->L, -1));
        good = false;
    }
    budget_install(s->L);
    for (unsigned i = 0; i < e->script_count && good; i++)
        good = load_script(s, e->scripts[i], report);
    if (good && loop == 0)
        good = selftest(s, report);
    if (!good)
        state_free(&s);
    return s;
}

static void free_calls(struct state *s)
{
    while (s->waiting)
        call_end(s->waiting);
    while (s->idle) {
        struct call *c = s->idle;
        s->idle = c->next;
        free(c->todo);
        free(c);
    }
}

void state_free(struct state **sp)
{
    struct state *s = *sp;

    if (!s)
        return;
    free_calls(s);
    timers_stop(s);
    subscribe_free(s);
    lua_sethook(s->L, NULL, 0, 0);
    lua_close(s->L);
    for (uint32_t i = 0; i < s->handler_count; i++)
        match_filter_fini(&s->handlers[i].filter);
    for (unsigned i = 0; i < HANDLER_KINDS; i++)
        free(s->plain[i]);
    for (unsigned i = 0; i < ON_SUBSCRIBE; i++)
        match_free(&s->topics[i]);
    free(s->handlers);
    alloc_fini(&s->alloc);
    free(s);
    *sp = NULL;
}
