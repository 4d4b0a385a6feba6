#include "ctl/format.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "ctl/bytes.h"

const struct arg_option format_options[] = {
    ARG_HEADING("How messages are shown"),
    ARG_FIELD(ARG_ON, 'v', "verbose", struct format, verbose, NULL, "the topic before the payload"),
    ARG_FIELD(ARG_ON, 'N', "no-newline", struct format, no_newline, NULL,
              "no line end behind the payload"),
    ARG_FIELD(ARG_ON, 0, "json", struct format, json, NULL,
              "one JSON object a line, with every property (binary payloads as base64)"),
    ARG_FIELD(ARG_ON, 0, "hex", struct format, hex, NULL, "the payload as hexadecimal digits"),
    ARG_FIELD(
        ARG_TEXT, 'F', "format", struct format, template, "TEMPLATE",
        "%t topic, %p payload, %x payload in hex, %q QoS, %r retain, %l length, %m packet id, "
        "%j as --json, %I time, %U seconds since 1970, %C content type, %R response topic, "
        "%D correlation data, %E expiry, %F payload format, %A topic alias, "
        "%S subscription ids, %P user properties, %%, \\n \\t \\r \\0 \\e \\\\"),
    ARG_LAST,
};

int format_check(const struct format *f, const struct arg_command *command)
{
    if ((f->template != NULL) + f->json + f->hex > 1)
        return arg_error(command, "give only one of --json, --hex and --format");
    for (const char *p = f->template; p && *p; p++) {
        if (*p == '%' && (p[1] == '\0' || !strchr("tpxqrlmjIUCRDEFASP%", p[1])))
            return arg_error(command, "--format: there is no %%%c", p[1] ? p[1] : ' ');
        if (*p == '\\' && (p[1] == '\0' || !strchr("ntr0e\\", p[1])))
            return arg_error(command, "--format: there is no \\%c", p[1] ? p[1] : ' ');
        if (*p == '%' || *p == '\\')
            p++;
    }
    return 0;
}

/* -- Pieces -- */

static void put(FILE *out, struct str s)
{
    if (s.len)
        fwrite(s.ptr, 1, s.len, out);
}

static void put_hex(FILE *out, struct str s)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < s.len; i++) {
        putc(digits[(uint8_t)s.ptr[i] >> 4], out);
        putc(digits[(uint8_t)s.ptr[i] & 15], out);
    }
}

static void put_time(FILE *out)
{
    uint64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    char date[40], zone[8];

    localtime_r(&seconds, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    fprintf(out, "%s.%03u%s", date, (unsigned)(now % 1000), zone);
}

static void put_subscription_ids(FILE *out, struct str props, const char *between)
{
    struct mqtt_prop_item item;
    bool first = true;

    while (mqtt_prop_next(&props, &item) == 1) {
        if (item.id != PROP_SUBSCRIPTION_ID)
            continue;
        fprintf(out, "%s%" PRIu32, first ? "" : between, item.number);
        first = false;
    }
}

static void put_user_props(FILE *out, struct str props)
{
    struct mqtt_prop_item item;
    bool first = true;

    while (mqtt_prop_next(&props, &item) == 1) {
        if (item.id != PROP_USER_PROPERTY)
            continue;
        fputs(first ? "" : " ", out);
        put(out, item.name);
        putc(':', out);
        put(out, item.value);
        first = false;
    }
}

/* -- JSON -- */

void format_json_string(FILE *out, struct str text)
{
    putc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

/* Bytes under NAME when they are UTF-8, else in base64 under NAME_base64. */
static void json_bytes(FILE *out, const char *name, struct str value)
{
    struct bytes text = {0};

    if (utf8_is_valid(value)) {
        fprintf(out, ",\"%s\":", name);
        format_json_string(out, value);
        return;
    }
    bytes_base64(&text, value.ptr, value.len);
    fprintf(out, ",\"%s_base64\":\"%.*s\"", name, (int)text.len, (char *)text.ptr);
    bytes_fini(&text);
}

static void json_user_props(FILE *out, struct str props)
{
    struct mqtt_prop_item item;
    bool first = true;

    while (mqtt_prop_next(&props, &item) == 1) {
        if (item.id != PROP_USER_PROPERTY)
            continue;
        fputs(first ? ",\"user-properties\":[{" : ",{", out);
        format_json_string(out, item.name);
        putc(':', out);
        format_json_string(out, item.value);
        putc('}', out);
        first = false;
    }
    fputs(first ? "" : "]", out);
}

static void json_props(FILE *out, const struct mqtt_publish *m)
{
    struct mqtt_prop_item item;
    struct str rest = m->props;
    bool has_ids = false;

    fprintf(out, ",\"properties\":{\"payload-format-indicator\":%u", m->payload_format);
    if (m->expiry != UINT32_MAX)
        fprintf(out, ",\"message-expiry-interval\":%" PRIu32, m->expiry);
    if (m->topic_alias)
        fprintf(out, ",\"topic-alias\":%u", m->topic_alias);
    if (m->content_type.ptr)
        json_bytes(out, "content-type", m->content_type);
    if (m->response_topic.ptr)
        json_bytes(out, "response-topic", m->response_topic);
    if (m->correlation_data.ptr)
        json_bytes(out, "correlation-data", m->correlation_data);
    while (mqtt_prop_next(&rest, &item) == 1)
        has_ids |= item.id == PROP_SUBSCRIPTION_ID;
    if (has_ids) {
        fputs(",\"subscription-identifiers\":[", out);
        put_subscription_ids(out, m->props, ",");
        putc(']', out);
    }
    json_user_props(out, m->props);
    putc('}', out);
}

/* The names are mosquitto_sub's, so that its readers read ours. */
static void put_json(FILE *out, const struct mqtt_publish *m)
{
    fputs("{\"tst\":\"", out);
    put_time(out);
    fputs("\",\"topic\":", out);
    format_json_string(out, m->topic);
    fprintf(out, ",\"qos\":%u,\"retain\":%u,\"dup\":%u,\"payloadlen\":%zu", m->qos, m->retain,
            m->dup, m->payload.len);
    if (m->packet_id)
        fprintf(out, ",\"mid\":%u", m->packet_id);
    if (m->props.len)
        json_props(out, m);
    json_bytes(out, "payload", m->payload);
    putc('}', out);
}

/* -- Templates -- */

static void put_field(FILE *out, char field, const struct mqtt_publish *m)
{
    switch (field) {
    case 't':
        return put(out, m->topic);
    case 'p':
        return put(out, m->payload);
    case 'x':
        return put_hex(out, m->payload);
    case 'q':
        fprintf(out, "%u", m->qos);
        return;
    case 'r':
        fprintf(out, "%u", m->retain);
        return;
    case 'l':
        fprintf(out, "%zu", m->payload.len);
        return;
    case 'm':
        fprintf(out, "%u", m->packet_id);
        return;
    case 'j':
        return put_json(out, m);
    case 'I':
        return put_time(out);
    case 'U':
        fprintf(out, "%.3f", (double)clock_wall_ms() / 1000);
        return;
    case 'C':
        return put(out, m->content_type);
    case 'R':
        return put(out, m->response_topic);
    case 'D':
        return put(out, m->correlation_data);
    case 'E':
        if (m->expiry != UINT32_MAX)
            fprintf(out, "%" PRIu32, m->expiry);
        return;
    case 'F':
        fprintf(out, "%u", m->payload_format);
        return;
    case 'A':
        if (m->topic_alias)
            fprintf(out, "%u", m->topic_alias);
        return;
    case 'S':
        return put_subscription_ids(out, m->props, " ");
    case 'P':
        return put_user_props(out, m->props);
    default:
        putc(field, out);
    }
}

static void put_template(FILE *out, const char *template, const struct mqtt_publish *m)
{
    static const char names[] = "ntr0e\\", meanings[] = "\n\t\r\0\033\\";

    for (const char *p = template; *p; p++) {
        if (*p == '%')
            put_field(out, *++p, m);
        else if (*p == '\\')
            putc(meanings[strchr(names, *++p) - names], out);
        else
            putc(*p, out);
    }
}

void format_message(FILE *out, const struct format *f, const struct mqtt_publish *message)
{
    if (f->json) {
        put_json(out, message);
    } else if (f->template) {
        put_template(out, f->template, message);
    } else {
        if (f->verbose) {
            put(out, message->topic);
            putc(' ', out);
        }
        if (f->hex)
            put_hex(out, message->payload);
        else
            put(out, message->payload);
    }
    if (!f->no_newline)
        putc('\n', out);
}
