/* lua: scripts that transform and route messages while the broker runs.
 *
 *     load lua {
 *         script rules/alerts.lua rules/units.lua;
 *         option limit 60;
 *     }
 */
#include <skep/event.h>
#include <skep/loop.h>
#include <stdlib.h>

#include "bind.h"
#include "kv.h"
#include "operate.h"
#include "scripts.h"

static const struct skep_option options[] = {
    {.name = "script",
     .type = SKEP_TYPE_LIST,
     .offset = offsetof(struct conf, script),
     .width = sizeof(struct skep_list),
     .fallback = SKEP_REQUIRED,
     .syntax = "file ...",
     .help = "scripts, in the order in which their handlers run; names may hold * and ?"},
    SKEP_LINES(struct conf, option, NULL, .min = 2, .max = 2, .syntax = "name value",
               .help = "what broker.option(name) gives the scripts"),
    SKEP_SIZE(struct conf, memory, "8m", .min = 65536,
              .help = "most that one script may hold on one loop"),
    SKEP_UINT(struct conf, instructions, "1000000", .min = 1000,
              .help = "most that one run of a handler may execute"),
    SKEP_DURATION(struct conf, time, "50ms", .min = 1,
                  .help = "longest one run of a handler may take, waiting not counted"),
    SKEP_ENUM(struct conf, on_failure, "pass", .choices = "pass|drop|deny",
              .help = "what becomes of a message whose handler fails"),
    SKEP_UINT(struct conf, disable_after, "100",
              .help = "a script that fails so often in a row is disabled; 0: never"),
    SKEP_SIZE(struct conf, kv_memory, "16m", .min = 65536,
              .help = "most that broker.kv holds, for all scripts together"),
    SKEP_BOOL(struct conf, watch, "off",
              .help = "take up changed scripts without a reload, if they load"),
    {0},
};

static void engine_free(struct engine *e)
{
    for (unsigned i = 0; i < e->state_count; i++)
        state_free(&e->states[i]);
    free(e->states);
    scripts_free(e);
    kv_unref(&e->kv);
    free(e);
}

/* Only what some script handles: on_deliver, above all, is asked for each receiver. */
static unsigned stages(const struct engine *e)
{
    static const unsigned stage_of[] = {
        [ON_PUBLISH] = SKEP_STAGE_MESSAGE, [ON_DELIVER] = SKEP_STAGE_DELIVER,
        [ON_WILL] = SKEP_STAGE_WILL,       [ON_SUBSCRIBE] = SKEP_STAGE_SUBSCRIBE,
        [ON_CONNECT] = SKEP_STAGE_CONNECT, [ON_AUTH] = SKEP_STAGE_AUTH,
    };
    const struct state *s = e->states[0];
    unsigned set = 0;

    for (uint32_t i = 0; i < s->handler_count; i++) {
        if (s->handlers[i].kind <= ON_AUTH)
            set |= 1u << stage_of[s->handlers[i].kind];
    }
    return set;
}

static void name_topics(const struct engine *e)
{
    const struct state *s = e->states[0];
    struct skep_str *filters = calloc(s->handler_count + 1, sizeof *filters);
    size_t count = 0;

    if (!filters)
        abort();
    for (uint32_t i = 0; i < s->handler_count; i++) {
        if (s->handlers[i].kind == ON_PUBLISH)
            filters[count++] = skep_str(s->handlers[i].filter.filter);
    }
    skep_module_topics(e->m, filters, count);
    free(filters);
}

static uint64_t events(const struct engine *e)
{
    const struct state *s = e->states[0];

    return (s->plain_count[ON_CONNECTED] ? SKEP_EVENT_BIT(SKEP_EVENT_CONNECTED) : 0) |
           (s->plain_count[ON_DISCONNECT] ? SKEP_EVENT_BIT(SKEP_EVENT_DISCONNECTED) : 0);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct engine *e = calloc(1, sizeof *e);

    if (!e)
        abort();
    e->m = m;
    e->conf = conf;
    e->state_count = skep_loop_count(m);
    e->states = calloc(e->state_count, sizeof(struct state *));
    if (!e->states)
        abort();
    e->kv = kv_new(e->conf->kv_memory);
    if (!scripts_read(e, report))
        goto fail;
    for (unsigned i = 0; i < e->state_count; i++) {
        if (!(e->states[i] = state_new(e, i, report)))
            goto fail;
    }
    *self = e;
    skep_module_narrow(m, stages(e), events(e));
    name_topics(e);
    return 0;
fail:
    engine_free(e);
    return SKEP_E_INVALID;
}

static void start_state(void *state)
{
    struct state *s = state;

    timers_start(s);
    subscribe_start(s);
}

enum { WATCH_MS = 1000 };

/* A change that does not load is told once, not every second: the files are compared with what this
 * look found, not with what runs. */
static void look_at_files(void *engine)
{
    struct engine *e = engine;

    if (scripts_changed(e))
        skep_request_reload(e->m);
    skep_timer_set(e->watch, WATCH_MS);
}

static void start(void *self, void *previous)
{
    struct engine *e = self;
    struct engine *old = previous;

    if (old && old->conf->kv_memory == e->conf->kv_memory) {
        /* No handler runs yet: what the main chunks stored is little, what the old ones did counts.
         */
        kv_unref(&e->kv);
        e->kv = kv_ref(old->kv);
    }
    for (unsigned i = 0; i < e->state_count; i++)
        skep_post(e->m, i, start_state, e->states[i], NULL);
    if (e->conf->watch) {
        e->watch = skep_timer_new(e->m, look_at_files, e);
        skep_timer_set(e->watch, WATCH_MS);
    }
}

static void stop_state(void *state)
{
    struct state *s = state;

    timers_stop(s);
    subscribe_stop(s);
    for (struct call *c = s->waiting, *next; c; c = next) {
        next = c->next;
        if (c->token)
            continue; /* ends with its request */
        if (c->done)
            c->done(c, true);
        call_end(c);
    }
}

static void stop(void *self)
{
    struct engine *e = self;

    skep_timer_free(e->watch);
    e->watch = NULL;
    for (unsigned i = 0; i < e->state_count; i++)
        skep_post(e->m, i, stop_state, e->states[i], NULL);
}

static void unload(void *self)
{
    engine_free(self);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("lua", "1.0", "runs Lua scripts that transform and route messages"),
    .flags = SKEP_ADVISES,
    .events = SKEP_EVENT_BIT(SKEP_EVENT_CONNECTED) | SKEP_EVENT_BIT(SKEP_EVENT_DISCONNECTED),
    .conf_size = sizeof(struct conf),
    .options = options,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_connect = decide_connect,
    .on_auth = decide_auth,
    .on_subscribe = decide_subscribe,
    .on_will = decide_will,
    .on_deliver = decide_deliver,
    .on_message = decide_message,
    .on_event = decide_event,
    .on_command = operate,
};
