/* A module as somebody may have built it with the first SDK: it uses every hook, nearly every type
 * of option and many functions, and leaves a trace of all of it for frozen_test.c to look at: its
 * only way out are the SDK's own (verdicts, messages, metrics, commands, the log).
 *
 * frozen-x86_64.so was made of this file once, and of the headers in include/.  It is never made
 * again: see README.md. */
#include <skep/client.h>
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

struct limits {
    struct skep_block block;
    uint16_t most;
};

struct realm {
    struct skep_block block;
    struct skep_list users;
};

struct conf {
    bool flag;
    uint32_t number;
    uint64_t size;
    uint32_t duration;
    uint32_t rate;
    int choice;
    uint32_t set;
    const char *string, *path, *address;
    struct skep_secret secret;
    struct skep_list list;
    struct skep_lines lines;
    struct limits limits;
    struct skep_blocks realm;
};

static const struct skep_option limits_options[] = {
    SKEP_UINT(struct limits, most, "10", .min = 1, .max = 100),
    {0},
};

static const struct skep_option realm_options[] = {
    SKEP_LIST(struct realm, users, NULL),
    {0},
};

static const struct skep_option options[] = {
    SKEP_BOOL(struct conf, flag, "on", .help = "a flag"),
    SKEP_UINT(struct conf, number, "7"),
    SKEP_SIZE(struct conf, size, "64k"),
    SKEP_DURATION(struct conf, duration, "1500ms"),
    SKEP_RATE(struct conf, rate, "100/s"),
    SKEP_ENUM(struct conf, choice, "second", .choices = "first|second|third"),
    SKEP_SET(struct conf, set, "a c", .choices = "a|b|c"),
    SKEP_STRING(struct conf, string, SKEP_REQUIRED, .help = "any text"),
    SKEP_PATH(struct conf, path, NULL),
    SKEP_ADDRESS(struct conf, address, "127.0.0.1:9100"),
    SKEP_SECRET(struct conf, secret, NULL),
    SKEP_LIST(struct conf, list, "x y"),
    SKEP_LINES(struct conf, lines, NULL),
    SKEP_BLOCK(struct conf, limits, limits_options),
    SKEP_BLOCKS(struct conf, realm, realm_options, struct realm),
    {0},
};

struct frozen {
    struct skep_module *module;
    const struct conf *conf;
    struct skep_timer *timer;
    struct skep_counter *events;
    struct skep_gauge *ticks;
    struct skep_histogram *sizes;
    uint64_t token;
    bool took_over;
};

/* -- Life -- */

static void check(const void *self, struct skep_report *report)
{
    const struct conf *conf = self;

    if (conf->number == 13)
        skep_report(report, NULL, "take another", "%u brings bad luck", conf->number);
    if (conf->number == 12)
        skep_report_warning(report, NULL, NULL, "%u is close", conf->number);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    static const double bounds[] = {10, 100, 1000};
    struct frozen *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    f->module = m;
    f->conf = conf;
    if (f->conf->number == 14) {
        skep_report(report, f->conf->list.places, NULL, "it cannot be loaded with 14");
        free(f);
        return -1;
    }
    if (f->conf->number == 11)
        skep_module_narrow(m, 1 << SKEP_STAGE_CONNECT, 0);
    f->events = skep_counter(m, "events", "kind=\"any\"", "events seen");
    f->ticks = skep_gauge(m, "ticks", NULL, "timer calls");
    f->sizes = skep_histogram(m, "sizes", NULL, "payloads", bounds, 3);
    *self = f;
    return 0;
}

static void warm(void *self, struct skep_warm *warm)
{
    (void)self;
    skep_warm_done(warm, NULL);
}

static void tick(void *arg)
{
    struct frozen *f = arg;

    skep_gauge_add(f->ticks, 1);
    skep_timer_set(f->timer, f->conf->duration);
}

static void start(void *self, void *previous)
{
    struct frozen *f = self;

    f->took_over = previous != NULL;
    f->timer = skep_timer_new(f->module, tick, f);
    skep_timer_set(f->timer, f->conf->duration);
    skep_log(f->module, SKEP_LOG_INFO, "started %s", skep_module_name(f->module));
}

static void stop(void *self)
{
    struct frozen *f = self;

    skep_timer_cancel(f->timer);
    skep_log(f->module, SKEP_LOG_INFO, "stopped");
}

static void unload(void *self)
{
    struct frozen *f = self;

    skep_timer_free(f->timer);
    free(f);
}

/* -- CONNECT -- */

static enum skep_verdict then_allow(struct skep_request *r, void *self)
{
    (void)self;
    return skep_allow(r);
}

static enum skep_verdict http_answered(struct skep_request *r, const struct skep_http_reply *reply,
                                       void *self)
{
    (void)self;
    if (reply->error || reply->status != 200 || reply->timed_out)
        return skep_deny(r, SKEP_RC_UNAVAILABLE, reply->error);
    if (!skep_str_eq(skep_http_reply_header(reply, "x-frozen"), SKEP_STR("yes")))
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, "no header");
    return skep_str_eq(reply->body, SKEP_STR("body")) ? skep_allow(r) : SKEP_ERROR;
}

static enum skep_verdict ask(struct skep_request *r)
{
    const struct skep_http_header headers[] = {{SKEP_STR("X-Client"), skep_connect_client_id(r)}};
    struct skep_http_request request = {.size = sizeof request,
                                        .timeout_ms = 1000,
                                        .method = "PUT",
                                        .url = "http://frozen.test/ask",
                                        .body = skep_connect_password(r),
                                        .content_type = "text/plain",
                                        .headers = headers,
                                        .header_count = 1,
                                        .bearer = SKEP_STR("b"),
                                        .max_per_host = 2,
                                        .max_reply = 100,
                                        .single_flight = SKEP_STR("key")};
    return skep_wait_http(r, &request, http_answered);
}

static void work(void *data)
{
    *(int *)data += 1;
}

static enum skep_verdict worked(struct skep_request *r, void *self)
{
    int *word = *skep_request_data(r);

    (void)self;
    return *word == 42 ? skep_allow(r) : SKEP_ERROR;
}

static enum skep_verdict begin_job(struct skep_request *r)
{
    int *word = skep_request_memory(r, sizeof *word);

    if (!word)
        return SKEP_ERROR;
    *word = 41;
    *skep_request_data(r) = word;
    return skep_wait_job(r, work, word, NULL, worked);
}

/* "rich" gets all that a module can give. */
static enum skep_verdict make_rich(struct skep_request *r)
{
    skep_connect_set_username(r, SKEP_STR("croesus"));
    skep_connect_set_attribute(r, "metal", SKEP_STR("gold"));
    skep_connect_set_quota(r, SKEP_QUOTA_MESSAGE_RATE, 1000);
    skep_connect_add_rule(r, false, SKEP_MAY_PUBLISH, SKEP_STR("poor/%u/#"));
    skep_connect_set_expiry(r, skep_wall_ms() + 3600000);
    return skep_allow(r);
}

static enum skep_verdict on_connect(struct skep_request *r, void *self)
{
    struct frozen *f = self;
    struct skep_str user = skep_connect_username(r);

    if (skep_stage(r) != SKEP_STAGE_CONNECT || skep_request_module(r) != f->module)
        return SKEP_ERROR;
    if (skep_str_eq(user, SKEP_STR("http")))
        return ask(r);
    if (skep_str_eq(user, SKEP_STR("job")))
        return begin_job(r);
    if (skep_str_eq(user, SKEP_STR("ms")))
        return skep_wait_ms(r, 100, then_allow);
    if (skep_str_eq(user, SKEP_STR("token")))
        return skep_wait_token(r, &f->token, NULL, then_allow);
    if (skep_str_eq(user, SKEP_STR("rich")))
        return make_rich(r);
    if (skep_str_eq(user, SKEP_STR("plain")) &&
        skep_str_eq_secret(skep_connect_password(r), f->conf->secret.value))
        return skep_allow(r);
    if (skep_connect_has_username(r))
        return skep_deny(r, SKEP_RC_BANNED, f->conf->string);
    return SKEP_NEXT;
}

struct exchange {
    unsigned rounds;
};

static enum skep_verdict on_auth(struct skep_request *r, void *self)
{
    struct exchange *x = skep_auth_state(r);

    (void)self;
    if (!skep_str_eq(skep_auth_method(r), SKEP_STR("FROZEN")))
        return SKEP_NEXT;
    if (!x) {
        x = calloc(1, sizeof *x);
        skep_auth_set_state(r, x, free);
    }
    skep_auth_reply(r, skep_auth_data(r));
    return x->rounds++ < 1 ? SKEP_CONTINUE : skep_allow(r);
}

/* -- Topics -- */

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    (void)self;
    if (skep_subscribe_group(r).len > 0)
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, "no groups");
    skep_subscribe_set_qos(r, skep_subscribe_qos(r) ? 1 : 0);
    skep_cacheable(r);
    return skep_topic_valid(skep_subscribe_filter(r), false) ? skep_allow(r) : SKEP_ERROR;
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    struct frozen *f = self;

    skep_histogram_add(f->sizes, (double)skep_publish_payload(r).len);
    if (!skep_topic_matches(SKEP_STR("open/#"), skep_publish_topic(r))) {
        skep_note(r, "frozen.c", 1, "not open");
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
    }
    return skep_allow(r);
}

static enum skep_verdict on_will(struct skep_request *r, void *self)
{
    (void)self;
    return skep_publish_retain(r) ? skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL) : skep_allow(r);
}

static enum skep_verdict on_deliver(struct skep_request *r, void *self)
{
    (void)self;
    if (skep_publish_qos(r) == 2)
        return skep_deny(r, SKEP_RC_NOT_AUTHORIZED, NULL);
    return SKEP_NEXT;
}

static void echo(struct frozen *f, struct skep_str payload)
{
    struct skep_message message = {
        .size = sizeof message, .topic = SKEP_STR("frozen/echo"), .payload = payload, .qos = 1};
    skep_publish(f->module, &message, NULL, NULL, NULL);
}

static enum skep_verdict on_message(struct skep_request *r, void *self)
{
    struct skep_str topic = skep_publish_topic(r);

    if (skep_str_eq(topic, SKEP_STR("open/drop")))
        return skep_drop(r, "frozen");
    if (skep_str_eq(topic, SKEP_STR("open/echo")))
        echo(self, skep_publish_payload(r));
    if (!skep_str_eq(topic, SKEP_STR("open/change")))
        return SKEP_NEXT;
    skep_message_copy_to(r, SKEP_STR("open/copy"));
    skep_message_set_topic(r, SKEP_STR("open/changed"));
    skep_message_set_payload(r, SKEP_STR("changed"));
    skep_message_set_qos(r, 0);
    skep_message_set_retain(r, false);
    skep_message_set_expiry(r, 60);
    skep_message_set_property(r, SKEP_PROP_CONTENT_TYPE, SKEP_STR("text/plain"));
    skep_message_clear_user_properties(r);
    skep_message_add_user_property(r, SKEP_STR("by"), SKEP_STR("frozen"));
    return SKEP_NEXT;
}

/* -- What happens, and what is asked -- */

static void on_event(const struct skep_event *event, void *self)
{
    struct frozen *f = self;

    skep_counter_add(f->events, 1);
    skep_log(f->module, SKEP_LOG_INFO, "event %s client %.*s", skep_event_text(event->kind),
             event->client ? (int)skep_client_id(event->client).len : 0,
             event->client ? skep_client_id(event->client).ptr : "");
}

static void stored(void *arg, int error)
{
    skep_command_answer(arg, error ? SKEP_STR("false") : SKEP_STR("true"));
}

static void put(struct frozen *f, struct skep_command *c)
{
    int err =
        skep_storage_set(f->module, skep_command_word(c, 1), skep_command_word(c, 2), stored, c);
    if (err < 0)
        skep_command_fail(c, "%s", skep_error_text(err));
}

static void get(struct frozen *f, struct skep_command *c)
{
    char value[64], json[80];
    int64_t len = skep_storage_get(f->module, skep_command_word(c, 1), value, sizeof value);

    if (len < 0 || len > (int64_t)sizeof value) {
        skep_command_fail(c, "%s", skep_error_text((int)len));
        return;
    }
    snprintf(json, sizeof json, "\"%.*s\"", (int)len, value);
    skep_command_answer(c, skep_str(json));
}

/* The options as they came, one string for all. */
static void show(const struct frozen *f, struct skep_command *c)
{
    const struct conf *o = f->conf;
    const struct realm *realm = o->realm.count ? o->realm.items[0] : NULL;
    char json[512];

    snprintf(json, sizeof json, "\"%d %u %llu %u %u %d %u %s %s %.*s %zu %zu %u %zu:%s:%zu %d\"",
             o->flag, o->number, (unsigned long long)o->size, o->duration, o->rate, o->choice,
             o->set, o->string, o->address, (int)o->secret.value.len,
             o->secret.value.ptr ? o->secret.value.ptr : "", o->list.count, o->lines.count,
             o->limits.most, o->realm.count, realm ? realm->block.label : "",
             realm ? realm->users.count : 0, f->took_over);
    skep_command_answer(c, skep_str(json));
}

static void on_command(struct skep_command *c, void *self)
{
    struct frozen *f = self;
    struct skep_str word = skep_command_word(c, 0);

    if (skep_str_eq(word, SKEP_STR("show")))
        show(f, c);
    else if (skep_str_eq(word, SKEP_STR("put")) && skep_command_words(c) == 3)
        put(f, c);
    else if (skep_str_eq(word, SKEP_STR("get")))
        get(f, c);
    else if (skep_str_eq(word, SKEP_STR("complete")))
        skep_command_answer(c,
                            skep_complete(f->token, NULL) ? SKEP_STR("true") : SKEP_STR("false"));
    else if (skep_str_eq(word, SKEP_STR("reload"))) {
        skep_request_reload(f->module);
        skep_command_answer(c, SKEP_STR("true"));
    } else
        skep_command_fail(c, "show, put, get, complete or reload");
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("frozen", "1.0", "built with the first SDK"),
    .events = SKEP_EVENT_BIT(SKEP_EVENT_CONNECTED) | SKEP_EVENT_BIT(SKEP_EVENT_DISCONNECTED),
    .conf_size = sizeof(struct conf),
    .options = options,
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
    .on_will = on_will,
    .on_deliver = on_deliver,
    .on_message = on_message,
    .on_event = on_event,
    .on_command = on_command,
};
