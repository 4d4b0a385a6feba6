/* The engine: what one `load lua` line has.
 *
 *   engine    the instance: options, scripts, shared store
 *   script    one file: its text, its counters, whether it is disabled.  Shared by all loops
 *   state     one loop's Lua: every script has run in it, its handlers are in its lists
 *   call      one run of a handler, in a coroutine of its own; it may wait
 *
 * A state belongs to its loop's thread from start() on; before that main builds it. */
#ifndef SKEP_LUA_ENGINE_H
#define SKEP_LUA_ENGINE_H

#include <lua.h>
#include <skep/metric.h>
#include <skep/module.h>
#include <stdatomic.h>

#include "alloc.h"
#include "match.h"

struct kv;
struct call;

enum on_failure { ON_FAILURE_PASS, ON_FAILURE_DROP, ON_FAILURE_DENY };

struct conf {
    struct skep_list script; /* files; the name may hold wildcards */
    struct skep_lines option;
    uint64_t memory;
    uint64_t instructions;
    uint32_t time;
    int on_failure;
    uint32_t disable_after;
    bool watch;
    uint64_t kv_memory;
};

struct script {
    uint32_t number; /* from 1 on: the owner in struct alloc */
    unsigned home;   /* the loop of its timers and subscriptions */
    char *path, *name;
    char *source;
    size_t source_len;
    struct skep_place place;   /* of the line that names it */
    _Atomic uint32_t failures; /* in a row */
    _Atomic bool disabled;
    _Atomic uint64_t calls_total, errors_total;
    char last_error[512]; /* guarded by the engine's mutex */
    struct skep_counter *calls, *errors, *dropped;
    struct skep_counter *over_instructions, *over_time, *loops;
};

enum handler_kind {
    ON_PUBLISH,
    ON_DELIVER,
    ON_WILL,
    ON_SUBSCRIBE,
    ON_CONNECT,
    ON_AUTH,
    ON_CONNECTED,
    ON_DISCONNECT,
    ON_SELFTEST,
    HANDLER_KINDS,
};

struct handler {
    struct script *script;
    int function;  /* reference in the registry */
    bool captures; /* it takes a second parameter */
    enum handler_kind kind;
    struct match_filter filter;
};

struct state {
    struct engine *engine;
    unsigned loop;
    lua_State *L;
    struct alloc alloc;
    struct handler *handlers;
    uint32_t handler_count;
    struct match *topics[ON_SUBSCRIBE]; /* of publish, deliver, will */
    uint32_t *plain[HANDLER_KINDS];     /* handlers of the other kinds, in order */
    uint32_t plain_count[HANDLER_KINDS];
    struct call *idle;      /* to be used again */
    struct call *running;   /* whose Lua runs now */
    struct call *waiting;   /* list, for the end */
    struct script *loading; /* its main chunk runs */
    uint64_t instructions;  /* left of the running call */
    uint64_t deadline_us;
    bool testing;                       /* a selftest runs: nothing outside may be touched */
    bool over;                          /* the running call used up a budget */
    unsigned depth;                     /* publications of scripts inside publications of scripts */
    struct timer *timers;               /* timers.c */
    struct subscription *subscriptions; /* subscribe.c */
    struct replies *replies;            /* the same; NULL until the first request */
};

struct engine {
    struct skep_module *m;
    const struct conf *conf;
    struct script **scripts;
    unsigned script_count;
    struct state **states;
    unsigned state_count;
    struct kv *kv;
    struct skep_timer *watch; /* NULL: off */
    uint64_t looked;          /* what the script files looked like, see scripts_changed() */
};

/* -- state.c -- */

/* Builds a state and runs every script's main chunk in it.  False: reported. */
struct state *state_new(struct engine *e, unsigned loop, struct skep_report *report);
void state_free(struct state **s);

static inline struct state *state_of(lua_State *L)
{
    return *(struct state **)lua_getextraspace(L);
}

/* The script whose code runs now, in a main chunk or a call. */
struct script *state_script(const struct state *s);

/* An error of a script, with its traceback: counted, logged at a limited rate, and after so many
 * in a row the script is disabled. */
void script_failed(struct state *s, struct script *script, const char *text);
void script_worked(struct script *script);
void script_last_error(struct script *script, char *out, size_t size);

/* -- sandbox.c -- */

/* Opens the libraries scripts may use, as templates. */
void sandbox_open(lua_State *L);
/* Pushes a new environment for the script: allowed globals, copies of libraries, require. */
void sandbox_environment(lua_State *L, struct script *script);
/* Registers a C function table as `require NAME`. */
void sandbox_library(lua_State *L, const char *name, lua_CFunction open);

/* -- budget.c -- */

void budget_install(lua_State *L);
/* Around each run of Lua. */
void budget_begin(struct state *s, struct script *script);
void budget_end(struct state *s);

#endif
