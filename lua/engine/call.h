/* One run of a handler: a coroutine, what it works on, and what it waits for.
 *
 *            call_take ──> call_run ──> done ──> call_end
 *                              │  ^
 *                       waits  v  │  call_resume
 *                            (parked)
 *
 * A call that serves a request waits under the request's token: if the client leaves, the host
 * drops it.  One that serves a timer or a subscription waits for itself. */
#ifndef SKEP_LUA_CALL_H
#define SKEP_LUA_CALL_H

#include <skep/event.h>
#include <skep/message.h>

#include "engine.h"

struct skep_http_reply;

enum call_outcome { CALL_DONE, CALL_WAITS, CALL_FAILED };

enum message_fields {
    FIELD_TOPIC = 1,
    FIELD_PAYLOAD = 2,
    FIELD_QOS = 4,
    FIELD_RETAIN = 8,
    FIELD_EXPIRY = 16,
    FIELD_CONTENT_TYPE = 32,
    FIELD_RESPONSE_TOPIC = 64,
    FIELD_CORRELATION_DATA = 128,
    FIELD_USER_PROPERTIES = 256,
};

/* What the handler said, applied when it has returned. */
enum call_says { SAYS_NOTHING, SAYS_ALLOW, SAYS_DENY, SAYS_DROP, SAYS_CONTINUE };

struct call {
    struct call *next;
    struct state *s;
    struct script *script; /* whose handler runs */
    lua_State *co;
    int co_ref;
    uint32_t serial;                    /* objects made for an earlier run are dead */
    struct skep_request *r;             /* NULL outside of decisions */
    const struct skep_message *message; /* what a subscription got, in its call only */
    const struct skep_event *event;     /* in its call only */
    enum call_outcome outcome;          /* of the handler that ran last */
    unsigned hops;                      /* publications of scripts that led to this call */
    const struct handler *handler;

    unsigned changed; /* FIELD_*, values in the message's user value */
    int object;       /* reference to the message object while it has changes; LUA_NOREF */
    enum call_says says;
    uint8_t reason;
    char text[256];

    /* The handlers still to run for this request. */
    uint32_t *todo;
    unsigned todo_count, todo_at, todo_cap;

    /* While it waits. */
    bool waits;
    uint64_t token; /* of the request; 0: none */
    struct skep_timer *timer;
    uint64_t http;   /* number of the request under way; 0: none */
    void *waits_for; /* something else, which give_up() forgets */
    void (*give_up)(struct call *c);
    int (*resume_with)(struct call *c); /* pushes what the waiting function returns */
    void *answer;                       /* for resume_with; freed with answer_free */
    void (*answer_free)(void *answer);
    void (*done)(struct call *c, bool failed); /* outside of decisions */
    void *done_arg;
};

/* A call that is free, with an empty stack. */
struct call *call_take(struct state *s);
/* Puts the function with that reference on its stack; arguments are pushed behind it. */
void call_function(struct call *c, struct script *script, int function);
/* Runs fill(c), which pushes arguments, where running out of memory is an error like any other.
 * False: the script is told. */
bool call_arguments(struct call *c, void (*fill)(struct call *c));
/* Runs or goes on with nargs values on the coroutine's stack. */
enum call_outcome call_run(struct call *c, int nargs);
/* After a handler, before the next one for the same request: an empty stack. */
void call_clear(struct call *c);
/* Back to the pool; dead objects say so from here on. */
void call_end(struct call *c);

/* From a C function called by a script: it will wait.  Raises an error where that cannot be
 * (main chunk, on_deliver).  The caller sets up c->timer or c->http, then returns call_yield(). */
struct call *call_wait(lua_State *L, const char *what);
int call_yield(lua_State *L, struct call *c, int (*resume_with)(struct call *c));
/* What stands for a wait is given back: timer, list, number. */
void call_waited(struct call *c);
/* Runs on with what the waiting function returns. */
enum call_outcome call_go_on(struct call *c);
/* The wait is over: from a timer or an answer. */
void call_resume(struct call *c);

/* The call that runs; raises an error in a main chunk. */
struct call *call_current(lua_State *L, const char *what);

/* -- decide.c: the hooks of the module -- */
enum skep_verdict decide_message(struct skep_request *r, void *self);
enum skep_verdict decide_deliver(struct skep_request *r, void *self);
enum skep_verdict decide_will(struct skep_request *r, void *self);
enum skep_verdict decide_subscribe(struct skep_request *r, void *self);
enum skep_verdict decide_auth(struct skep_request *r, void *self);
enum skep_verdict decide_connect(struct skep_request *r, void *self);
void decide_event(const struct skep_event *event, void *self);

/* -- bind_*.c -- */

/* What a handler gets: dead when its call is over. */
enum object_kind { OBJECT_MESSAGE, OBJECT_CONNECT, OBJECT_SUBSCRIBE, OBJECT_AUTH, OBJECT_KINDS };

void message_open(lua_State *L);
void connect_open(lua_State *L);
void auth_open(lua_State *L);
/* Pushes a new object for the call onto its stack. */
void object_push(struct call *c, enum object_kind kind);
/* The call of the object at `index`; an error if it is dead or another kind. */
struct call *object_check(lua_State *L, int index, enum object_kind kind);
/* Applies what a handler changed; false: refused, with a line in c->text. */
bool message_apply(struct call *c);
void client_open(lua_State *L);
/* Pushes an object for the client, or nil. */
void client_push(lua_State *L, const struct skep_client *client);
/* The same for the connected client with that id. */
void client_push_found(lua_State *L, struct skep_module *m, struct skep_str id);

#endif
