/* broker.subscribe and broker.request.
 *
 * A script's subscriptions live on its home loop, each a consumer of its own.  A request publishes
 * with a response topic of this loop and waits for the message that comes there with its
 * correlation data; the consumer for that is opened with the first request. */
#include <lauxlib.h>
#include <math.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind.h"
#include "object.h"

enum { USER_PROPERTIES = 32, REQUESTS_MOST = 10000 };

struct subscription {
    struct subscription *next;
    struct state *s;
    struct script *script;
    struct skep_consumer *consumer;
    int function;
    unsigned qos;
    char *filter;
};

struct request {
    struct request *next;
    struct call *call;
    uint64_t number;
    bool sent;
    struct skep_message message; /* copies, until it is sent */
    char *bytes;
};

struct replies {
    struct state *s;
    struct skep_consumer *consumer;
    bool ready;
    char topic[64];
    uint64_t next_number;
    unsigned count;
    struct request *first;
};

/* -- subscribe -- */

static void push_received(struct call *c)
{
    message_table(c->co, c->message);
}

static unsigned hops_of(const struct skep_message *m)
{
    for (size_t i = 0; i < m->user_property_count; i++) {
        const struct skep_user_property *p = &m->user_properties[i];
        if (skep_str_eq(p->name, SKEP_STR(HOPS_PROPERTY)) && p->value.len == 1 &&
            p->value.ptr[0] >= '0' && p->value.ptr[0] <= '9')
            return (unsigned)(p->value.ptr[0] - '0');
        if (skep_str_eq(p->name, SKEP_STR(HOPS_PROPERTY)))
            return HOPS_MOST; /* two digits, or not ours: far enough */
    }
    return 0;
}

/* Scripts answer each other, or one of them itself. */
static void stop_loop(struct subscription *sub, const struct skep_message *m)
{
    char text[512];

    snprintf(
        text, sizeof text,
        "%s: the message to %.*s went through scripts %d times and goes no further: they publish "
        "what they subscribe to",
        sub->script->path, (int)(m->topic.len < 200 ? m->topic.len : 200), m->topic.ptr, HOPS_MOST);
    skep_counter_add(sub->script->loops, 1);
    script_failed(sub->s, sub->script, text);
}

static void on_message(struct skep_consumer *consumer, const struct skep_message *message,
                       uint64_t id, void *arg)
{
    struct subscription *sub = arg;
    unsigned hops = hops_of(message);

    if (hops + 1 >= HOPS_MOST) {
        stop_loop(sub, message);
        if (id)
            skep_consumer_ack(consumer, id);
        return;
    }
    struct call *c = call_take(sub->s);
    bool waits = false;

    c->hops = hops + 1;
    c->message = message;
    call_function(c, sub->script, sub->function);
    if (!atomic_load(&sub->script->disabled) && call_arguments(c, push_received))
        waits = call_run(c, 1) == CALL_WAITS;
    if (!waits)
        call_end(c);
    if (id)
        skep_consumer_ack(consumer, id);
}

static void on_ready(struct skep_consumer *consumer, bool resumed, const char *error, void *arg)
{
    struct subscription *sub = arg;
    int err = error ? 0 : skep_consumer_subscribe(consumer, skep_str(sub->filter), sub->qos, 0);

    (void)resumed;
    if (error || err < 0)
        skep_log(sub->s->engine->m, SKEP_LOG_ERROR, "%s: subscribe to %s: %s", sub->script->name,
                 sub->filter, error ? error : skep_error_text(err));
}

static void open_subscription(struct subscription *sub)
{
    char name[64];
    struct skep_consumer_conf conf = {.size = sizeof conf,
                                      .loop = sub->s->loop,
                                      .name = name,
                                      .on_message = on_message,
                                      .on_ready = on_ready,
                                      .arg = sub};

    snprintf(name, sizeof name, "%u-%p", sub->script->number, (void *)sub);
    sub->consumer = skep_consumer_open(sub->s->engine->m, &conf);
}

/* broker.subscribe(filter, fn, { qos = 1 }): at the script's beginning. */
static int l_subscribe(lua_State *L)
{
    struct state *s = state_of(L);
    struct skep_str filter = arg_str(L, 1);
    lua_Integer qos = 0;

    if (!s->loading)
        return luaL_error(L, "subscribe is for the script's beginning, not for a handler");
    luaL_argcheck(L, skep_topic_valid(filter, false), 1, "not a topic filter");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (lua_istable(L, 3)) {
        lua_getfield(L, 3, "qos");
        qos = luaL_optinteger(L, -1, 0);
        luaL_argcheck(L, qos >= 0 && qos <= 2, 3, "qos is 0, 1 or 2");
    }
    if (s->loading->home != s->loop)
        return 0;
    struct subscription *sub = calloc(1, sizeof *sub);
    if (!sub)
        abort();
    sub->s = s;
    sub->script = s->loading;
    sub->qos = (unsigned)qos;
    sub->filter = strndup(filter.ptr, filter.len);
    lua_pushvalue(L, 2);
    sub->function = luaL_ref(L, LUA_REGISTRYINDEX);
    sub->next = s->subscriptions;
    s->subscriptions = sub;
    return 0;
}

/* -- request -- */

static void request_free(struct request *q)
{
    free(q->bytes);
    free(q);
}

static struct request *take_request(struct replies *r, uint64_t number)
{
    for (struct request **p = &r->first; *p; p = &(*p)->next) {
        struct request *q = *p;
        if (q->number == number) {
            *p = q->next;
            r->count--;
            return q;
        }
    }
    return NULL;
}

static void send_request(struct replies *r, struct request *q)
{
    char correlation[24];

    snprintf(correlation, sizeof correlation, "%llu", (unsigned long long)q->number);
    q->message.response_topic = skep_str(r->topic);
    q->message.correlation_data = skep_str(correlation);
    q->sent = true;
    skep_publish(r->s->engine->m, &q->message, NULL, NULL, NULL);
}

static void replies_ready(struct skep_consumer *consumer, bool resumed, const char *error,
                          void *arg)
{
    struct replies *r = arg;

    (void)resumed;
    if (error || skep_consumer_subscribe(consumer, skep_str(r->topic), 0, 0) < 0) {
        skep_log(r->s->engine->m, SKEP_LOG_ERROR, "no replies to broker.request: %s",
                 error ? error : "subscription refused");
        return; /* the requests time out */
    }
    r->ready = true;
    for (struct request *q = r->first; q; q = q->next) {
        if (!q->sent)
            send_request(r, q);
    }
}

/* The reply is copied: the call goes on in this very turn, but its table is made in protected
 * mode, after this message is gone. */
struct reply {
    struct skep_message message;
    char bytes[];
};

static void reply_free(void *reply)
{
    free(reply);
}

static struct reply *reply_copy(const struct skep_message *m)
{
    struct reply *reply = malloc(sizeof *reply + m->topic.len + m->payload.len);

    if (!reply)
        abort();
    reply->message = (struct skep_message){.size = sizeof reply->message, .qos = m->qos};
    memcpy(reply->bytes, m->topic.ptr, m->topic.len);
    if (m->payload.len > 0)
        memcpy(reply->bytes + m->topic.len, m->payload.ptr, m->payload.len);
    reply->message.topic = skep_bytes(reply->bytes, m->topic.len);
    reply->message.payload = skep_bytes(reply->bytes + m->topic.len, m->payload.len);
    return reply;
}

static void on_reply(struct skep_consumer *consumer, const struct skep_message *m, uint64_t id,
                     void *arg)
{
    struct replies *r = arg;
    char number[24] = "";
    struct request *q;

    (void)consumer;
    (void)id;
    if (m->correlation_data.len >= sizeof number)
        return;
    memcpy(number, m->correlation_data.ptr, m->correlation_data.len);
    q = take_request(r, strtoull(number, NULL, 10));
    if (!q)
        return; /* too late, or nobody's */
    struct call *c = q->call;
    c->waits_for = NULL;
    request_free(q);
    c->answer = reply_copy(m);
    call_resume(c);
}

static struct replies *replies_of(struct state *s)
{
    struct replies *r = s->replies;

    if (r)
        return r;
    r = calloc(1, sizeof *r);
    if (!r)
        abort();
    r->s = s;
    r->next_number = 1;
    snprintf(r->topic, sizeof r->topic, "$lua/reply/%u/%llx", s->loop,
             (unsigned long long)(uintptr_t)r);
    struct skep_consumer_conf conf = {.size = sizeof conf,
                                      .loop = s->loop,
                                      .name = r->topic + 1,
                                      .on_message = on_reply,
                                      .on_ready = replies_ready,
                                      .arg = r};
    s->replies = r;
    r->consumer = skep_consumer_open(s->engine->m, &conf);
    return r;
}

/* The call stops waiting before its reply came. */
static void give_up(struct call *c)
{
    struct request *q = c->waits_for;

    c->waits_for = NULL;
    if (q && take_request(c->s->replies, q->number))
        request_free(q);
}

static void timed_out(void *call)
{
    struct call *c = call;

    give_up(c);
    call_resume(c);
}

static void push_reply(struct call *c)
{
    struct reply *reply = c->answer;

    if (reply) {
        message_table(c->co, &reply->message);
        return;
    }
    lua_pushnil(c->co);
    lua_pushliteral(c->co, "no reply in time");
}

static int returns_reply(struct call *c)
{
    int top = lua_gettop(c->co);

    if (!call_arguments(c, push_reply)) {
        lua_settop(c->co, top);
        lua_pushnil(c->co);
        lua_pushliteral(c->co, "not enough memory for the reply");
    }
    return lua_gettop(c->co) - top;
}

static struct request *request_new(const struct skep_message *m, double expiry)
{
    struct request *q = calloc(1, sizeof *q);
    char *p;

    if (!q || !(q->bytes = p = malloc(m->topic.len + m->payload.len + m->content_type.len + 1)))
        abort();
    q->message = (struct skep_message){
        .size = sizeof q->message, .qos = m->qos, .expiry_s = (uint32_t)ceil(expiry)};
    memcpy(p, m->topic.ptr, m->topic.len);
    q->message.topic = skep_bytes(p, m->topic.len);
    p += m->topic.len;
    memcpy(p, m->payload.ptr, m->payload.len);
    q->message.payload = skep_bytes(p, m->payload.len);
    p += m->payload.len;
    memcpy(p, m->content_type.ptr, m->content_type.len);
    q->message.content_type = skep_bytes(p, m->content_type.len);
    return q;
}

/* broker.request{ topic = , payload = , timeout = 5 }: the reply, or nil and a line. */
static int l_request(lua_State *L)
{
    struct skep_user_property room[USER_PROPERTIES];
    struct skep_message m = message_argument(L, 1, room, USER_PROPERTIES);
    struct call *c = call_wait(L, "request");
    double timeout;

    lua_getfield(L, 1, "timeout");
    timeout = luaL_optnumber(L, -1, 5);
    luaL_argcheck(L, timeout > 0 && timeout <= 3600, 1, "timeout: up to 3600 seconds");
    struct replies *r = replies_of(c->s);
    if (r->count >= REQUESTS_MOST)
        return luaL_error(L, "more than %d requests wait for replies", REQUESTS_MOST);
    struct request *q = request_new(&m, timeout);
    q->call = c;
    q->number = r->next_number++;
    q->next = r->first;
    r->first = q;
    r->count++;
    c->waits_for = q;
    c->give_up = give_up;
    c->answer_free = reply_free;
    c->timer = skep_timer_new(c->s->engine->m, timed_out, c);
    skep_timer_set(c->timer, (uint64_t)ceil(timeout * 1000.0));
    if (r->ready)
        send_request(r, q);
    return call_yield(L, c, returns_reply);
}

/* -- Life -- */

void subscribe_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"subscribe", l_subscribe}, {"request", l_request}, {NULL, NULL}};

    luaL_setfuncs(L, functions, 0);
}

void subscribe_start(struct state *s)
{
    for (struct subscription *sub = s->subscriptions; sub; sub = sub->next)
        open_subscription(sub);
}

/* Consumers go with their loop still running; the calls that wait were ended before. */
void subscribe_stop(struct state *s)
{
    for (struct subscription *sub = s->subscriptions; sub; sub = sub->next) {
        if (sub->consumer)
            skep_consumer_close(sub->consumer, true);
        sub->consumer = NULL;
    }
    if (s->replies && s->replies->consumer) {
        skep_consumer_close(s->replies->consumer, true);
        s->replies->consumer = NULL;
    }
}

void subscribe_free(struct state *s)
{
    while (s->subscriptions) {
        struct subscription *sub = s->subscriptions;
        s->subscriptions = sub->next;
        free(sub->filter);
        free(sub);
    }
    while (s->replies && s->replies->first) {
        struct request *q = s->replies->first;
        s->replies->first = q->next;
        request_free(q);
    }
    free(s->replies);
    s->replies = NULL;
}
