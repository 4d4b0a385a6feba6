/* skepctl pub: publishes, waits for what the QoS promises, and with --request for the answer. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "ctl/command.h"
#include "ctl/dial.h"
#include "ctl/format.h"
#include "ctl/source.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

struct pub {
    struct dial dial;
    struct source source;
    struct format format;
    const char *topic;
    uint32_t qos, timeout_ms, topic_alias, answers;
    bool retain, utf8, request;
    uint32_t expiry;
    const char *content_type, *response_topic, *correlation;
    struct arg_list user_props;

    struct client *client;
    struct mqtt_publish message; /* the parts that all messages share */
    struct bytes props;
    char reply_topic[100], correlation_made[40];
    bool subscribed, refused, alias_known;
    bool lonely; /* said that nobody subscribes: once is enough */
    uint32_t answered;
    uint64_t deadline; /* monotonic milliseconds; 0: none */
};

#define P(kind, key, name, field, value, help)                                                     \
    ARG_FIELD(kind, key, name, struct pub, field, value, help)
#define N(key, name, field, value, lo, hi, help)                                                   \
    ARG_RANGE(ARG_NUMBER, key, name, struct pub, field, value, lo, hi, help)

static const struct arg_option pub_options[] = {
    P(ARG_TEXT, 't', "topic", topic, "TOPIC", "the topic to publish to"),
    N('q', "qos", qos, "QOS", 0, 2, "0 at most once (default), 1 at least once, 2 exactly once"),
    P(ARG_ON, 'r', "retain", retain, NULL, "the broker keeps it for those who subscribe later"),
    P(ARG_SECONDS, 'W', "timeout", timeout_ms, "SECONDS",
      "give up when it is not all acknowledged (or answered) by then; exit status 27"),
    ARG_HEADING("Properties of the message (MQTT 5)"),
    P(ARG_TEXT, 0, "content-type", content_type, "TYPE", "such as application/json"),
    P(ARG_ON, 0, "utf8", utf8, NULL, "say that the payload is UTF-8 text"),
    N(0, "message-expiry", expiry, "SECONDS", 0, UINT32_MAX - 1, "drop it when it gets this old"),
    P(ARG_TEXT, 0, "response-topic", response_topic, "TOPIC", "where an answer should go"),
    P(ARG_TEXT, 0, "correlation-data", correlation, "TEXT", "to tell answers apart"),
    N(0, "topic-alias", topic_alias, "NUMBER", 1, 65535,
      "send the topic once and this number after that"),
    P(ARG_LIST, 0, "property", user_props, "NAME=VALUE", "user property; may be repeated"),
    ARG_HEADING("Requests"),
    P(ARG_ON, 0, "request", request, NULL,
      "subscribe to the response topic (default: one of our own), wait for the answer, print it"),
    N('C', "count", answers, "COUNT", 1, UINT32_MAX, "how many answers to wait for (default 1)"),
    ARG_LAST,
};

#undef P
#undef N

static const struct arg_property pub_properties[] = {
    {"publish", "content-type", "content-type"},
    {"publish", "response-topic", "response-topic"},
    {"publish", "correlation-data", "correlation-data"},
    {"publish", "message-expiry-interval", "message-expiry"},
    {"publish", "topic-alias", "topic-alias"},
    {"publish", "user-property", "property"},
    {"connect", "session-expiry-interval", "session-expiry"},
    {"connect", "receive-maximum", "receive-maximum"},
    {"connect", "maximum-packet-size", "maximum-packet-size"},
    {"connect", "topic-alias-maximum", "topic-alias-maximum"},
    {"connect", "user-property", "connect-property"},
    {"will", "will-delay-interval", "will-delay"},
    {"will", "message-expiry-interval", "will-expiry"},
    {"will", "content-type", "will-content-type"},
    {"will", "response-topic", "will-response-topic"},
    {"will", "correlation-data", "will-correlation-data"},
    {"will", "user-property", "will-property"},
    {NULL, NULL, NULL},
};

/* -- Before connecting -- */

static int props_check(const struct pub *p, const struct arg_command *command)
{
    bool any = p->content_type || p->utf8 || p->expiry != UINT32_MAX || p->correlation ||
               p->topic_alias || p->user_props.count || (p->response_topic && !p->request);

    if (any && p->dial.conf.connect.version != MQTT_50)
        return arg_error(command, "properties of the message need MQTT 5 (-V 5)");
    if (p->request && !p->response_topic && p->dial.conf.connect.version != MQTT_50)
        return arg_error(command, "--request needs MQTT 5, or a --response-topic that the other "
                                  "side knows");
    if ((p->content_type && strlen(p->content_type) > 65535) ||
        (p->correlation && strlen(p->correlation) > 65535))
        return arg_error(command, "a property is longer than 65535 bytes");
    return 0;
}

static int topic_check(const struct arg_command *command, const char *name, const char *topic)
{
    enum topic_fault fault = topic_name_check(str_of(topic), UINT16_MAX);

    if (fault == TOPIC_OK)
        return 0;
    return arg_error(command, "%s '%s': %s", name, topic, topic_fault_text(fault));
}

static int pub_prepare(struct pub *p, const struct arg_command *command)
{
    const char *url_topic;

    if (command->word_count > 0)
        return arg_error(command,
                         "'%s' is no option; the topic is given with -t, the message "
                         "with -m",
                         command->words[0]);
    if (dial_finish(&p->dial, command, &url_topic) < 0)
        return -1;
    if (!p->topic)
        p->topic = url_topic;
    if (!p->topic)
        return arg_error(command, "publish where?  Give -t TOPIC");
    if (topic_check(command, "-t", p->topic) < 0 || props_check(p, command) < 0)
        return -1;
    if (p->response_topic && topic_check(command, "--response-topic", p->response_topic) < 0)
        return -1;
    if (format_check(&p->format, command) < 0 || source_open(&p->source, command) < 0)
        return -1;
    return dial_put_user_props(&p->props, &p->user_props, command);
}

/* Called once connected: the reply topic names our client id. */
static void request_prepare(struct pub *p)
{
    if (!p->request)
        return;
    if (!p->response_topic) {
        uint64_t random = rand_u64();

        snprintf(p->reply_topic, sizeof p->reply_topic, "skepctl/reply/%016llx",
                 (unsigned long long)random);
        p->response_topic = p->reply_topic;
    }
    if (!p->correlation && p->dial.conf.connect.version == MQTT_50) {
        snprintf(p->correlation_made, sizeof p->correlation_made, "%016llx",
                 (unsigned long long)rand_u64());
        p->correlation = p->correlation_made;
    }
}

static void message_prepare(struct pub *p)
{
    p->message = (struct mqtt_publish){
        .topic = str_of(p->topic),
        .topic_alias = (uint16_t)p->topic_alias,
        .qos = (uint8_t)p->qos,
        .retain = p->retain,
        .payload_format = p->utf8,
        .expiry = p->expiry,
        .props = bytes_str(&p->props),
        .content_type = str_of(p->content_type),
        .correlation_data = str_of(p->correlation),
    };
    if (p->dial.conf.connect.version == MQTT_50)
        p->message.response_topic = str_of(p->response_topic);
}

/* -- What the broker says -- */

static void on_published(void *arg, const struct mqtt_ack *ack)
{
    struct pub *p = arg;

    if (ack->reason >= 0x80) {
        p->refused = true;
        fprintf(stderr, "skepctl pub: the broker refused a message: %s (0x%02X)%s%.*s\n",
                mqtt_reason_text(ack->reason), ack->reason, ack->reason_string.len ? ": " : "",
                STR_ARG(ack->reason_string));
    } else if (ack->reason == RC_NO_SUBSCRIBERS && !p->dial.quiet && !p->retain && !p->lonely) {
        p->lonely = true;
        fprintf(stderr, "skepctl pub: accepted; nobody subscribes to this topic\n");
    }
}

static void on_subscribed(void *arg, const struct mqtt_suback *ack)
{
    struct pub *p = arg;
    uint8_t code = (uint8_t)ack->codes.ptr[0];

    p->subscribed = true;
    if (code >= 0x80) {
        p->refused = true;
        fprintf(stderr, "skepctl pub: the broker refused the subscription to %s: %s (0x%02X)\n",
                p->response_topic, mqtt_reason_text(code), code);
    }
}

static bool on_message(void *arg, const struct mqtt_publish *m)
{
    struct pub *p = arg;

    if (p->correlation && m->correlation_data.ptr &&
        !str_eq(m->correlation_data, str_of(p->correlation)))
        return true; /* an answer to somebody else's request on a shared topic */
    format_message(stdout, &p->format, m);
    return ++p->answered < p->answers;
}

static void on_trace(void *arg, bool sent, const struct mqtt_frame *frame)
{
    const struct pub *p = arg;

    if (p->dial.debug)
        dial_trace(sent, frame);
}

/* -- Doing it -- */

static enum ctl_status pub_fail(enum ctl_status status, const struct fault *fault)
{
    fflush(stdout);
    fault_print(fault, "skepctl pub");
    return status;
}

static bool pub_late(const struct pub *p)
{
    return p->deadline && clock_mono_ms() >= p->deadline;
}

/* How long a turn may wait: for the next message or the deadline. */
static int pub_wait_ms(const struct pub *p, bool more)
{
    int wait = more && client_has_room(p->client) ? source_wait_ms(&p->source) : -1;
    uint64_t now = clock_mono_ms();

    if (p->deadline) {
        int left = p->deadline > now ? (int)(p->deadline - now) : 0;

        if (wait < 0 || left < wait)
            wait = left;
    }
    return wait;
}

static enum ctl_status request_subscribe(struct pub *p, struct fault *fault)
{
    struct mqtt_subscription sub = {.filter = str_of(p->response_topic), .qos = 1};

    client_subscribe(p->client, &sub, 1, 0, STR_NONE);
    while (!p->subscribed) {
        if (pub_late(p)) {
            fault_set(fault, "the subscription for the answer was not acknowledged in time");
            return CTL_TIMEOUT;
        }
        if (client_turn(p->client, -1, pub_wait_ms(p, false), fault) < 0)
            return CTL_LOST;
    }
    return CTL_OK;
}

/* Publishes what is due and fits.  1 while there will be more, 0 at the end, -1 with fault. */
static int publish_due(struct pub *p, struct fault *fault)
{
    while (client_has_room(p->client)) {
        int due = source_next(&p->source, &p->message.payload);

        if (due <= 0)
            return due == 0;
        p->message.topic = p->alias_known ? STR("") : str_of(p->topic);
        if (client_publish(p->client, &p->message, fault) < 0)
            return -1;
        p->alias_known = p->topic_alias != 0;
    }
    return 1;
}

static bool pub_done(const struct pub *p, int more)
{
    return !more && client_inflight(p->client) == 0 && (!p->request || p->answered >= p->answers);
}

static enum ctl_status pub_run(struct pub *p, struct fault *fault)
{
    int more = 1;

    for (;;) {
        int ready, fd;

        if (more && (more = publish_due(p, fault)) < 0)
            return CTL_REFUSED;
        if (pub_done(p, more))
            break;
        if (pub_late(p)) {
            fault_set(fault, p->request ? "no answer within %.3g s" : "not acknowledged in %.3g s",
                      p->timeout_ms / 1e3);
            return CTL_TIMEOUT;
        }
        fd = more && client_has_room(p->client) ? source_fd(&p->source) : -1;
        ready = client_turn(p->client, fd, pub_wait_ms(p, more), fault);
        if (ready < 0)
            return CTL_LOST;
        if (ready & LINK_EXTRA && source_read(&p->source, fault) < 0)
            return CTL_FAILED;
    }
    if (client_drain(p->client, fault) < 0)
        return CTL_LOST;
    client_close(p->client, RC_SUCCESS);
    return p->refused ? CTL_REFUSED : CTL_OK;
}

static enum ctl_status pub_connected(struct pub *p)
{
    struct fault fault = {0};
    enum ctl_status status;
    struct client_events events = {
        .arg = p,
        .on_message = on_message,
        .on_published = on_published,
        .on_subscribed = on_subscribed,
        .on_trace = p->dial.debug ? on_trace : NULL,
    };

    p->deadline = p->timeout_ms ? clock_mono_ms() + p->timeout_ms : 0;
    status = client_open(&p->client, &p->dial.conf, &events, &fault);
    if (status != CTL_OK)
        return pub_fail(status, &fault);
    request_prepare(p);
    message_prepare(p);
    if (p->request)
        status = request_subscribe(p, &fault);
    if (status == CTL_OK && !p->refused)
        status = pub_run(p, &fault);
    client_free(&p->client);
    if (p->refused)
        return CTL_REFUSED; /* said when it happened */
    return status == CTL_OK ? CTL_OK : pub_fail(status, &fault);
}

int pub_command(int argc, char **argv)
{
    struct pub p = {.answers = 1, .expiry = UINT32_MAX};
    struct arg_command command = {
        .name = "skepctl pub",
        .usage = "-t TOPIC -m MESSAGE [OPTIONS]",
        .summary = "Publishes one message or many.  At QoS 1 and 2 it ends when the broker has "
                   "acknowledged all of them.",
        .after = "Examples:\n"
                 "  skepctl pub -t sensors/kitchen/temp -m 21.5 -q 1 -r\n"
                 "  tail -f log | skepctl pub -t logs/web -l\n"
                 "  skepctl pub -t rpc/time --request -m now -W 5\n",
        .sets = {{pub_options, &p},
                 {source_options, &p.source},
                 {format_options, &p.format},
                 {dial_options, &p.dial}},
        .properties = pub_properties,
    };
    int status;

    dial_init(&p.dial);
    status = arg_parse(&command, argc, argv);
    if (status == 0)
        status = pub_prepare(&p, &command) < 0 ? -1 : 0;
    if (status == 0)
        status = (int)pub_connected(&p);
    else
        status = status > 0 ? CTL_OK : CTL_USAGE;
    source_fini(&p.source);
    bytes_fini(&p.props);
    arg_list_fini(&p.user_props);
    dial_fini(&p.dial);
    arg_command_fini(&command);
    return status;
}
