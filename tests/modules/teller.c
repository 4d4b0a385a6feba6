/* Counts every event.  Commands: counts (an object by the names of the kinds), last KIND (what the
 * last one of that kind said). */
#include <pthread.h>
#include <skep/command.h>
#include <skep/event.h>
#include <skep/module.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct last {
    char text[512];
};

struct self {
    _Atomic uint64_t counts[SKEP_EVENT_COUNT];
    pthread_mutex_t mutex; /* of: */
    struct last last[SKEP_EVENT_COUNT];
};

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct self *s = calloc(1, sizeof *s);

    (void)m;
    (void)conf;
    (void)report;
    pthread_mutex_init(&s->mutex, NULL);
    *self = s;
    return 0;
}

static void unload(void *self)
{
    struct self *s = self;

    pthread_mutex_destroy(&s->mutex);
    free(s);
}

#define SHOW(str) (int)(str).len, (str).ptr ? (str).ptr : ""

static void on_event(const struct skep_event *e, void *self)
{
    struct self *s = self;
    struct skep_str id = e->client ? skep_client_id(e->client) : skep_str("-");
    struct skep_str from = e->client ? skep_client_host(e->client) : skep_str("-");

    atomic_fetch_add(&s->counts[e->kind], e->kind == SKEP_EVENT_DROPPED ? e->number : 1);
    pthread_mutex_lock(&s->mutex);
    snprintf(s->last[e->kind].text, sizeof s->last[e->kind].text,
             "client=%.*s from=%.*s topic=%.*s payload=%.*s text=%.*s qos=%u reason=%u number=%llu "
             "retain=%d flag=%d",
             SHOW(id), SHOW(from), SHOW(e->topic), SHOW(e->payload), SHOW(e->text), e->qos,
             e->reason, (unsigned long long)e->number, e->retain, e->flag);
    pthread_mutex_unlock(&s->mutex);
}

static void answer_counts(struct skep_command *c, struct self *s)
{
    char text[1024];
    int n = 0;

    for (int i = 0; i < SKEP_EVENT_COUNT; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s\"%s\":%llu", i ? "," : "{",
                      skep_event_text((enum skep_event_kind)i),
                      (unsigned long long)atomic_load(&s->counts[i]));
    n += snprintf(text + n, sizeof text - (size_t)n, "}");
    skep_command_answer(c, skep_bytes(text, (size_t)n));
}

static void answer_last(struct skep_command *c, struct self *s)
{
    char text[600];

    for (int i = 0; i < SKEP_EVENT_COUNT; i++) {
        if (!skep_str_eq(skep_command_word(c, 1),
                         skep_str(skep_event_text((enum skep_event_kind)i))))
            continue;
        pthread_mutex_lock(&s->mutex);
        int n = snprintf(text, sizeof text, "\"%s\"", s->last[i].text);
        pthread_mutex_unlock(&s->mutex);
        skep_command_answer(c, skep_bytes(text, (size_t)n));
        return;
    }
    skep_command_fail(c, "no such kind");
}

static void on_command(struct skep_command *c, void *self)
{
    if (skep_str_eq(skep_command_word(c, 0), SKEP_STR("counts")))
        answer_counts(c, self);
    else
        answer_last(c, self);
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("teller", "1", "counts events"),
    .events = SKEP_EVENT_BIT(SKEP_EVENT_COUNT) - 1,
    .load = load,
    .unload = unload,
    .on_event = on_event,
    .on_command = on_command,
};
