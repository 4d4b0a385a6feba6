#include "ctl/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"
#include "ctl/prompt.h"
#include "ctl/url.h"
#include "mqtt/encode.h"
#include "mqtt/topic.h"

#define D(kind, key, name, field, value, help)                                                     \
    ARG_FIELD(kind, key, name, struct dial, field, value, help)
#define N(key, name, field, value, lo, hi, help)                                                   \
    ARG_RANGE(ARG_NUMBER, key, name, struct dial, field, value, lo, hi, help)

const struct arg_option dial_options[] = {
    ARG_HEADING("Which broker"),
    D(ARG_TEXT, 'h', "host", link.host, "HOST", "name or address (default 127.0.0.1)"),
    N('p', "port", link.port, "PORT", 1, 65535,
      "default 1883; 8883 with TLS, 8083 with WebSocket, 8084 with both"),
    D(ARG_TEXT, 'L', "url", url, "URL",
      "all in one: mqtt[s]://USER:PASSWORD@HOST:PORT/TOPIC, ws[s]://HOST:PORT/PATH or unix:PATH"),
    D(ARG_TEXT, 0, "unix", link.unix_path, "PATH", "connect to a Unix socket"),
    D(ARG_TEXT, 'A', "bind", link.bind_host, "ADDRESS", "connect from this local address"),
    D(ARG_ON, 0, "ws", link.websocket, NULL, "MQTT over WebSocket"),
    D(ARG_TEXT, 0, "ws-path", link.ws_path, "PATH", "path of the listener (default /mqtt)"),
    D(ARG_LIST, 0, "ws-header", link.ws_headers, "HEADER",
      "add \"Name: value\" to the upgrade request; may be repeated"),
    D(ARG_SECONDS, 0, "connect-timeout", link.timeout_ms, "SECONDS",
      "give up connecting after this long (default 10)"),
    D(ARG_TEXT, 'V', "protocol-version", version_name, "VERSION",
      "5 (default), 311 or 31; mosquitto's mqttv5, mqttv311, mqttv31 work too"),

    ARG_HEADING("TLS"),
    D(ARG_ON, 0, "tls", link.tls, NULL,
      "use TLS with the system's certificate authorities (any option of this group turns it on)"),
    D(ARG_TEXT, 0, "cafile", link.ca_file, "FILE", "trust the authorities in this PEM file"),
    D(ARG_TEXT, 0, "capath", link.ca_dir, "FOLDER", "trust those in this folder"),
    D(ARG_TEXT, 0, "cert", link.cert_file, "FILE", "our certificate, with its chain"),
    D(ARG_TEXT, 0, "key", link.key_file, "FILE", "its private key (default: in --cert)"),
    D(ARG_ON, 0, "insecure", link.insecure, NULL,
      "accept any certificate; whoever is in between can then read everything"),
    D(ARG_TEXT, 0, "server-name", link.server_name, "NAME",
      "the name to ask for (SNI) and to find in the certificate (default: --host)"),
    D(ARG_TEXT, 0, "psk", link.psk, "HEX", "a pre-shared key instead of certificates"),
    D(ARG_TEXT, 0, "psk-identity", link.psk_identity, "NAME", "whose pre-shared key it is"),
    D(ARG_TEXT, 0, "ciphers", link.ciphers, "LIST", "as OpenSSL writes them"),
    D(ARG_TEXT, 0, "tls-version", link.tls_version, "VERSION", "only tlsv1.2 or only tlsv1.3"),
    D(ARG_TEXT, 0, "tls-alpn", link.alpn, "NAME", "application protocol to ask for"),

    ARG_HEADING("Who we are"),
    D(ARG_TEXT, 'i', "id", id, "ID", "client id (default: skepctl- and random letters)"),
    D(ARG_TEXT, 'I', "id-prefix", id_prefix, "PREFIX", "client id: this and random letters"),
    D(ARG_TEXT, 'u', "username", username, "NAME", "user name"),
    D(ARG_TEXT, 'P', "pw", password, "PASSWORD",
      "password; others on this machine may see it in the process list, so better one of the next"),
    D(ARG_TEXT, 0, "password-file", password_file, "FILE", "its first line is the password"),
    D(ARG_TEXT, 0, "password-env", password_env, "NAME", "the environment variable NAME holds it"),
    D(ARG_ON, 0, "ask-password", ask_password, NULL, "prompt for it, without echo"),
    N('k', "keepalive", keep_alive, "SECONDS", 0, 65535, "keep-alive (default 60, 0 is off)"),
    D(ARG_ON, 'c', "disable-clean-session", no_clean, NULL,
      "continue the session of this client id (needs -i)"),
    D(ARG_TEXT, 'x', "session-expiry", session_expiry, "SECONDS",
      "keep the session this long after we leave, or never (MQTT 5)"),
    N('M', "max-inflight", max_inflight, "COUNT", 1, 65535,
      "unacknowledged messages on their way to the broker (default 20)"),
    N(0, "receive-maximum", receive_maximum, "COUNT", 1, 65535,
      "the same on their way to us (MQTT 5)"),
    N(0, "maximum-packet-size", maximum_packet_size, "BYTES", 1, UINT32_MAX - 1,
      "ask for no larger packets (MQTT 5)"),
    N(0, "topic-alias-maximum", topic_alias_maximum, "COUNT", 0, 65535,
      "topic aliases we allow the broker (default 16, MQTT 5)"),
    D(ARG_ON, 0, "request-response-information", request_response_info, NULL,
      "ask the broker for response information (MQTT 5)"),
    D(ARG_ON, 0, "no-problem-information", no_problem_info, NULL,
      "ask for no reason strings (MQTT 5)"),
    D(ARG_LIST, 0, "connect-property", user_props, "NAME=VALUE",
      "user property of CONNECT; may be repeated (MQTT 5)"),

    ARG_HEADING("Will: what the broker publishes if we vanish"),
    D(ARG_TEXT, 0, "will-topic", will_topic, "TOPIC", "its topic"),
    D(ARG_TEXT, 0, "will-payload", will_payload, "TEXT", "its payload (default: empty)"),
    N(0, "will-qos", will_qos, "QOS", 0, 2, "its QoS (default 0)"),
    D(ARG_ON, 0, "will-retain", will_retain, NULL, "retain it"),
    N(0, "will-delay", will_delay, "SECONDS", 0, UINT32_MAX, "wait before sending it (MQTT 5)"),
    N(0, "will-expiry", will_expiry, "SECONDS", 0, UINT32_MAX - 1, "message expiry (MQTT 5)"),
    D(ARG_ON, 0, "will-utf8", will_utf8, NULL, "its payload is UTF-8 text (MQTT 5)"),
    D(ARG_TEXT, 0, "will-content-type", will_content_type, "TYPE", "content type (MQTT 5)"),
    D(ARG_TEXT, 0, "will-response-topic", will_response_topic, "TOPIC", "response topic (MQTT 5)"),
    D(ARG_TEXT, 0, "will-correlation-data", will_correlation, "TEXT", "correlation data (MQTT 5)"),
    D(ARG_LIST, 0, "will-property", will_user_props, "NAME=VALUE",
      "user property; may be repeated (MQTT 5)"),

    ARG_HEADING("Other"),
    D(ARG_ON, 'd', "debug", debug, NULL, "show every packet on stderr"),
    D(ARG_ON, 0, "quiet", quiet, NULL, "no warnings"),
    ARG_LAST,
};

#undef D
#undef N

void dial_init(struct dial *d)
{
    *d = (struct dial){
        .link = {.timeout_ms = 10000},
        .keep_alive = 60,
        .max_inflight = 20, /* what mosquitto takes from a 3.x client at QoS 2 */
        .receive_maximum = 65535,
        .maximum_packet_size = UINT32_MAX,
        .topic_alias_maximum = 16,
        .will_expiry = UINT32_MAX,
    };
}

int dial_expiry(const char *text, uint32_t *out)
{
    if (strcmp(text, "never") == 0) {
        *out = UINT32_MAX;
        return 0;
    }
    return arg_number(text, 0, UINT32_MAX, out);
}

/* -- Properties -- */

static void put_text(struct bytes *out, const char *text, size_t len)
{
    mqtt_u16_write(bytes_room(out, 2), (unsigned)len);
    out->len += 2;
    bytes_add(out, text, len);
}

int dial_put_user_prop(struct bytes *out, const char *pair)
{
    const char *equals = strchr(pair, '=');

    if (!equals || equals - pair > 65535 || strlen(equals + 1) > 65535)
        return -1;
    bytes_add(out, &(uint8_t){PROP_USER_PROPERTY}, 1);
    put_text(out, pair, (size_t)(equals - pair));
    put_text(out, equals + 1, strlen(equals + 1));
    return 0;
}

int dial_put_user_props(struct bytes *out, const struct arg_list *pairs,
                        const struct arg_command *command)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (dial_put_user_prop(out, pairs->items[i]) < 0)
            return arg_error(command, "a user property is NAME=VALUE, and '%s' is not",
                             pairs->items[i]);
    }
    return 0;
}

static void put_prop(struct bytes *out, uint8_t id, const char *value)
{
    if (!value)
        return;
    bytes_add(out, &id, 1);
    put_text(out, value, strlen(value));
}

/* -- Checks -- */

static int version_set(struct dial *d, const struct arg_command *command)
{
    static const struct {
        const char *name;
        uint8_t version;
    } versions[] = {{"5", MQTT_50},         {"mqttv5", MQTT_50}, {"311", MQTT_311},
                    {"mqttv311", MQTT_311}, {"31", MQTT_31},     {"mqttv31", MQTT_31},
                    {"5.0", MQTT_50},       {"3.1.1", MQTT_311}, {"3.1", MQTT_31}};

    d->conf.connect.version = MQTT_50;
    if (!d->version_name)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        if (strcmp(d->version_name, versions[i].name) == 0) {
            d->conf.connect.version = versions[i].version;
            return 0;
        }
    }
    return arg_error(command, "-V: '%s' is none of 5, 311, 31", d->version_name);
}

/* Options that only MQTT 5 can carry are refused, not dropped in silence. */
static int version_check(const struct dial *d, const struct arg_command *command)
{
    const char *what = NULL;

    if (d->conf.connect.version == MQTT_50)
        return 0;
    if (d->session_expiry)
        what = "--session-expiry";
    else if (d->user_props.count)
        what = "--connect-property";
    else if (d->receive_maximum != 65535)
        what = "--receive-maximum";
    else if (d->maximum_packet_size != UINT32_MAX)
        what = "--maximum-packet-size";
    else if (d->request_response_info)
        what = "--request-response-information";
    else if (d->will_delay)
        what = "--will-delay";
    else if (d->will_props.len || d->will_expiry != UINT32_MAX)
        what = "a property of the will";
    else if (d->password_bytes.ptr && !d->username)
        return arg_error(command, "a password without a user name needs MQTT 5 (-V 5)");
    if (what)
        return arg_error(command, "%s needs MQTT 5 (-V 5)", what);
    return 0;
}

static int password_read(struct dial *d, const struct arg_command *command)
{
    const char *text = d->password;
    struct fault fault;

    if ((d->password != NULL) + (d->password_file != NULL) + (d->password_env != NULL) +
            d->ask_password >
        1)
        return arg_error(command, "the password is given in more than one way");
    if (d->password_env && !(text = getenv(d->password_env)))
        return arg_error(command, "--password-env: there is no variable %s", d->password_env);
    if (text)
        bytes_add(&d->password_bytes, text, strlen(text) + 1);
    if (d->password_file && prompt_first_line(&d->password_bytes, d->password_file, &fault) < 0)
        return arg_error(command, "--password-file: %s", fault.text);
    if (d->ask_password && prompt_password(&d->password_bytes, "Password: ", &fault) < 0)
        return arg_error(command, "--ask-password: %s", fault.text);
    if (d->password_bytes.len > 65536)
        return arg_error(command, "the password is longer than 65535 bytes");
    return 0;
}

static int id_make(struct dial *d, const struct arg_command *command)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    const char *prefix = d->id_prefix ? d->id_prefix : "skepctl-";
    uint8_t random[12];
    size_t len;

    if (d->id && d->id_prefix)
        return arg_error(command, "give either --id or --id-prefix");
    if (d->no_clean && !d->id)
        return arg_error(command, "--disable-clean-session needs --id: it names the session");
    if (d->id) {
        d->id_text = str_dup(str_of(d->id));
    } else {
        len = strlen(prefix);
        rand_bytes(random, sizeof random);
        d->id_text = xmalloc(len + sizeof random + 1);
        memcpy(d->id_text, prefix, len);
        for (size_t i = 0; i < sizeof random; i++)
            d->id_text[len + i] = letters[random[i] & 31];
        d->id_text[len + sizeof random] = '\0';
    }
    if (strlen(d->id_text) > 65535)
        return arg_error(command, "the client id is longer than 65535 bytes");
    return 0;
}

static int will_make(struct dial *d, const struct arg_command *command)
{
    struct mqtt_will *will = &d->conf.connect.will;
    enum topic_fault topic_fault;

    if (d->will_utf8) {
        static const uint8_t utf8[] = {PROP_PAYLOAD_FORMAT, 1};
        bytes_add(&d->will_props, utf8, sizeof utf8);
    }
    put_prop(&d->will_props, PROP_CONTENT_TYPE, d->will_content_type);
    put_prop(&d->will_props, PROP_RESPONSE_TOPIC, d->will_response_topic);
    put_prop(&d->will_props, PROP_CORRELATION_DATA, d->will_correlation);
    if (dial_put_user_props(&d->will_props, &d->will_user_props, command) < 0)
        return -1;
    if (!d->will_topic) {
        if (d->will_payload || d->will_qos || d->will_retain || d->will_delay || d->will_props.len)
            return arg_error(command, "a will needs --will-topic");
        return 0;
    }
    topic_fault = topic_name_check(str_of(d->will_topic), UINT16_MAX);
    if (topic_fault != TOPIC_OK)
        return arg_error(command, "--will-topic: %s", topic_fault_text(topic_fault));
    if (d->will_payload && strlen(d->will_payload) > 65535)
        return arg_error(command, "--will-payload is longer than 65535 bytes");
    d->conf.connect.has_will = true;
    *will = (struct mqtt_will){
        .topic = str_of(d->will_topic),
        .payload = str_of(d->will_payload),
        .qos = (uint8_t)d->will_qos,
        .retain = d->will_retain,
        .delay = d->will_delay,
        .expiry = d->will_expiry,
        .props = bytes_str(&d->will_props),
    };
    return 0;
}

static int connect_make(struct dial *d, const struct arg_command *command)
{
    struct mqtt_connect *c = &d->conf.connect;

    c->clean_start = !d->no_clean;
    c->keep_alive = (uint16_t)d->keep_alive;
    c->client_id = str_of(d->id_text);
    c->receive_maximum = (uint16_t)d->receive_maximum;
    c->maximum_packet_size = d->maximum_packet_size;
    c->topic_alias_maximum = c->version == MQTT_50 ? (uint16_t)d->topic_alias_maximum : 0;
    c->request_problem_info = !d->no_problem_info;
    c->request_response_info = d->request_response_info;
    if (d->session_expiry && dial_expiry(d->session_expiry, &c->session_expiry) < 0)
        return arg_error(command, "--session-expiry wants seconds or never");
    if (d->username && strlen(d->username) > 65535)
        return arg_error(command, "the user name is longer than 65535 bytes");
    c->has_username = d->username != NULL;
    c->username = str_of(d->username);
    c->has_password = d->password_bytes.ptr != NULL;
    if (c->has_password)
        c->password = (struct str){(char *)d->password_bytes.ptr, d->password_bytes.len - 1};
    if (dial_put_user_props(&d->props, &d->user_props, command) < 0)
        return -1;
    c->props = bytes_str(&d->props);
    return 0;
}

int dial_finish(struct dial *d, const struct arg_command *command, const char **url_topic)
{
    struct fault fault;

    *url_topic = NULL;
    if (d->url && url_parse(d->url, d, url_topic, &fault) < 0)
        return arg_error(command, "--url: %s", fault.text);
    if (d->link.unix_path && d->link.host)
        return arg_error(command, "give either --host or --unix");
    if (version_set(d, command) < 0 || password_read(d, command) < 0 || id_make(d, command) < 0 ||
        will_make(d, command) < 0 || connect_make(d, command) < 0 || version_check(d, command) < 0)
        return -1;
    if (d->conf.connect.version == MQTT_31)
        d->link.ws_protocol = "mqttv3.1";
    d->conf.link = d->link;
    d->conf.max_inflight = d->max_inflight;
    d->conf.memory = &d->memory;
    return 0;
}

void dial_fini(struct dial *d)
{
    if (d->password_bytes.ptr)
        explicit_bzero(d->password_bytes.ptr, d->password_bytes.cap);
    bytes_fini(&d->password_bytes);
    bytes_fini(&d->props);
    bytes_fini(&d->will_props);
    arg_list_fini(&d->user_props);
    arg_list_fini(&d->will_user_props);
    arg_list_fini(&d->link.ws_headers);
    free(d->url_parts);
    free(d->id_text);
}

void dial_trace(bool sent, const struct mqtt_frame *frame)
{
    fprintf(stderr, "%s %s, %u bytes, flags %u\n", sent ? "sent    " : "received",
            mqtt_type_name(frame->type), frame->size, frame->flags);
}
