/* skepctl sub: subscribes and prints what arrives, through lost connections and restarts of the
 * broker, until -C messages came, -W passed or it is interrupted. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "ctl/command.h"
#include "ctl/dial.h"
#include "ctl/format.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum { BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 30000, SUBSCRIBE_MAX = 100000 };

struct sub {
    struct dial dial;
    struct format format;
    struct arg_list filters, filter_out, unsubscribe, user_props;
    const char *share, *retain_handling_name;
    uint32_t qos, count, timeout_ms, subscription_id, retain_handling, sample;
    bool no_retained, retained_only, remove_retained, exit_subscribed;
    bool no_local, retain_as_published, no_reconnect;

    struct client *client;
    struct bytes props;
    struct mqtt_subscription *subs;
    struct str *unsubs;
    char **shared; /* "$share/NAME/FILTER" made from --share; freed with subs */
    int signals;   /* descriptor */
    uint32_t printed;
    unsigned answers_due; /* SUBACK and UNSUBACK */
    bool done, refused, interrupted, once_connected;
    uint64_t deadline;
};

#define S(kind, key, name, field, value, help)                                                     \
    ARG_FIELD(kind, key, name, struct sub, field, value, help)
#define N(key, name, field, value, lo, hi, help)                                                   \
    ARG_RANGE(ARG_NUMBER, key, name, struct sub, field, value, lo, hi, help)

static const struct arg_option sub_options[] = {
    S(ARG_LIST, 't', "topic", filters, "FILTER",
      "topic filter: + is any one level, # at the end all below; may be repeated"),
    N('q', "qos", qos, "QOS", 0, 2, "highest QoS to receive (default 0)"),
    N('C', "count", count, "COUNT", 1, UINT32_MAX, "end after this many messages"),
    S(ARG_SECONDS, 'W', "timeout", timeout_ms, "SECONDS",
      "end after this time; exit status 27 if -C is not reached (or nothing arrived)"),
    S(ARG_ON, 'E', "exit-after-subscribe", exit_subscribed, NULL,
      "end once subscribed: with -i and -c (or -x) it leaves a session behind"),
    S(ARG_LIST, 'U', "unsubscribe", unsubscribe, "FILTER", "unsubscribe first; may be repeated"),
    S(ARG_TEXT, 0, "share", share, "NAME",
      "share the messages among all who name this group (same as -t '$share/NAME/FILTER')"),
    S(ARG_ON, 0, "no-reconnect", no_reconnect, NULL, "end when the connection is lost"),
    ARG_HEADING("Which messages"),
    S(ARG_LIST, 'T', "filter-out", filter_out, "FILTER", "do not show these; may be repeated"),
    S(ARG_ON, 'R', "no-retained", no_retained, NULL, "do not show retained messages"),
    S(ARG_ON, 0, "retained-only", retained_only, NULL,
      "show retained messages only, and end at the first that is not"),
    S(ARG_ON, 0, "remove-retained", remove_retained, NULL,
      "delete each retained message at the broker once it is shown"),
    N(0, "random-filter", sample, "PERCENT", 1, 100, "show this share of the messages"),
    ARG_HEADING("Subscription options (MQTT 5)"),
    S(ARG_ON, 0, "no-local", no_local, NULL, "not what this client publishes itself"),
    S(ARG_ON, 0, "retain-as-published", retain_as_published, NULL,
      "leave the retain flag as the publisher set it"),
    S(ARG_TEXT, 0, "retain-handling", retain_handling_name, "WHEN",
      "retained messages: always (default), new (only if the subscription is) or never"),
    N(0, "subscription-id", subscription_id, "NUMBER", 1, 268435455, "subscription identifier"),
    S(ARG_LIST, 0, "subscribe-property", user_props, "NAME=VALUE",
      "user property of SUBSCRIBE; may be repeated"),
    ARG_LAST,
};

#undef S
#undef N

static const struct arg_property sub_properties[] = {
    {"subscribe", "subscription-identifier", "subscription-id"},
    {"subscribe", "user-property", "subscribe-property"},
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

static int filters_check(const struct arg_command *command, const char *option,
                         const struct arg_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        enum topic_fault fault = topic_filter_check(str_of(list->items[i]), UINT16_MAX);

        if (fault != TOPIC_OK)
            return arg_error(command, "%s '%s': %s", option, list->items[i],
                             topic_fault_text(fault));
    }
    return 0;
}

static int version_check(const struct sub *s, const struct arg_command *command)
{
    const char *what = s->no_local              ? "--no-local"
                       : s->retain_as_published ? "--retain-as-published"
                       : s->retain_handling     ? "--retain-handling"
                       : s->subscription_id     ? "--subscription-id"
                       : s->user_props.count    ? "--subscribe-property"
                                                : NULL;

    if (what && s->dial.conf.connect.version != MQTT_50)
        return arg_error(command, "%s needs MQTT 5 (-V 5)", what);
    return 0;
}

static int retain_handling_set(struct sub *s, const struct arg_command *command)
{
    static const char *const names[] = {"always", "new", "never"};

    if (!s->retain_handling_name)
        return 0;
    for (uint32_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(s->retain_handling_name, names[i]) == 0) {
            s->retain_handling = i;
            return 0;
        }
    }
    return arg_error(command, "--retain-handling: '%s' is none of always, new, never",
                     s->retain_handling_name);
}

static int subs_make(struct sub *s, const struct arg_command *command)
{
    s->subs = xcalloc(s->filters.count + 1, sizeof *s->subs);
    s->shared = xcalloc(s->filters.count + 1, sizeof *s->shared);
    s->unsubs = xcalloc(s->unsubscribe.count + 1, sizeof *s->unsubs);
    for (size_t i = 0; i < s->filters.count; i++) {
        const char *filter = s->filters.items[i];

        if (s->share) {
            if (asprintf(&s->shared[i], "$share/%s/%s", s->share, filter) < 0)
                return -1;
            filter = s->filters.items[i] = s->shared[i];
        }
        s->subs[i] = (struct mqtt_subscription){
            .filter = str_of(filter),
            .qos = (uint8_t)s->qos,
            .no_local = s->no_local,
            .retain_as_published = s->retain_as_published,
            .retain_handling = (uint8_t)s->retain_handling,
        };
    }
    for (size_t i = 0; i < s->unsubscribe.count; i++)
        s->unsubs[i] = str_of(s->unsubscribe.items[i]);
    return filters_check(command, "-t", &s->filters);
}

static int sub_prepare(struct sub *s, const struct arg_command *command)
{
    const char *url_topic;

    for (int i = 0; i < command->word_count; i++)
        arg_list_add(&s->filters, command->words[i]);
    if (dial_finish(&s->dial, command, &url_topic) < 0)
        return -1;
    if (url_topic)
        arg_list_add(&s->filters, url_topic);
    if (s->filters.count == 0 && s->unsubscribe.count == 0)
        return arg_error(command, "subscribe to what?  Give -t FILTER; -t '#' is everything");
    if (s->filters.count > SUBSCRIBE_MAX)
        return arg_error(command, "more than %d filters", SUBSCRIBE_MAX);
    if (s->no_retained && s->retained_only)
        return arg_error(command, "give either -R or --retained-only");
    if (retain_handling_set(s, command) < 0 || version_check(s, command) < 0 ||
        format_check(&s->format, command) < 0 || subs_make(s, command) < 0 ||
        filters_check(command, "-U", &s->unsubscribe) < 0 ||
        filters_check(command, "-T", &s->filter_out) < 0)
        return -1;
    return dial_put_user_props(&s->props, &s->user_props, command);
}

/* -- What the broker says -- */

static bool is_wanted(const struct sub *s, const struct mqtt_publish *m)
{
    if (s->no_retained && m->retain)
        return false;
    for (size_t i = 0; i < s->filter_out.count; i++) {
        if (topic_matches(str_of(s->filter_out.items[i]), m->topic))
            return false;
    }
    return s->sample == 0 || rand_u64() % 100 < s->sample;
}

static bool on_message(void *arg, const struct mqtt_publish *m)
{
    struct sub *s = arg;
    struct fault fault;

    if (s->retained_only && !m->retain) {
        s->done = true;
        return false;
    }
    if (!is_wanted(s, m))
        return true;
    format_message(stdout, &s->format, m);
    if (s->remove_retained && m->retain && m->payload.len > 0) {
        struct mqtt_publish clear = {.topic = m->topic, .retain = true, .expiry = UINT32_MAX};

        if (client_publish(s->client, &clear, &fault) < 0)
            fault_print(&fault, "skepctl sub");
    }
    s->printed++;
    s->done = s->count && s->printed >= s->count;
    return !s->done;
}

static void on_subscribed(void *arg, const struct mqtt_suback *ack)
{
    struct sub *s = arg;

    s->answers_due--;
    for (size_t i = 0; i < ack->codes.len && i < s->filters.count; i++) {
        uint8_t code = (uint8_t)ack->codes.ptr[i];

        if (code >= 0x80) {
            s->refused = true;
            fprintf(stderr, "skepctl sub: the broker refused '%s': %s (0x%02X)%s%.*s\n",
                    s->filters.items[i], mqtt_reason_text(code), code,
                    ack->reason_string.len ? ": " : "", STR_ARG(ack->reason_string));
        } else if (code < s->qos && !s->dial.quiet) {
            fprintf(stderr, "skepctl sub: '%s' is granted at QoS %u only\n", s->filters.items[i],
                    code);
        }
    }
}

static void on_unsubscribed(void *arg, const struct mqtt_suback *ack)
{
    struct sub *s = arg;

    s->answers_due--;
    for (size_t i = 0; i < ack->codes.len && i < s->unsubscribe.count; i++) {
        uint8_t code = (uint8_t)ack->codes.ptr[i];

        if (code != 0 && !s->dial.quiet)
            fprintf(stderr, "skepctl sub: unsubscribing '%s': %s\n", s->unsubscribe.items[i],
                    mqtt_reason_text(code));
    }
}

static void on_trace(void *arg, bool sent, const struct mqtt_frame *frame)
{
    dial_trace(sent, frame);
}

/* -- Doing it -- */

static bool sub_late(const struct sub *s)
{
    return s->deadline && clock_mono_ms() >= s->deadline;
}

static int sub_left_ms(const struct sub *s)
{
    uint64_t now = clock_mono_ms();

    if (!s->deadline)
        return -1;
    return s->deadline > now ? (int)(s->deadline - now) : 0;
}

static void sub_ask(struct sub *s)
{
    s->answers_due = 0;
    if (s->unsubscribe.count) {
        client_unsubscribe(s->client, s->unsubs, s->unsubscribe.count, STR_NONE);
        s->answers_due++;
    }
    if (s->filters.count) {
        client_subscribe(s->client, s->subs, s->filters.count, s->subscription_id,
                         bytes_str(&s->props));
        s->answers_due++;
    }
}

/* Whether there is nothing (more) to wait for. */
static bool sub_complete(const struct sub *s)
{
    if (s->done || s->interrupted || s->refused || sub_late(s))
        return true;
    return s->answers_due == 0 && (s->exit_subscribed || s->filters.count == 0);
}

/* One connection, from CONNECT to its end.  CTL_OK when the work is done. */
static enum ctl_status sub_connection(struct sub *s, struct fault *fault)
{
    struct client_events events = {
        .arg = s,
        .on_message = on_message,
        .on_subscribed = on_subscribed,
        .on_unsubscribed = on_unsubscribed,
        .on_trace = s->dial.debug ? on_trace : NULL,
    };
    enum ctl_status status = client_open(&s->client, &s->dial.conf, &events, fault);

    if (status != CTL_OK)
        return status;
    s->once_connected = true;
    sub_ask(s);
    while (!sub_complete(s)) {
        int ready = client_turn(s->client, s->signals, sub_left_ms(s), fault);

        if (fflush(stdout) != 0) {
            fault_set(fault, "cannot write: %s", strerror(errno));
            status = CTL_FAILED;
            break;
        }
        if (ready < 0 && !s->done) {
            status = CTL_LOST;
            break;
        }
        s->interrupted = ready > 0;
    }
    if (status == CTL_OK)
        client_close(s->client, RC_SUCCESS);
    client_free(&s->client);
    return status;
}

/* Waits before the next attempt; longer each time, and not all clients at the same moment. */
static void sub_back_off(struct sub *s, unsigned attempt)
{
    struct pollfd p = {.fd = s->signals, .events = POLLIN};
    unsigned wait = BACKOFF_FIRST_MS << (attempt > 6 ? 6 : attempt);
    int left = sub_left_ms(s);

    wait = wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait;
    wait = wait / 2 + (unsigned)(rand_u64() % (wait / 2 + 1));
    if (left >= 0 && (unsigned)left < wait)
        wait = (unsigned)left;
    s->interrupted = poll(&p, 1, (int)wait) > 0;
}

/* A lost connection is made again; the session, if it outlives connections, is continued. */
static bool sub_may_retry(struct sub *s, enum ctl_status status)
{
    struct mqtt_connect *c = &s->dial.conf.connect;

    if (s->no_reconnect || !s->once_connected || s->interrupted || sub_late(s))
        return false;
    if (c->session_expiry > 0)
        c->clean_start = false;
    return status == CTL_LOST || status == CTL_UNREACHABLE;
}

static enum ctl_status sub_run(struct sub *s, struct fault *fault)
{
    unsigned attempt = 0;

    s->deadline = s->timeout_ms ? clock_mono_ms() + s->timeout_ms : 0;
    for (;;) {
        enum ctl_status status = sub_connection(s, fault);

        if (status == CTL_OK) {
            bool enough = s->count ? s->done : s->printed > 0;

            if (s->refused)
                return CTL_REFUSED;
            return !s->done && !s->interrupted && sub_late(s) && !enough ? CTL_TIMEOUT : CTL_OK;
        }
        if (!sub_may_retry(s, status)) {
            if (!s->interrupted)
                fault_print(fault, "skepctl sub");
            return s->interrupted ? CTL_OK : sub_late(s) ? CTL_TIMEOUT : status;
        }
        if (!s->dial.quiet)
            fprintf(stderr, "skepctl sub: %s; trying again\n", fault->text);
        attempt = status == CTL_LOST ? 0 : attempt + 1;
        sub_back_off(s, attempt);
        if (s->interrupted)
            return CTL_OK;
    }
}

/* SIGINT and SIGTERM become a readable descriptor, so that none is missed before a wait. */
static int signals_open(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void sub_fini(struct sub *s)
{
    for (size_t i = 0; s->shared && i < s->filters.count; i++)
        free(s->shared[i]);
    free(s->shared);
    free(s->subs);
    free(s->unsubs);
    bytes_fini(&s->props);
    arg_list_fini(&s->filters);
    arg_list_fini(&s->filter_out);
    arg_list_fini(&s->unsubscribe);
    arg_list_fini(&s->user_props);
    dial_fini(&s->dial);
}

int sub_command(int argc, char **argv)
{
    struct sub s = {.signals = -1};
    struct fault fault = {0};
    struct arg_command command = {
        .name = "skepctl sub",
        .usage = "-t FILTER [OPTIONS]",
        .summary = "Subscribes and prints each message on a line.  A lost connection is made "
                   "again.  Ends on Ctrl-C, after -C messages or after -W seconds.",
        .after = "Examples:\n"
                 "  skepctl sub -v -t 'sensors/+/temp'\n"
                 "  skepctl sub -t '#' --json | jq .topic\n"
                 "  skepctl sub -q 1 -i logger -c -x never -t 'logs/#' -F '%I %t %p'\n",
        .sets = {{sub_options, &s}, {format_options, &s.format}, {dial_options, &s.dial}},
        .properties = sub_properties,
    };
    int status;

    dial_init(&s.dial);
    status = arg_parse(&command, argc, argv);
    if (status == 0)
        status = sub_prepare(&s, &command) < 0 ? -1 : 0;
    if (status == 0) {
        s.signals = signals_open();
        status = (int)sub_run(&s, &fault);
        close(s.signals);
    } else {
        status = status > 0 ? CTL_OK : CTL_USAGE;
    }
    sub_fini(&s);
    arg_command_fini(&command);
    return status;
}
