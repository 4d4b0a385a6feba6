/* Lines out; ctl/store_line.c reads them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ctl/bytes.h"
#include "ctl/store_line.h"

static const uint64_t EXACT = (uint64_t)1 << 53; /* what a double holds */

static void put_number(cJSON *o, const char *name, uint64_t v)
{
    char digits[24];

    /* cJSON would print fifteen digits of a double. */
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)v);
    if (v <= EXACT)
        cJSON_AddRawToObject(o, name, digits);
    else
        cJSON_AddStringToObject(o, name, digits);
}

static void put_unless_zero(cJSON *o, const char *name, uint64_t v)
{
    if (v)
        put_number(o, name, v);
}

static void put_flag(cJSON *o, const char *name, bool set)
{
    if (set)
        cJSON_AddTrueToObject(o, name);
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
            return false;
    }
    return utf8_is_text(s);
}

static void put_string(cJSON *o, const char *name, struct str s)
{
    char *text = str_dup(s);

    cJSON_AddStringToObject(o, name, text);
    free(text);
}

static void put_base64(cJSON *o, const char *name, struct str s)
{
    struct bytes text = {0};
    char key[64];

    snprintf(key, sizeof key, "%s_base64", name);
    bytes_base64(&text, s.ptr, s.len);
    put_string(o, key, bytes_str(&text));
    bytes_fini(&text);
}

void line_put_bytes(cJSON *o, const char *name, struct str bytes)
{
    if (bytes.len == 0)
        return;
    if (is_plain(bytes))
        put_string(o, name, bytes);
    else
        put_base64(o, name, bytes);
}

static void put_message(cJSON *o, const struct record_message *m)
{
    line_put_bytes(o, "topic", m->topic);
    put_unless_zero(o, "qos", m->qos);
    put_flag(o, "retain", m->retain);
    put_unless_zero(o, "expires_ms", m->expires_ms);
    put_unless_zero(o, "publisher", m->publisher);
    line_put_bytes(o, "payload", m->payload);
    if (m->props.len)
        put_base64(o, "props", m->props);
}

static void put_head(cJSON *o, const struct store_line *l)
{
    cJSON *meta;

    cJSON_AddStringToObject(o, "format", "skep-store");
    put_number(o, "version", LINE_VERSION);
    meta = cJSON_AddObjectToObject(o, "meta");
    for (unsigned i = 0; i < l->head.count; i++) {
        char *name = str_dup(l->head.meta[i].name);

        put_number(meta, name, l->head.meta[i].value);
        free(name);
    }
}

static void put_session(cJSON *o, const struct load_session *s)
{
    put_number(o, "number", s->head.number);
    line_put_bytes(o, "client_id", s->head.client_id);
    if (s->head.has_username && s->head.username.len == 0)
        cJSON_AddStringToObject(o, "username", "");
    line_put_bytes(o, "username", s->head.username);
    put_unless_zero(o, "version", s->head.version);
    put_unless_zero(o, "expiry", s->head.expiry);
    put_unless_zero(o, "realm", s->head.realm);
    put_unless_zero(o, "next", s->tail);
    if (s->away) {
        put_flag(o, "away", true);
        if (s->ends_ms != UINT64_MAX)
            put_number(o, "ends_ms", s->ends_ms);
        put_unless_zero(o, "will_ms", s->will_ms);
        put_unless_zero(o, "sent", s->sent);
    }
    if (s->has_will) {
        cJSON *will = cJSON_AddObjectToObject(o, "will");

        put_unless_zero(will, "delay", s->will.delay);
        if (s->will.expiry != UINT32_MAX)
            put_number(will, "expiry", s->will.expiry);
        put_message(will, &s->will.message);
    }
}

static void put_subscription(cJSON *o, const struct record_sub *s)
{
    put_number(o, "session", s->number);
    line_put_bytes(o, "filter", s->filter);
    put_unless_zero(o, "options", s->options);
    put_unless_zero(o, "retain_handling", s->retain_handling);
    put_unless_zero(o, "id", s->id);
}

static void put_queued(cJSON *o, const struct load_entry *e)
{
    put_number(o, "session", e->target.session);
    put_number(o, "counter", e->target.counter);
    put_unless_zero(o, "granted", e->target.qos);
    put_flag(o, "as_retained", e->target.retain);
    put_unless_zero(o, "id", e->target.sub_id);
    put_unless_zero(o, "share", e->target.share);
    put_flag(o, "released", e->released);
    if (e->released)
        return;
    if (e->shared)
        put_number(o, "message", e->shared);
    else
        put_message(o, &e->message);
}

static const char *const kinds[LINE_KINDS] = {
    [LINE_MESSAGE] = "message",   [LINE_SESSION] = "session", [LINE_SUBSCRIPTION] = "subscription",
    [LINE_RECEIVED] = "received", [LINE_QUEUED] = "queued",   [LINE_RETAINED] = "retained",
    [LINE_END] = "end",
};

const char *const line_plurals[LINE_KINDS] = {
    [LINE_MESSAGE] = "messages",
    [LINE_SESSION] = "sessions",
    [LINE_SUBSCRIPTION] = "subscriptions",
    [LINE_RECEIVED] = "received",
    [LINE_QUEUED] = "queued",
    [LINE_RETAINED] = "retained",
};

static void put_counts(cJSON *o, const uint64_t *counts)
{
    for (int k = LINE_MESSAGE; k < LINE_END; k++)
        put_number(o, line_plurals[k], counts[k]);
}

char *line_print(const struct store_line *l)
{
    cJSON *o = cJSON_CreateObject();
    char *text;

    if (l->kind != LINE_HEAD)
        cJSON_AddStringToObject(o, "type", kinds[l->kind]);
    switch (l->kind) {
    case LINE_HEAD:
        put_head(o, l);
        break;
    case LINE_MESSAGE:
        put_number(o, "id", l->message.id);
        put_message(o, &l->message.message);
        break;
    case LINE_SESSION:
        put_session(o, &l->session);
        break;
    case LINE_SUBSCRIPTION:
        put_subscription(o, &l->subscription);
        break;
    case LINE_RECEIVED:
        put_number(o, "session", l->received.session);
        put_number(o, "packet_id", l->received.packet_id);
        break;
    case LINE_QUEUED:
        put_queued(o, &l->queued);
        break;
    case LINE_RETAINED:
        put_message(o, &l->retained);
        break;
    default:
        put_counts(o, l->counts);
    }
    text = cJSON_PrintUnformatted(o);
    ASSERT(text); /* no memory */
    cJSON_Delete(o);
    return text;
}
