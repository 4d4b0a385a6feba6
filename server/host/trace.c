#include "host/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "core/identity.h"
#include "host/event.h"
#include "host/note.h"
#include "host/rules.h"
#include "mqtt/reason.h"
#include "mqtt/topic.h"

enum { TEXT_MOST = 256 };

struct line {
    uint64_t wall_ms, number;
    uint32_t payload_len;
    uint16_t client_len, topic_len, text_len;
    uint8_t kind, qos, reason, stage, verdict;
    bool retain, flag;
    char bytes[]; /* client, topic, text */
};

struct trace {
    unsigned number; /* 0: free */
    char *client, *topic;
    uint64_t fetched_ms, dropped;
    struct line *lines[TRACE_LINES];
    unsigned first, count;
};

struct traces {
    struct lock lock;
    struct ear *ear; /* main thread's; NULL: nobody traces */
    unsigned last;
    struct trace all[TRACES_MAX];
};

void traces_open(struct host *h)
{
    h->traces = xcalloc(1, sizeof(struct traces));
}

/* With the lock. */
static void trace_clear(struct trace *t)
{
    for (unsigned i = 0; i < t->count; i++)
        free(t->lines[(t->first + i) % TRACE_LINES]);
    free(t->client);
    free(t->topic);
    *t = (struct trace){0};
}

static bool any(const struct traces *ts)
{
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        if (ts->all[i].number)
            return true;
    }
    return false;
}

static struct trace *find(struct traces *ts, unsigned number)
{
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        if (ts->all[i].number == number)
            return &ts->all[i];
    }
    return NULL;
}

/* Our ear, as long as there is a trace. */
struct ear {
    struct host_listener listener;
    struct traces *traces;
};

static void heard(struct host_listener *l, const struct skep_event *event);

static void ear_gone(struct host_listener *l)
{
    free(CONTAINER_OF(l, struct ear, listener));
}

/* Main thread, after a trace has begun or ended. */
static void listen(struct host *h)
{
    struct traces *ts = h->traces;

    lock_take(&ts->lock);
    bool traced = any(ts);
    lock_drop(&ts->lock);
    if (traced && !ts->ear) {
        ts->ear = xcalloc(1, sizeof *ts->ear);
        ts->ear->listener = (struct host_listener){
            .kinds = SKEP_EVENT_BIT(SKEP_EVENT_COUNT) - 1, .event = heard, .gone = ear_gone};
        ts->ear->traces = ts;
        host_listen(h, &ts->ear->listener);
    } else if (!traced && ts->ear) {
        host_unlisten(h, &ts->ear->listener);
        ts->ear = NULL;
    }
}

void traces_close(struct host *h)
{
    for (unsigned i = 0; i < TRACES_MAX; i++)
        trace_clear(&h->traces->all[i]);
    listen(h);
    free(h->traces);
    h->traces = NULL;
}

unsigned trace_begin(struct host *h, const char *client, const char *topic, uint64_t now_ms)
{
    struct traces *ts = h->traces;
    unsigned number = 0;

    lock_take(&ts->lock);
    struct trace *t = find(ts, 0);
    if (t) {
        number = t->number = ++ts->last;
        t->client = client ? str_dup(str_of(client)) : NULL;
        t->topic = topic ? str_dup(str_of(topic)) : NULL;
        t->fetched_ms = now_ms;
    }
    lock_drop(&ts->lock);
    listen(h);
    return number;
}

void trace_end(struct host *h, unsigned number)
{
    lock_take(&h->traces->lock);
    struct trace *t = number ? find(h->traces, number) : NULL;
    if (t)
        trace_clear(t);
    lock_drop(&h->traces->lock);
    listen(h);
}

void trace_tick(struct host *h, uint64_t now_ms)
{
    bool ended = false;

    if (!h->traces->ear)
        return;
    lock_take(&h->traces->lock);
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct trace *t = &h->traces->all[i];
        if (t->number && now_ms - t->fetched_ms > TRACE_IDLE_MS) {
            trace_clear(t);
            ended = true;
        }
    }
    lock_drop(&h->traces->lock);
    if (ended)
        listen(h);
}

/* -- Events -- */

static struct str str_in(struct skep_str s)
{
    return (struct str){s.ptr, s.len};
}

static bool topic_is_wanted(const struct trace *t, const struct skep_event *e)
{
    struct str topic = str_in(e->topic), name, rest = topic;

    if (!t->topic)
        return true;
    if (topic.len == 0)
        return t->client != NULL; /* all of that client, beside what it says of the topic */
    topic_share_split(topic, &name, &rest);
    return filters_meet(str_of(t->topic), rest);
}

static bool is_wanted(const struct trace *t, const struct skep_event *e)
{
    if (!t->number || (t->client && !e->client))
        return false;
    return (!t->client || str_eq(e->client->facts.id, str_of(t->client))) && topic_is_wanted(t, e);
}

static char *put(char *at, struct str s, size_t len)
{
    if (len > 0)
        memcpy(at, s.ptr, len);
    return at + len;
}

static uint16_t cut(size_t len, size_t most)
{
    return (uint16_t)(len < most ? len : most);
}

static struct line *line_new(const struct skep_event *e)
{
    struct str client = e->client ? e->client->facts.id : STR_NONE;
    uint16_t client_len = cut(client.len, UINT16_MAX), topic_len = cut(e->topic.len, UINT16_MAX),
             text_len = cut(e->text.len, TEXT_MOST);
    struct line *l = xmalloc(sizeof *l + client_len + topic_len + text_len);

    *l = (struct line){.wall_ms = clock_wall_ms(),
                       .number = e->number,
                       .payload_len = (uint32_t)e->payload.len,
                       .client_len = client_len,
                       .topic_len = topic_len,
                       .text_len = text_len,
                       .kind = (uint8_t)e->kind,
                       .qos = e->qos,
                       .reason = e->reason,
                       .stage = e->stage,
                       .verdict = e->verdict,
                       .retain = e->retain,
                       .flag = e->flag};
    put(put(put(l->bytes, client, client_len), str_in(e->topic), topic_len), str_in(e->text),
        text_len);
    return l;
}

static void heard(struct host_listener *l, const struct skep_event *event)
{
    struct traces *ts = CONTAINER_OF(l, struct ear, listener)->traces;

    lock_take(&ts->lock);
    for (unsigned i = 0; i < TRACES_MAX; i++) {
        struct trace *t = &ts->all[i];
        if (!is_wanted(t, event))
            continue;
        if (t->count == TRACE_LINES)
            t->dropped++;
        else
            t->lines[(t->first + t->count++) % TRACE_LINES] = line_new(event);
    }
    lock_drop(&ts->lock);
}

/* -- Fetching -- */

static void add_text(cJSON *o, const char *name, const char *text, size_t len)
{
    if (len == 0)
        return;
    char *copy = str_dup((struct str){text, len});
    cJSON_AddStringToObject(o, name, copy);
    free(copy);
}

static cJSON *line_json(const struct line *l)
{
    cJSON *o = cJSON_CreateObject();
    const char *topic = l->bytes + l->client_len;

    cJSON_AddNumberToObject(o, "wall_ms", (double)l->wall_ms);
    cJSON_AddStringToObject(o, "event", skep_event_text((enum skep_event_kind)l->kind));
    add_text(o, "client", l->bytes, l->client_len);
    add_text(o, "topic", topic, l->topic_len);
    if (l->kind == SKEP_EVENT_DECIDED) {
        cJSON_AddStringToObject(o, "stage", stage_name(l->stage));
        cJSON_AddStringToObject(o, "verdict", verdict_name(l->verdict));
    }
    if (l->topic_len > 0)
        cJSON_AddNumberToObject(o, "qos", l->qos);
    if (l->retain)
        cJSON_AddBoolToObject(o, "retain", true);
    if (l->flag)
        cJSON_AddBoolToObject(o, "flag", true);
    if (l->payload_len > 0)
        cJSON_AddNumberToObject(o, "payload_bytes", l->payload_len);
    if (l->kind == SKEP_EVENT_PUBLISHED)
        cJSON_AddNumberToObject(o, "receivers", (double)l->number);
    if (l->reason >= 0x80)
        cJSON_AddStringToObject(o, "reason", mqtt_reason_text(l->reason));
    add_text(o, "text", topic + l->topic_len, l->text_len);
    return o;
}

cJSON *trace_take(struct host *h, unsigned number, uint64_t now_ms, uint64_t *dropped)
{
    struct line *lines[TRACE_LINES];
    unsigned count = 0;

    lock_take(&h->traces->lock);
    struct trace *t = number ? find(h->traces, number) : NULL;
    if (t) {
        for (; count < t->count; count++)
            lines[count] = t->lines[(t->first + count) % TRACE_LINES];
        *dropped = t->dropped;
        t->first = t->count = 0;
        t->dropped = 0;
        t->fetched_ms = now_ms;
    }
    lock_drop(&h->traces->lock);
    if (!t)
        return NULL;
    cJSON *list = cJSON_CreateArray();
    for (unsigned i = 0; i < count; i++) {
        cJSON_AddItemToArray(list, line_json(lines[i]));
        free(lines[i]);
    }
    return list;
}
