/* A module for the harness to be tested with: it waits in every way there is, and it has faults
 * that its options turn on. */
#include "subject.h"

#include <arpa/inet.h>
#include <skep/command.h>
#include <skep/event.h>
#include <skep/http.h>
#include <skep/loop.h>
#include <skep/message.h>
#include <skep/metric.h>
#include <skep/module.h>
#include <skep/storage.h>
#include <stdio.h>
#include <stdlib.h>

struct conf {
    const char *greeting;
    bool forget_timer, forget_watch, forget_server, never_rest, slow_start, cold, serves,
        reload_for_ever;
};

static const struct skep_option options[] = {
    SKEP_STRING(struct conf, greeting, "hello", .help = "reason text of refusals"),
    SKEP_BOOL(struct conf, forget_timer, "off"),
    SKEP_BOOL(struct conf, forget_watch, "off"),
    SKEP_BOOL(struct conf, forget_server, "off"),
    SKEP_BOOL(struct conf, never_rest, "off"),
    SKEP_BOOL(struct conf, serves, "off", .help = "HTTP"),
    SKEP_BOOL(struct conf, reload_for_ever, "off"),
    SKEP_BOOL(struct conf, slow_start, "off", .help = "warms up for 3 s"),
    SKEP_BOOL(struct conf, cold, "off", .help = "cannot warm up"),
    {0},
};

struct subject_counts subject_counts;
uint64_t subject_token;

struct subject {
    const struct conf *conf;
    struct skep_module *module;
    struct skep_timer *timer, *warm_timer, *answer_timer;
    struct skep_http_server *server;
    struct skep_http_exchange *exchange;
    struct skep_watch *watch;
    struct skep_warm *warm;
    struct skep_counter *events;
};

/* -- Life -- */

static void check(const void *conf, struct skep_report *report)
{
    if (((const struct conf *)conf)->greeting[0] == 0)
        skep_report(report, NULL, "say something", "the greeting is empty");
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct subject *s = calloc(1, sizeof *s);

    (void)report;
    if (!s)
        return -1;
    s->conf = conf;
    s->module = m;
    s->events = skep_counter(m, "events", NULL, "events seen");
    subject_counts.loaded++;
    *self = s;
    return 0;
}

static void again(void *arg)
{
    struct subject *s = arg;
    skep_post(s->module, SKEP_MANAGEMENT, again, s, NULL);
}

static void on_timer(void *arg)
{
    (void)arg;
    subject_counts.ticks++;
}

static void warmed(void *arg)
{
    struct subject *s = arg;
    skep_warm_done(s->warm, s->conf->cold ? "no keys" : NULL);
}

/* On main: the management loop makes the timer. */
static void warm_on_loop(void *arg)
{
    struct subject *s = arg;

    s->warm_timer = skep_timer_new(s->module, warmed, s);
    skep_timer_set(s->warm_timer, 3000);
}

static void warm(void *self, struct skep_warm *warm)
{
    struct subject *s = self;

    s->warm = warm;
    if (s->conf->slow_start || s->conf->cold)
        skep_post(s->module, SKEP_MANAGEMENT, warm_on_loop, s, NULL);
    else
        skep_warm_done(warm, NULL);
}

static void on_watch(int fd, unsigned what, void *arg)
{
    (void)fd, (void)what, (void)arg;
}

/* "/now" is answered at once, "/later" after a second. */
static void serve(struct skep_http_exchange *x, void *arg)
{
    (void)arg;
    skep_http_set_header(x, "X-Subject", "yes");
    skep_http_answer(x, 200, "text/plain", skep_http_body(x));
}

static void serve_pending(void *arg)
{
    struct subject *s = arg;

    skep_http_answer(s->exchange, 202, "text/plain", SKEP_STR("late"));
    s->exchange = NULL;
}

static void serve_later(struct skep_http_exchange *x, void *arg)
{
    struct subject *s = arg;

    s->exchange = x;
    skep_timer_free(s->answer_timer);
    s->answer_timer = skep_timer_new(s->module, serve_pending, s);
    skep_timer_set(s->answer_timer, 1000);
}

static void start_serving(struct subject *s)
{
    struct skep_http_listen listen = {.size = sizeof listen, .address = "127.0.0.1:0"};
    char why[128];

    s->server = skep_http_serve(s->module, &listen, why, sizeof why);
    if (!s->server)
        return;
    skep_http_route(s->server, NULL, "/now", serve, s);
    skep_http_route(s->server, "GET", "/later", serve_later, s);
}

static void start(void *self, void *previous)
{
    struct subject *s = self;

    subject_counts.started++;
    if (previous)
        subject_counts.took_over++;
    s->timer = skep_timer_new(s->module, on_timer, s);
    skep_timer_set(s->timer, 1000);
    s->watch = skep_watch_new(s->module, 0, 0, on_watch, s);
    if (!s->watch)
        subject_counts.refused++;
    if (s->conf->reload_for_ever)
        skep_request_reload(s->module);
    if (s->conf->serves)
        start_serving(s);
    if (s->conf->never_rest)
        again(s);
}

static void stop(void *self)
{
    struct subject *s = self;

    if (!s->conf->forget_server)
        skep_http_server_close(s->server);
}

static void unload(void *self)
{
    struct subject *s = self;

    if (!s->conf->forget_timer)
        skep_timer_free(s->timer);
    if (!s->conf->forget_watch)
        skep_watch_free(s->watch);
    skep_timer_free(s->warm_timer);
    skep_timer_free(s->answer_timer);
    subject_counts.unloaded++;
    free(s);
}

/* -- CONNECT: the user name says how it is decided -- */

static enum skep_verdict then_allow(struct skep_request *r, void *self)
{
    (void)self;
    subject_counts.continued++;
    return skep_allow(r);
}

static enum skep_verdict then_twice(struct skep_request *r, void *self)
{
    (void)self;
    return skep_wait_ms(r, 100, then_allow);
}

static enum skep_verdict http_answered(struct skep_request *r, const struct skep_http_reply *reply,
                                       void *self)
{
    const struct subject *s = self;

    subject_counts.continued++;
    if (reply->error)
        return skep_deny(r, SKEP_RC_UNAVAILABLE, reply->error);
    if (!skep_str_eq(skep_http_reply_header(reply, "X-Verdict"), SKEP_STR("yes")))
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, s->conf->greeting);
    return skep_allow(r);
}

static void work(void *data)
{
    subject_counts.worked++;
    (void)data;
}

static void drop(void *data)
{
    (void)data;
    subject_counts.dropped++;
}

static enum skep_verdict ask_http(struct skep_request *r)
{
    struct skep_http_request ask = {.size = sizeof ask,
                                    .url = "http://auth.test/check?user=bee",
                                    .timeout_ms = 2000,
                                    .body = SKEP_STR("{}"),
                                    .content_type = "application/json"};
    return skep_wait_http(r, &ask, http_answered);
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    struct subject *s = self;
    struct skep_str who = skep_connect_username(r);

    if (skep_str_eq(who, SKEP_STR("allow")))
        return skep_allow(r);
    if (skep_str_eq(who, SKEP_STR("deny")))
        return skep_deny(r, SKEP_RC_BANNED, s->conf->greeting);
    if (skep_str_eq(who, SKEP_STR("error")))
        return SKEP_ERROR;
    if (skep_str_eq(who, SKEP_STR("ms")))
        return skep_wait_ms(r, 100, then_twice);
    if (skep_str_eq(who, SKEP_STR("job")))
        return skep_wait_job(r, work, s, drop, then_allow);
    if (skep_str_eq(who, SKEP_STR("http")))
        return ask_http(r);
    if (skep_str_eq(who, SKEP_STR("token")))
        return skep_wait_token(r, &subject_token, drop, then_allow);
    if (skep_str_eq(who, SKEP_STR("memory"))) {
        char *memory = skep_request_memory(r, 100);
        if (!memory)
            return skep_deny(r, SKEP_RC_BUSY, "no memory");
        memset(memory, 1, 100);
        return skep_allow(r);
    }
    if (skep_str_eq(who, SKEP_STR("silent")))
        return SKEP_PENDING; /* a fault: nothing was begun */
    return SKEP_NEXT;
}

/* Three rounds: the data counts them. */
static enum skep_verdict on_auth(struct skep_request *r, void *self)
{
    char text[16];

    (void)self;
    if (!skep_str_eq(skep_auth_method(r), SKEP_STR("COUNT")))
        return SKEP_NEXT;
    snprintf(text, sizeof text, "%u", skep_auth_round(r));
    skep_auth_reply(r, skep_str(text));
    return skep_auth_round(r) < 2 ? SKEP_CONTINUE : skep_allow(r);
}

/* -- Topics -- */

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    (void)self;
    if (skep_str_eq(skep_subscribe_filter(r), SKEP_STR("low")))
        skep_subscribe_set_qos(r, 0);
    if (skep_str_eq(skep_subscribe_filter(r), SKEP_STR("no/#"))) {
        skep_note(r, "rules.conf", 7, "no/#");
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, "not this one");
    }
    return skep_allow(r);
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    (void)self;
    if (skep_topic_matches(SKEP_STR("no/#"), skep_publish_topic(r)))
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
    if (skep_topic_matches(SKEP_STR("slow/#"), skep_publish_topic(r)))
        return skep_wait_ms(r, 50, then_allow);
    return skep_allow(r);
}

static enum skep_verdict on_message(struct skep_request *r, void *self)
{
    const struct subject *s = self;
    struct skep_message message = {.size = sizeof message, .topic = SKEP_STR("seen")};

    if (skep_topic_matches(SKEP_STR("copy/#"), skep_publish_topic(r)))
        skep_message_copy_to(r, SKEP_STR("the/copy"));
    if (skep_topic_matches(SKEP_STR("mark/#"), skep_publish_topic(r)))
        skep_message_add_user_property(r, SKEP_STR("by"), SKEP_STR("subject"));
    if (skep_topic_matches(SKEP_STR("drop/#"), skep_publish_topic(r)))
        return skep_drop(r, "unwanted");
    if (skep_topic_matches(SKEP_STR("tell/#"), skep_publish_topic(r))) {
        message.payload = skep_publish_topic(r);
        if (skep_publish(s->module, &message, NULL, NULL, NULL) < 0)
            subject_counts.refused++;
    }
    return SKEP_NEXT;
}

static enum skep_verdict on_deliver(struct skep_request *r, void *self)
{
    (void)self;
    if (skep_topic_matches(SKEP_STR("secret/#"), skep_publish_topic(r)))
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
    return skep_allow(r);
}

static void on_event(const struct skep_event *event, void *self)
{
    struct subject *s = self;

    skep_counter_add(s->events, 1);
    subject_counts.last_event = event->kind;
    skep_log(s->module, SKEP_LOG_INFO, "saw %s", skep_event_text(event->kind));
}

static void stored(void *command, int error)
{
    skep_command_answer(command, error ? SKEP_STR("false") : SKEP_STR("true"));
}

static void put(struct subject *s, struct skep_command *command)
{
    if (skep_storage_set(s->module, skep_command_word(command, 1), skep_command_word(command, 2),
                         stored, command) < 0)
        skep_command_fail(command, "refused");
}

static void get(struct subject *s, struct skep_command *command)
{
    char value[32], json[64];
    int64_t len = skep_storage_get(s->module, skep_command_word(command, 1), value, sizeof value);

    if (len < 0 || len > (int64_t)sizeof value) {
        skep_command_fail(command, "no such thing");
        return;
    }
    snprintf(json, sizeof json, "\"%.*s\"", (int)len, value);
    skep_command_answer(command, skep_str(json));
}

/* The first address, "127.0.0.1:80", or why there is none. */
static void resolved(void *arg, const struct skep_str *addresses, size_t count, const char *error)
{
    char json[128], text[64];
    struct sockaddr_in v4;

    if (error || count == 0 || addresses[0].len != sizeof v4) {
        skep_command_fail(arg, "%s", error ? "unknown" : "not IPv4");
        return;
    }
    memcpy(&v4, addresses[0].ptr, sizeof v4);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    snprintf(json, sizeof json, "\"%s:%u\"", text, ntohs(v4.sin_port));
    skep_command_answer(arg, skep_str(json));
}

static void resolve(struct subject *s, struct skep_command *command)
{
    char name[64];
    struct skep_str word = skep_command_word(command, 1);

    snprintf(name, sizeof name, "%.*s", (int)word.len, word.ptr);
    if (skep_resolve(s->module, name, resolved, command) < 0)
        skep_command_fail(command, "refused");
}

static void on_command(struct skep_command *command, void *self)
{
    char json[128];

    if (skep_str_eq(skep_command_word(command, 0), SKEP_STR("reload"))) {
        skep_request_reload(((struct subject *)self)->module);
        skep_command_answer(command, SKEP_STR("true"));
        return;
    }
    if (skep_str_eq(skep_command_word(command, 0), SKEP_STR("resolve"))) {
        resolve(self, command);
        return;
    }

    if (skep_str_eq(skep_command_word(command, 0), SKEP_STR("put"))) {
        put(self, command);
        return;
    }
    if (skep_str_eq(skep_command_word(command, 0), SKEP_STR("get"))) {
        get(self, command);
        return;
    }
    if (!skep_str_eq(skep_command_word(command, 0), SKEP_STR("count"))) {
        skep_command_fail(command, "count is all there is");
        return;
    }
    snprintf(json, sizeof json, "{\"words\":%zu}", skep_command_words(command));
    skep_command_answer(command, skep_str(json));
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("subject", "1.0", "what the harness is tested with"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .events = SKEP_EVENT_BIT(SKEP_EVENT_CONNECTED) | SKEP_EVENT_BIT(SKEP_EVENT_DISCONNECTED) |
              SKEP_EVENT_BIT(SKEP_EVENT_ALARM),
    .check = check,
    .load = load,
    .warm = warm,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_connect = on_connect,
    .on_auth = on_auth,
    .on_subscribe = on_subscribe,
    .on_publish = on_publish,
    .on_deliver = on_deliver,
    .on_message = on_message,
    .on_event = on_event,
    .on_command = on_command,
};
