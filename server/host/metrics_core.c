/* The broker's own figures, under names that operators know: the ledger, and what there is now. */
#include <stdio.h>

#include "base/mem.h"
#include "core/broker.h"
#include "core/retained.h"
#include "core/sessions.h"
#include "core/subs.h"
#include "host/metrics.h"
#include "net/loop.h"

struct ledger_row {
    const char *name, *labels, *help;
    size_t at; /* in struct ledger_sum */
};

#define ROW(field, name_, labels_, help_)                                                          \
    {"skep_" name_ "_total", labels_, help_, offsetof(struct ledger_sum, field)},
#define HELP_DROPPED "Messages that never reached one receiver, by reason"
#define HELP_REFUSED "Messages handed in that were not accepted, by reason"
#define DROP_ROW(name_)                                                                            \
    {"skep_messages_dropped_total", "reason=\"" #name_ "\"", HELP_DROPPED,                         \
     offsetof(struct ledger_sum, dropped_##name_)},
#define REFUSAL_ROW(name_)                                                                         \
    {"skep_messages_refused_total", "reason=\"" #name_ "\"", HELP_REFUSED,                         \
     offsetof(struct ledger_sum, refused_##name_)},

/* clang-format off */
static const struct ledger_row rows[] = {
    ROW(bytes_received, "bytes_received", "", "Bytes of MQTT received from clients")
    ROW(bytes_sent, "bytes_sent", "", "Bytes of MQTT sent to clients")
    ROW(packets_received, "packets_received", "", "MQTT packets received")
    ROW(sent_publishes, "packets_sent", "kind=\"publish\"", "MQTT packets sent")
    ROW(sent_control, "packets_sent", "kind=\"control\"", "MQTT packets sent")
    ROW(connections_accepted, "connections_accepted", "", "Connections accepted by listeners")
    ROW(connects, "connects", "", "CONNECTs answered with success")
    ROW(connects_refused, "connects_refused", "", "CONNECTs refused")
    ROW(disconnects, "disconnects", "", "Established connections that ended")
    ROW(takeovers, "takeovers", "", "Connections ended by another with their client id")
    ROW(protocol_errors, "protocol_errors", "", "Connections closed for breaking the protocol")
    ROW(subscribes, "subscribes", "", "SUBSCRIBE packets")
    ROW(unsubscribes, "unsubscribes", "", "UNSUBSCRIBE packets")
    ROW(sessions_expired, "sessions_expired", "", "Sessions ended by their expiry")
    ROW(wills_published, "wills_published", "", "Wills published")
    ROW(received_qos0, "messages_received", "qos=\"0\"", "Messages handed in by clients and wills")
    ROW(received_qos1, "messages_received", "qos=\"1\"", "Messages handed in by clients and wills")
    ROW(received_qos2, "messages_received", "qos=\"2\"", "Messages handed in by clients and wills")
    ROW(accepted, "messages_accepted", "", "Messages accepted")
    ROW(accepted_unmatched, "messages_unmatched", "",
        "Messages accepted that nobody was subscribed to")
    ROW(accepted_dropped, "messages_dropped_by_modules", "", "Messages accepted that a module dropped")
    LEDGER_REFUSALS(REFUSAL_ROW)
    ROW(routed, "messages_routed", "", "Messages times their receivers")
    ROW(delivered_qos0, "messages_delivered", "qos=\"0\"",
        "Messages sent (QoS 0) or acknowledged, by receiver")
    ROW(delivered_qos1, "messages_delivered", "qos=\"1\"",
        "Messages sent (QoS 0) or acknowledged, by receiver")
    ROW(delivered_qos2, "messages_delivered", "qos=\"2\"",
        "Messages sent (QoS 0) or acknowledged, by receiver")
    LEDGER_DROPS(DROP_ROW)
    ROW(redelivered, "messages_redelivered", "", "PUBLISH packets sent again")
    ROW(retained_set, "retained_set", "", "Retained messages stored or replaced")
    ROW(retained_cleared, "retained_cleared", "", "Retained messages deleted by clients")
};
/* clang-format on */

static void gauge(const struct metric_out *out, const char *name, const char *help, double value)
{
    metric_value(out, SKEP_GAUGE, name, help, "", value);
}

static void ledger(struct broker *b, const struct metric_out *out)
{
    struct ledger_sum sum = {0};

    broker_ledger(b, &sum);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        metric_value(out, SKEP_COUNTER, rows[i].name, rows[i].help, rows[i].labels,
                     (double)*(const uint64_t *)((const char *)&sum + rows[i].at));
    gauge(out, "skep_messages_waiting", "Messages in queues and in flight, by receiver",
          (double)ledger_waiting(&sum));
}

static void population(struct broker *b, const struct metric_out *out)
{
    struct sessions_stats sessions = sessions_stats(b->sessions);
    struct subs_stats subs = subs_stats(b->subs);
    struct retained_stats retained = retained_stats(b->retained);

    gauge(out, "skep_sessions", "Sessions, those whose client is away included",
          (double)sessions.total);
    gauge(out, "skep_clients_connected", "Clients that are connected", (double)sessions.connected);
    gauge(out, "skep_subscriptions", "Subscriptions", (double)subs.subscriptions);
    gauge(out, "skep_subscription_filters", "Different topic filters subscribed to",
          (double)subs.filters);
    gauge(out, "skep_subscription_bytes", "Memory of the index of subscriptions",
          (double)subs.bytes);
    gauge(out, "skep_retained_messages", "Retained messages", (double)retained.messages);
    gauge(out, "skep_retained_bytes", "Memory of retained messages", (double)retained.bytes);
    gauge(out, "skep_memory_pressure", "1 while publishers wait because memory runs short",
          atomic_load(&b->pressure));
}

void metrics_core(struct host *h, const struct metric_out *out)
{
    metric_value(out, SKEP_GAUGE, "skep_build_info", "Always 1; the version is in the label",
                 "version=\"" SKEP_VERSION "\"", 1);
    ledger(h->broker, out);
    population(h->broker, out);
}
