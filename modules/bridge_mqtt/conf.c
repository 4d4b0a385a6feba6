#include "conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "route.h"

#define T struct tls_conf
static const struct skep_option tls_options[] = {
    SKEP_PATH(T, ca, NULL, .help = "PEM file of the authorities to trust; default: the system's"),
    SKEP_PATH(T, certificate, NULL,
              .help = "PEM file of our own certificate, for brokers that ask"),
    SKEP_PATH(T, key, NULL, .help = "PEM file of its key"),
    SKEP_SECRET(T, key_password, NULL, .help = "what the key is encrypted with"),
    SKEP_STRING(T, server_name, NULL,
                .help = "the name the broker's certificate has to be for; default: its address"),
    SKEP_BOOL(T, verify, "on", .help = "off: believe any certificate; for tests only"),
    {0},
};
#undef T

#define T struct connection_conf
static const struct skep_option connection_options[] = {
    SKEP_LIST(T, address, SKEP_REQUIRED, .syntax = "HOST[:PORT]...",
              .help = "the remote broker; several are tried in turn, the first one first",
              .max = 16),
    SKEP_BLOCK(T, tls, tls_options, .help = "speak TLS"),
    SKEP_STRING(T, websocket, NULL, .help = "speak WebSocket, at this path", .syntax = "/PATH"),
    SKEP_ENUM(T, version, "5", .choices = "5|3.1.1", .help = "version of MQTT"),
    SKEP_STRING(T, client_id, NULL,
                .help = "client id there; default: skep-ID-NAME, where ID is this broker's own"),
    SKEP_STRING(T, username, NULL, .help = "user name there"),
    SKEP_SECRET(T, password, NULL, .help = "password there"),
    SKEP_DURATION(T, keep_alive, "60s", .help = "pings after so much silence; 0s: none",
                  .max = 65535000),
    SKEP_DURATION(T, ping_timeout, "10s", .help = "how long to wait for the answer", .min = 100),
    SKEP_DURATION(T, connect_timeout, "15s",
                  .help = "from the first packet of TCP to CONNACK, at most", .min = 100),
    SKEP_BOOL(T, clean_start, "off",
              .help = "on: both sides forget what is under way when a connection ends"),
    SKEP_DURATION(T, session_expiry, "7d", .min = 1000,
                  .help = "MQTT 5: how long the remote broker keeps our session"),
    SKEP_DURATION(T, queue_expiry, "0s",
                  .help = "how long our queue is kept without this module; 0s: for ever"),
    SKEP_LINES(T, topic, NULL,
               .syntax = "in|out|both FILTER [qos N] [local_prefix P] "
                         "[remote_prefix P] [share GROUP]",
               .help = "what goes over; the first line that matches a topic counts"),
    SKEP_UINT(T, connections, "1", .min = 1, .max = 32,
              .help = "connections to the remote broker; topics are spread over them"),
    SKEP_UINT(T, window, "1000", .min = 1, .max = 60000,
              .help = "QoS 1 and 2 messages out that are not acknowledged, at most"),
    SKEP_UINT(T, window_qos2, "20", .min = 1, .max = 60000,
              .help = "MQTT 3.1.1: of those, QoS 2; mosquitto takes no more than 20"),
    SKEP_UINT(T, receive_window, "200", .min = 1, .max = 65535,
              .help = "the same for those in (MQTT 5)"),
    SKEP_SIZE(T, max_packet, "16m", .min = 128, .max = 268435460,
              .help = "largest packet to take in"),
    SKEP_SIZE(T, remote_max_packet, "0", .max = 268435460,
              .help = "largest packet to send, where the remote broker does not say; 0: any"),
    SKEP_SIZE(T, max_queue0, "1m", .help = "bytes of QoS 0 messages that wait for a slow line"),
    SKEP_RATE(T, backlog_rate, "0/s",
              .help = "what waited while the line was down goes out at this rate; 0/s: no limit"),
    SKEP_BOOL(T, live_first, "off",
              .help = "on: live messages go by what waited; then the two are not in order"),
    SKEP_BOOL(T, retain, "on", .help = "keep the retain flag of what goes out"),
    SKEP_BOOL(T, loop_guard, "on",
              .help = "MQTT 5: mark what goes out, and drop marked messages that come back"),
    SKEP_BOOL(T, try_private, "on",
              .help = "MQTT 3.1.1: tell the broker that this is a bridge, if it takes that"),
    SKEP_DURATION(T, reconnect_min, "1s", .min = 10, .help = "wait before the first new try"),
    SKEP_DURATION(T, reconnect_max, "60s", .min = 10, .help = "longest wait between tries"),
    SKEP_STRING(T, status_topic, NULL, .help = "retained message that says whether it is up"),
    SKEP_ENUM(T, status_format, "plain", .choices = "plain|json", .help = "1 and 0, or JSON"),
    SKEP_ENUM(T, status_at, "both", .choices = "local|remote|both", .help = "which broker gets it"),
    SKEP_DURATION(T, alarm_after, "30s", .help = "raise an alarm after so long without"),
    {0},
};
#undef T

const struct skep_option bridge_options[] = {
    SKEP_BLOCKS(struct conf, connection, connection_options, struct connection_conf,
                .help = "a broker to bridge to"),
    {0},
};

/* -- Addresses -- */

static const char *default_port(const struct connection_conf *c)
{
    if (c->websocket)
        return conf_has_tls(c) ? "443" : "80";
    return conf_has_tls(c) ? "8883" : "1883";
}

char *conf_address(const struct connection_conf *c, const char *written)
{
    const char *colon = strrchr(written, ':'), *bracket = strrchr(written, ']');
    bool bare6 = colon && strchr(written, ':') != colon && written[0] != '[';
    struct buf text = {0};

    if (strncmp(written, "unix:", 5) == 0)
        return bridge_strdup(skep_str(written));
    if (bare6)
        buf_put(&text, "[", 1);
    buf_put(&text, written, strlen(written));
    if (bare6)
        buf_put(&text, "]", 1);
    if (bare6 || !colon || (bracket && bracket > colon)) {
        buf_put(&text, ":", 1);
        buf_put(&text, default_port(c), strlen(default_port(c)));
    }
    buf_put(&text, "", 1);
    return (char *)text.ptr;
}

void conf_host(const char *address, char *out, size_t size)
{
    const char *from = address[0] == '[' ? address + 1 : address;
    size_t len = address[0] == '[' ? strcspn(from, "]") : strcspn(from, ":");

    snprintf(out, size, "%.*s", (int)len, from);
}

/* -- Checks -- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "::1") == 0 || strcmp(host, "unix") == 0;
}

static void check_secrets(const struct connection_conf *c, struct skep_report *report)
{
    char host[256];

    if (c->password.value.len && !c->username && c->version == 1)
        skep_report(report, &c->block.place, NULL,
                    "MQTT 3.1.1 takes no password without a user name");
    for (size_t i = 0; i < c->address.count; i++) {
        char *address = conf_address(c, c->address.items[i]);
        conf_host(address, host, sizeof host);
        if (c->password.value.len && !conf_has_tls(c) && !is_loopback(host))
            skep_report_warning(report, &c->block.place, "tls { }",
                                "connection %s sends its password to %s in the clear",
                                c->block.label, host);
        free(address);
    }
    if (conf_has_tls(c) && !c->tls.verify)
        skep_report_warning(report, &c->tls.block.place, "verify on;",
                            "connection %s believes any certificate", c->block.label);
}

static void check_name(const struct connection_conf *c, struct skep_report *report)
{
    const char *name = c->block.label;
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    if (name[good] || !*name || good > 64)
        skep_report(report, &c->block.place, NULL,
                    "a connection's name is made of up to 64 letters, digits, _ and -");
}

static void check_connection(const struct connection_conf *c, struct skep_report *report)
{
    struct routes routes;

    check_name(c, report);
    check_secrets(c, report);
    if (c->topic.count == 0)
        skep_report(report, &c->block.place, "topic out sensors/# qos 1;",
                    "connection %s has no topic", c->block.label);
    if (routes_read(&routes, &c->topic, report) == 0) {
        for (size_t i = 0; i < routes.count; i++) {
            if (c->version == 1 && routes.items[i].subscribed &&
                strncmp(routes.items[i].subscribed, "$share/", 7) == 0)
                skep_report(report, &c->block.place, "version 5;",
                            "shared subscriptions came with MQTT 5");
        }
        routes_fini(&routes);
    }
    if (c->live_first && c->clean_start)
        skep_report(report, &c->block.place, NULL,
                    "live_first keeps a queue, clean_start does not");
    if (c->reconnect_max < c->reconnect_min)
        skep_report(report, &c->block.place, NULL, "reconnect_max is below reconnect_min");
    if (c->status_topic && !skep_topic_valid(skep_str(c->status_topic), true))
        skep_report(report, &c->block.place, NULL, "status_topic is no topic name");
    if (c->websocket &&
        (c->websocket[0] != '/' || strpbrk(c->websocket, " \r\n") || strlen(c->websocket) > 500))
        skep_report(report, &c->block.place, "websocket /mqtt;",
                    "the path of a WebSocket begins with / and holds no blanks");
    SSL_CTX_free(conf_has_tls(c) ? conf_tls(c, report) : NULL);
}

void conf_check(const void *conf, struct skep_report *report)
{
    const struct conf *c = conf;

    for (size_t i = 0; i < c->connection.count; i++)
        check_connection(c->connection.items[i], report);
}

/* -- The digest -- */

static void add(EVP_MD_CTX *md, const void *data, size_t len)
{
    uint64_t size = len;

    EVP_DigestUpdate(md, &size, sizeof size);
    EVP_DigestUpdate(md, data, len);
}

static void add_text(EVP_MD_CTX *md, const char *text)
{
    add(md, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void add_list(EVP_MD_CTX *md, const struct skep_list *l)
{
    add(md, &l->count, sizeof l->count);
    for (size_t i = 0; i < l->count; i++)
        add_text(md, l->items[i]);
}

static void add_file(EVP_MD_CTX *md, const char *path)
{
    uint8_t bytes[4096];
    size_t n;

    add_text(md, path);
    FILE *f = path ? fopen(path, "re") : NULL;
    while (f && (n = fread(bytes, 1, sizeof bytes, f)) > 0)
        EVP_DigestUpdate(md, bytes, n);
    if (f)
        fclose(f);
}

void conf_digest(const struct connection_conf *c, uint8_t out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    const uint64_t numbers[] = {
        (uint64_t)c->version,
        c->keep_alive,
        c->ping_timeout,
        c->connect_timeout,
        c->clean_start,
        c->session_expiry,
        c->queue_expiry,
        c->connections,
        c->window,
        c->window_qos2,
        c->receive_window,
        c->max_packet,
        c->max_queue0,
        c->backlog_rate,
        c->live_first,
        c->remote_max_packet,
        c->retain,
        c->loop_guard,
        c->try_private,
        c->reconnect_min,
        c->reconnect_max,
        (uint64_t)c->status_format,
        (uint64_t)c->status_at,
        c->alarm_after,
        conf_has_tls(c),
        c->tls.verify,
    };
    const char *texts[] = {c->block.label, c->websocket,    c->client_id,
                           c->username,    c->status_topic, c->tls.server_name};

    EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    add(md, numbers, sizeof numbers);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        add_text(md, texts[i]);
    add_list(md, &c->address);
    for (size_t i = 0; i < c->topic.count; i++)
        add_list(md, &c->topic.items[i]);
    add(md, c->password.value.ptr, c->password.value.len);
    add(md, c->tls.key_password.value.ptr, c->tls.key_password.value.len);
    add_file(md, c->tls.ca);
    add_file(md, c->tls.certificate);
    add_file(md, c->tls.key);
    EVP_DigestFinal_ex(md, out, NULL);
    EVP_MD_CTX_free(md);
}
