/* The module's hooks: from a request to the handlers it concerns, one after another. */
#include <lauxlib.h>
#include <skep/event.h>
#include <skep/loop.h>
#include <stdlib.h>

#include "call.h"

static enum skep_verdict go_on(struct call *c);

static struct state *here(struct engine *e)
{
    unsigned loop = skep_loop_here();

    return loop < e->state_count ? e->states[loop] : NULL;
}

/* The list that match_find() gave lives only until its next call. */
static void keep_todo(struct call *c, const uint32_t *handlers, unsigned count)
{
    if (count > c->todo_cap) {
        c->todo_cap = count;
        c->todo = realloc(c->todo, count * sizeof *c->todo);
        if (!c->todo)
            abort();
    }
    memcpy(c->todo, handlers, count * sizeof *handlers);
    c->todo_count = count;
    c->todo_at = 0;
}

/* -- Arguments -- */

static void push_captures(struct call *c)
{
    const struct match_filter *f = &c->handler->filter;
    struct skep_str topic = skep_publish_topic(c->r);

    lua_createtable(c->co, 0, (int)f->name_count);
    for (unsigned i = 0; i < f->name_count; i++) {
        struct skep_str level = match_capture(f, i, topic);
        lua_pushlstring(c->co, level.ptr, level.len);
        lua_setfield(c->co, -2, f->names[i]);
    }
}

static void push_message(struct call *c)
{
    object_push(c, OBJECT_MESSAGE);
    if (c->handler->captures)
        push_captures(c);
}

static void push_connect(struct call *c)
{
    object_push(c, OBJECT_CONNECT);
}

static void push_subscribe(struct call *c)
{
    object_push(c, OBJECT_SUBSCRIBE);
}

static void push_auth(struct call *c)
{
    object_push(c, OBJECT_AUTH);
}

static void push_nothing(struct call *c)
{
    (void)c;
}

static int arguments_of(const struct handler *h, void (**fill)(struct call *c))
{
    switch (h->kind) {
    case ON_CONNECT:
        *fill = push_connect;
        return 1;
    case ON_SUBSCRIBE:
        *fill = push_subscribe;
        return 1;
    case ON_AUTH:
        *fill = push_auth;
        return 1;
    case ON_SELFTEST:
        *fill = push_nothing;
        return 0;
    default:
        *fill = push_message;
        return h->captures ? 2 : 1;
    }
}

/* -- One handler -- */

static enum skep_verdict failure_verdict(struct call *c)
{
    bool message = c->handler->kind == ON_PUBLISH;

    switch (c->s->engine->conf->on_failure) {
    case ON_FAILURE_DROP:
        if (message) {
            skep_counter_add(c->script->dropped, 1);
            return skep_drop(c->r, "a script failed");
        }
        /* fall through */
    case ON_FAILURE_DENY:
        return skep_deny(c->r, SKEP_RC_IMPLEMENTATION, "a script failed");
    default:
        return SKEP_NEXT;
    }
}

static enum skep_verdict verdict_of(struct call *c)
{
    const char *text = c->text[0] ? c->text : NULL;

    if (c->changed && !message_apply(c)) {
        script_failed(c->s, c->script, c->text);
        return failure_verdict(c);
    }
    switch (c->says) {
    case SAYS_ALLOW:
        return skep_allow(c->r);
    case SAYS_DENY:
        return skep_deny(c->r, c->reason, text);
    case SAYS_DROP:
        skep_counter_add(c->script->dropped, 1);
        return skep_drop(c->r, text ? text : c->script->name);
    case SAYS_CONTINUE:
        return SKEP_CONTINUE;
    default:
        return SKEP_NEXT;
    }
}

/* The client left, or waited too long. */
static void dropped(void *data)
{
    if (data)
        call_end(data);
}

static enum skep_verdict resumed(struct skep_request *r, void *self)
{
    struct call *c = *skep_request_data(r);

    call_waited(c);
    c->r = r;
    c->outcome = call_go_on(c);
    return go_on(c);
}

static enum skep_verdict wait_on(struct call *c)
{
    *skep_request_data(c->r) = c;
    return skep_wait_token(c->r, &c->token, dropped, resumed);
}

static void start(struct call *c)
{
    void (*fill)(struct call * c);
    int nargs;

    call_function(c, c->handler->script, c->handler->function);
    nargs = arguments_of(c->handler, &fill);
    c->outcome = call_arguments(c, fill) ? call_run(c, nargs) : CALL_FAILED;
}

/* -- The course of a request -- */

static bool next_handler(struct call *c)
{
    while (c->todo_at < c->todo_count) {
        c->handler = &c->s->handlers[c->todo[c->todo_at++]];
        if (!atomic_load_explicit(&c->handler->script->disabled, memory_order_relaxed))
            return true;
    }
    return false;
}

/* A handler has just run, or waits; c->outcome says. */
static enum skep_verdict go_on(struct call *c)
{
    for (;;) {
        enum skep_verdict v;
        if (c->outcome == CALL_WAITS)
            return wait_on(c);
        v = c->outcome == CALL_FAILED ? failure_verdict(c) : verdict_of(c);
        call_clear(c);
        if (v != SKEP_NEXT || !next_handler(c)) {
            call_end(c);
            return v;
        }
        start(c);
    }
}

static enum skep_verdict decide(struct state *s, struct skep_request *r, const uint32_t *handlers,
                                unsigned count)
{
    struct call *c = call_take(s);

    c->r = r;
    keep_todo(c, handlers, count);
    if (!next_handler(c)) {
        call_end(c);
        return SKEP_NEXT;
    }
    start(c);
    return go_on(c);
}

static enum skep_verdict decide_topic(struct skep_request *r, struct engine *e,
                                      enum handler_kind kind, struct skep_str topic)
{
    struct state *s = here(e);
    const uint32_t *handlers;
    unsigned count = s ? match_find(s->topics[kind], topic, &handlers) : 0;

    return count > 0 ? decide(s, r, handlers, count) : SKEP_NEXT;
}

enum skep_verdict decide_message(struct skep_request *r, void *self)
{
    return decide_topic(r, self, ON_PUBLISH, skep_publish_topic(r));
}

enum skep_verdict decide_deliver(struct skep_request *r, void *self)
{
    return decide_topic(r, self, ON_DELIVER, skep_publish_topic(r));
}

enum skep_verdict decide_will(struct skep_request *r, void *self)
{
    return decide_topic(r, self, ON_WILL, skep_publish_topic(r));
}

static enum skep_verdict decide_plain(struct skep_request *r, struct engine *e,
                                      enum handler_kind kind)
{
    struct state *s = here(e);

    return s && s->plain_count[kind] > 0 ? decide(s, r, s->plain[kind], s->plain_count[kind])
                                         : SKEP_NEXT;
}

enum skep_verdict decide_subscribe(struct skep_request *r, void *self)
{
    return decide_plain(r, self, ON_SUBSCRIBE);
}

enum skep_verdict decide_connect(struct skep_request *r, void *self)
{
    return decide_plain(r, self, ON_CONNECT);
}

/* Those that know the method. */
enum skep_verdict decide_auth(struct skep_request *r, void *self)
{
    struct state *s = here(self);
    struct skep_str method = skep_auth_method(r);
    uint32_t found[16];
    unsigned count = 0;

    for (uint32_t i = 0; s && i < s->plain_count[ON_AUTH] && count < 16; i++) {
        uint32_t at = s->plain[ON_AUTH][i];
        if (skep_str_eq(skep_str(s->handlers[at].filter.filter), method))
            found[count++] = at;
    }
    return count > 0 ? decide(s, r, found, count) : SKEP_NEXT;
}

/* -- Events: nobody waits for what a handler says -- */

static void push_event(struct call *c)
{
    const struct skep_event *event = c->event;

    client_push(c->co, event->client);
    if (event->kind == SKEP_EVENT_DISCONNECTED) {
        lua_pushinteger(c->co, event->reason);
        lua_pushlstring(c->co, event->text.ptr, event->text.len);
    }
}

void decide_event(const struct skep_event *event, void *self)
{
    bool gone = event->kind == SKEP_EVENT_DISCONNECTED;
    enum handler_kind kind = gone ? ON_DISCONNECT : ON_CONNECTED;
    struct state *s = here(self);

    for (unsigned i = 0; s && i < s->plain_count[kind]; i++) {
        struct handler *h = &s->handlers[s->plain[kind][i]];
        if (atomic_load_explicit(&h->script->disabled, memory_order_relaxed))
            continue;
        struct call *c = call_take(s);
        c->event = event;
        call_function(c, h->script, h->function);
        if (call_arguments(c, push_event) && call_run(c, gone ? 3 : 1) == CALL_WAITS)
            continue;
        call_end(c);
    }
}
