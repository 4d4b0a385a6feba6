/* acl_http: an HTTP service decides who may publish and subscribe where.
 *
 *     load acl_http { url https://auth.internal/acl; cache_allow 5m; }
 *
 * Each topic a client publishes to, each filter it subscribes to and its will are asked about once,
 * and then remembered for cache_allow or cache_deny.  Receiving is not asked about: on_deliver has
 * to answer at once.  Who may subscribe to a filter may have what matches it. */
#include <skep/module.h>

#include "lib_http_decision/ask.h"

static const struct skep_option options[] = {
    ASK_OPTIONS,
    SKEP_DURATION(struct ask_conf, cache_allow, "1m", .help = "how long an allow is remembered"),
    SKEP_DURATION(struct ask_conf, cache_deny, "10s",
                  .help = "how long a deny or ignore is remembered"),
    {0},
};

static const char *const fields[][2] = {{"clientid", "%c"}, {"username", "%u"}, {"peerhost", "%a"},
                                        {"action", "%A"},   {"topic", "%t"},    {NULL, NULL}};

static enum skep_verdict apply(struct skep_request *r, const struct answer *a,
                               const struct ask_conf *conf)
{
    if (a->qos >= 0 && skep_stage(r) == SKEP_STAGE_SUBSCRIBE)
        skep_subscribe_set_qos(r, (unsigned)a->qos);
    return skep_allow(r);
}

static const struct ask_kind kind = {
    .fields = fields,
    .allowed = 1 << VAR_CLIENT_ID | 1 << VAR_USERNAME | 1 << VAR_ADDRESS | 1 << VAR_LISTENER |
               1 << VAR_PROTOCOL | 1 << VAR_CERT_CN | 1 << VAR_CERT_SUBJECT | 1 << VAR_TOPIC |
               1 << VAR_ACTION | 1 << VAR_QOS | 1 << VAR_RETAIN | 1 << VAR_GROUP |
               1 << VAR_ATTRIBUTE,
    .apply = apply,
};

static struct skep_str qos_text(unsigned qos)
{
    return skep_str(qos == 0 ? "0" : qos == 1 ? "1" : "2");
}

static enum skep_verdict on_publish(struct skep_request *r, void *self)
{
    struct inputs in = ask_inputs(skep_request_client(r));

    in.values[VAR_ACTION] = SKEP_STR("publish");
    in.values[VAR_TOPIC] = skep_publish_topic(r);
    in.values[VAR_QOS] = qos_text(skep_publish_qos(r));
    in.values[VAR_RETAIN] = skep_str(skep_publish_retain(r) ? "true" : "false");
    return ask_decide(self, r, &in);
}

static enum skep_verdict on_subscribe(struct skep_request *r, void *self)
{
    struct inputs in = ask_inputs(skep_request_client(r));

    in.values[VAR_ACTION] = SKEP_STR("subscribe");
    in.values[VAR_TOPIC] = skep_subscribe_filter(r);
    in.values[VAR_GROUP] = skep_subscribe_group(r);
    in.values[VAR_QOS] = qos_text(skep_subscribe_qos(r));
    in.values[VAR_RETAIN] = SKEP_STR("false");
    return ask_decide(self, r, &in);
}

static void check(const void *conf, struct skep_report *report)
{
    ask_check(conf, &kind, report);
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    *self = ask_new(m, conf, &kind, report);
    return *self ? 0 : SKEP_E_INVALID;
}

static void start(void *self, void *previous)
{
    ask_start(self, previous);
}

static void unload(void *self)
{
    struct ask *a = self;
    ask_free(&a);
}

static void on_command(struct skep_command *command, void *self)
{
    ask_command(self, command);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("acl_http", "1.0", "asks an HTTP service who may publish and subscribe"),
    .flags = SKEP_KEEP,
    .conf_size = sizeof(struct ask_conf),
    .options = options,
    .check = check,
    .load = load,
    .start = start,
    .unload = unload,
    .on_publish = on_publish,
    .on_subscribe = on_subscribe,
    .on_command = on_command,
};
