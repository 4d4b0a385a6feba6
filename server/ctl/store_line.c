#include "ctl/store_line.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ctl/bytes.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

enum { FIELDS_MOST = 24, NAME_MOST = 64 };

static const double EXACT = 9007199254740992.0; /* 2^53 */

/* The fields of one object, while they are taken out of it.  What is wrong first is kept in the
 * reader's `why`; after that everything reads as nothing. */
struct fields {
    struct line_reader *reader;
    const cJSON *object;
    const cJSON *taken[FIELDS_MOST];
    unsigned count;
};

__attribute__((format(printf, 2, 3))) static void wrong(struct line_reader *r, const char *format,
                                                        ...)
{
    va_list args;

    if (r->why[0])
        return;
    va_start(args, format);
    vsnprintf(r->why, sizeof r->why, format, args);
    va_end(args);
}

static const cJSON *take(struct fields *f, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(f->object, name);

    if (item) {
        ASSERT(f->count < FIELDS_MOST);
        f->taken[f->count++] = item;
    }
    return item;
}

/* Fields that nobody has taken: unknown ones, and the second of a name. */
static void check_all_taken(const struct fields *f)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, f->object)
    {
        unsigned i = 0;

        while (i < f->count && f->taken[i] != item)
            i++;
        if (i == f->count)
            wrong(f->reader, "'%.40s' does not belong here", item->string);
    }
}

static bool parse_digits(const char *text, uint64_t *out)
{
    size_t len = strspn(text, "0123456789");

    errno = 0;
    *out = strtoull(text, NULL, 10);
    return len > 0 && text[len] == '\0' && errno == 0;
}

static bool parse_number(const cJSON *item, uint64_t *out)
{
    double d = item->valuedouble;

    if (cJSON_IsString(item))
        return parse_digits(item->valuestring, out);
    if (!cJSON_IsNumber(item) || !(d >= 0 && d <= EXACT))
        return false;
    *out = (uint64_t)d;
    return (double)*out == d;
}

static uint64_t number_of(struct line_reader *r, const cJSON *item, const char *name, uint64_t most)
{
    uint64_t v;

    if (parse_number(item, &v) && v <= most)
        return v;
    wrong(r, "'%.40s' is not a whole number up to %llu", name, (unsigned long long)most);
    return 0;
}

static uint64_t take_number(struct fields *f, const char *name, uint64_t absent, uint64_t most)
{
    const cJSON *item = take(f, name);
    return item ? number_of(f->reader, item, name, most) : absent;
}

static uint64_t need_number(struct fields *f, const char *name, uint64_t most)
{
    const cJSON *item = take(f, name);

    if (item)
        return number_of(f->reader, item, name, most);
    wrong(f->reader, "'%s' is missing", name);
    return 0;
}

static bool take_flag(struct fields *f, const char *name)
{
    const cJSON *item = take(f, name);

    if (item && !cJSON_IsBool(item))
        wrong(f->reader, "'%s' is neither true nor false", name);
    return item && cJSON_IsTrue(item);
}

/* -- Bytes -- */

static struct str unbase64(struct line_reader *r, const cJSON *item, const char *name)
{
    struct bytes raw = {0}, again = {0};
    struct str text = str_of(cJSON_GetStringValue(item)), kept = STR_NONE;

    /* There is one way to write each value: others would not survive the next export. */
    if (text.ptr && bytes_unbase64(&raw, text) == 0)
        bytes_base64(&again, raw.ptr, raw.len);
    if (!text.ptr || !str_eq(bytes_str(&again), text))
        wrong(r, "'%s' is not base64", name);
    else
        kept = arena_str(&r->arena, bytes_str(&raw));
    bytes_fini(&raw);
    bytes_fini(&again);
    return kept;
}

/* NAME or NAME_base64; ptr NULL when neither is there. */
static struct str take_bytes(struct fields *f, const char *name)
{
    char coded_name[NAME_MOST];
    const cJSON *plain = take(f, name), *coded;
    struct str text;

    snprintf(coded_name, sizeof coded_name, "%s_base64", name);
    coded = take(f, coded_name);
    if (plain && coded)
        wrong(f->reader, "give either '%s' or '%s'", name, coded_name);
    if (coded)
        return unbase64(f->reader, coded, coded_name);
    if (!plain)
        return STR_NONE;
    text = str_of(cJSON_GetStringValue(plain));
    if (!text.ptr || !utf8_is_text(text))
        wrong(f->reader, "'%s' is not UTF-8 text", name);
    return text;
}

/* -- What MQTT says of the contents -- */

static size_t put_length(uint8_t *p, size_t v)
{
    size_t n = 0;

    do {
        p[n++] = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        v >>= 7;
    } while (v);
    return n;
}

/* Properties are kept as they stood in the PUBLISH: one is made around them for its decoder. */
static bool props_are_valid(struct str props)
{
    struct bytes body = {0}, packet = {0};
    uint8_t length[12];
    struct mqtt_frame frame;
    struct mqtt_publish publish;

    bytes_add(&body, "\0\1t", 3);
    bytes_add(&body, length, put_length(length, props.len));
    bytes_add(&body, props.ptr, props.len);
    bytes_add(&packet, "\x30", 1);
    bytes_add(&packet, length, put_length(length, body.len));
    bytes_add(&packet, body.ptr, body.len);
    bool valid = body.len <= 268435455 && mqtt_frame_peek(packet.ptr, packet.len, &frame) > 0 &&
                 mqtt_decode_publish(&frame, MQTT_50, false, &publish) == 0 && publish.props_plain;
    bytes_fini(&body);
    bytes_fini(&packet);
    return valid;
}

static void take_message(struct fields *f, struct record_message *m)
{
    enum topic_fault fault;

    m->topic = take_bytes(f, "topic");
    m->qos = (uint8_t)take_number(f, "qos", 0, 2);
    m->retain = take_flag(f, "retain");
    m->expires_ms = take_number(f, "expires_ms", 0, UINT64_MAX);
    m->publisher = take_number(f, "publisher", 0, UINT64_MAX);
    m->payload = take_bytes(f, "payload");
    const cJSON *props = take(f, "props_base64");
    m->props = props ? unbase64(f->reader, props, "props_base64") : STR_NONE;
    if ((fault = topic_name_check(m->topic, 0)) != TOPIC_OK)
        wrong(f->reader, "%s", topic_fault_text(fault));
    if (m->props.len && !props_are_valid(m->props))
        wrong(f->reader, "'props_base64' holds no properties that a message has");
}

/* -- The kinds -- */

static void take_head(struct fields *f, struct store_line *l)
{
    const cJSON *format = take(f, "format"), *meta, *item;
    uint64_t version;

    if (!cJSON_IsString(format) || strcmp(format->valuestring, "skep-store") != 0) {
        wrong(f->reader, "this is no line of an exported store");
        return;
    }
    version = need_number(f, "version", UINT32_MAX);
    if (version != LINE_VERSION)
        wrong(f->reader, "this is version %llu of the format, this skepctl reads version %d",
              (unsigned long long)version, LINE_VERSION);
    meta = take(f, "meta");
    if (meta && !cJSON_IsObject(meta))
        wrong(f->reader, "'meta' is not an object");
    cJSON_ArrayForEach(item, meta)
    {
        if (l->head.count == LINE_META_MOST) {
            wrong(f->reader, "'meta' has more than %d numbers", LINE_META_MOST);
            return;
        }
        l->head.meta[l->head.count].name = str_of(item->string);
        l->head.meta[l->head.count].value = number_of(f->reader, item, item->string, UINT64_MAX);
        l->head.count++;
    }
}

static void take_will(struct fields *of, struct load_session *s)
{
    const cJSON *object = take(of, "will");
    struct fields f = {.reader = of->reader, .object = object};

    if (!object)
        return;
    if (!cJSON_IsObject(object)) {
        wrong(of->reader, "'will' is not an object");
        return;
    }
    s->has_will = true;
    s->will.number = s->head.number;
    s->will.delay = (uint32_t)take_number(&f, "delay", 0, UINT32_MAX);
    s->will.expiry = (uint32_t)take_number(&f, "expiry", UINT32_MAX, UINT32_MAX);
    take_message(&f, &s->will.message);
    check_all_taken(&f);
}

static void take_session(struct fields *f, struct load_session *s)
{
    s->head.number = need_number(f, "number", UINT64_MAX);
    s->head.client_id = take_bytes(f, "client_id");
    s->head.username = take_bytes(f, "username");
    s->head.has_username = s->head.username.ptr != NULL;
    s->head.version = (uint8_t)take_number(f, "version", 0, MQTT_50);
    s->head.expiry = (uint32_t)take_number(f, "expiry", 0, UINT32_MAX);
    s->head.realm = (uint32_t)take_number(f, "realm", 0, UINT32_MAX);
    s->tail = take_number(f, "next", 0, UINT64_MAX);
    s->away = take_flag(f, "away");
    s->ends_ms = UINT64_MAX;
    if (s->away) {
        s->ends_ms = take_number(f, "ends_ms", UINT64_MAX, UINT64_MAX);
        s->will_ms = take_number(f, "will_ms", 0, UINT64_MAX);
        s->sent = take_number(f, "sent", 0, UINT64_MAX);
    }
    take_will(f, s);
}

static void take_subscription(struct fields *f, struct record_sub *s)
{
    enum topic_fault fault;

    s->number = need_number(f, "session", UINT64_MAX);
    s->filter = take_bytes(f, "filter");
    s->options = (uint8_t)take_number(f, "options", 0, UINT8_MAX);
    s->retain_handling = (uint8_t)take_number(f, "retain_handling", 0, 2);
    s->id = (uint32_t)take_number(f, "id", 0, 268435455);
    if ((fault = topic_filter_check(s->filter, 0)) != TOPIC_OK)
        wrong(f->reader, "%s", topic_fault_text(fault));
}

static void take_received(struct fields *f, struct record_received *r)
{
    r->session = need_number(f, "session", UINT64_MAX);
    r->packet_id = (uint16_t)need_number(f, "packet_id", UINT16_MAX);
}

static void take_queued(struct fields *f, struct load_entry *e)
{
    e->target.session = need_number(f, "session", UINT64_MAX);
    e->target.counter = need_number(f, "counter", UINT64_MAX);
    e->target.qos = (uint8_t)take_number(f, "granted", 0, 2);
    e->target.retain = take_flag(f, "as_retained");
    e->target.sub_id = (uint32_t)take_number(f, "id", 0, 268435455);
    e->target.share = (uint16_t)take_number(f, "share", 0, UINT16_MAX);
    e->released = take_flag(f, "released");
    if (e->released)
        return;
    const cJSON *shared = take(f, "message");
    if (!shared)
        take_message(f, &e->message);
    else if ((e->shared = number_of(f->reader, shared, "message", INT64_MAX)) == 0)
        wrong(f->reader, "there is no message 0");
}

static void take_counts(struct fields *f, uint64_t *counts)
{
    for (int k = LINE_MESSAGE; k < LINE_END; k++)
        counts[k] = need_number(f, line_plurals[k], UINT64_MAX);
}

static void take_line(struct fields *f, struct store_line *l)
{
    const cJSON *type = take(f, "type");
    const char *name = cJSON_GetStringValue(type);

    if (!type) {
        l->kind = LINE_HEAD;
        take_head(f, l);
    } else if (!name) {
        wrong(f->reader, "'type' is not a string");
    } else if (strcmp(name, "message") == 0) {
        l->kind = LINE_MESSAGE;
        l->message.id = need_number(f, "id", INT64_MAX);
        take_message(f, &l->message.message);
    } else if (strcmp(name, "session") == 0) {
        l->kind = LINE_SESSION;
        take_session(f, &l->session);
    } else if (strcmp(name, "subscription") == 0) {
        l->kind = LINE_SUBSCRIPTION;
        take_subscription(f, &l->subscription);
    } else if (strcmp(name, "received") == 0) {
        l->kind = LINE_RECEIVED;
        take_received(f, &l->received);
    } else if (strcmp(name, "queued") == 0) {
        l->kind = LINE_QUEUED;
        take_queued(f, &l->queued);
    } else if (strcmp(name, "retained") == 0) {
        l->kind = LINE_RETAINED;
        take_message(f, &l->retained);
    } else if (strcmp(name, "end") == 0) {
        l->kind = LINE_END;
        take_counts(f, l->counts);
    } else {
        wrong(f->reader, "there are no lines of type '%.40s'", name);
    }
    check_all_taken(f);
}

/* -- The line -- */

/* A NUL inside, raw or written as \u0000, would end cJSON's strings early. */
static bool holds_nul(struct str text)
{
    if (memchr(text.ptr, 0, text.len))
        return true;
    for (size_t i = 0; i + 5 < text.len; i++) {
        if (text.ptr[i] != '\\')
            continue;
        i++; /* the escaped character, whatever it is */
        if (text.ptr[i] == 'u' && memcmp(text.ptr + i + 1, "0000", 4) == 0)
            return true;
    }
    return false;
}

int line_parse(struct line_reader *r, struct str text, struct store_line *out)
{
    struct fields f = {.reader = r};
    const char *end = NULL;

    cJSON_Delete(r->json);
    arena_reset(&r->arena);
    r->json = NULL;
    r->why[0] = '\0';
    *out = (struct store_line){.kind = LINE_HEAD};
    if (text.len == 0 || holds_nul(text)) {
        wrong(r, text.len ? "there is a NUL in it" : "it is empty");
        return -1;
    }
    r->json = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, 0);
    if (!cJSON_IsObject(r->json) || end != text.ptr + text.len) {
        wrong(r, "it is not a JSON object");
        return -1;
    }
    f.object = r->json;
    take_line(&f, out);
    return r->why[0] ? -1 : 0;
}

void line_reader_fini(struct line_reader *r)
{
    cJSON_Delete(r->json);
    arena_fini(&r->arena);
    r->json = NULL;
}
