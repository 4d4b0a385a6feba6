/* Publishes again, below another topic, what comes to its consumer; acknowledges what has been
 * taken.  Commands: go, hold, queued, publish TOPIC COUNT QOS. */
#include <skep/command.h>
#include <skep/loop.h>
#include <skep/message.h>
#include <skep/module.h>
#include <stdio.h>
#include <stdlib.h>

struct conf {
    const char *from, *to, *tag;
    bool durable, paused;
};

struct self {
    struct skep_module *m;
    const struct conf *conf;
    struct skep_consumer *consumer; /* whom start() opened */
    struct skep_consumer *live;     /* the same, while it is ready; its loop's */
    unsigned loop;
};

static const struct skep_option options[] = {
    SKEP_STRING(struct conf, from, "in/#", .help = "filter"),
    SKEP_STRING(struct conf, to, "echo", .help = "what goes in front of topics"),
    SKEP_STRING(struct conf, tag, "none", .help = "nothing; to tell configurations apart"),
    SKEP_BOOL(struct conf, durable, "off", .help = "keep the queue"),
    SKEP_BOOL(struct conf, paused, "off", .help = "wait for `go`"),
    {0},
};

/* -- Messages -- */

struct taken {
    struct self *self;
    uint64_t id;
};

static void published(void *arg, enum skep_reason reason)
{
    struct taken *t = arg;

    if (reason < 0x80 && t->self->live)
        skep_consumer_ack(t->self->live, t->id);
    free(t);
}

static void on_message(struct skep_consumer *c, const struct skep_message *message, uint64_t id,
                       void *arg)
{
    struct self *self = arg;
    struct skep_message out = *message;
    struct taken *t = malloc(sizeof *t);
    char topic[256];
    int n = snprintf(topic, sizeof topic, "%s/%.*s", self->conf->to, (int)message->topic.len,
                     message->topic.ptr);

    *t = (struct taken){self, id};
    out.topic = skep_bytes(topic, (size_t)n);
    out.retain = false;
    if (skep_publish(self->m, &out, c, published, t) != SKEP_OK)
        free(t);
}

static void on_ready(struct skep_consumer *c, bool resumed, const char *error, void *arg)
{
    struct self *self = arg;

    self->live = error ? NULL : c;
    if (!error && !resumed)
        skep_consumer_subscribe(c, skep_str(self->conf->from), 2, SKEP_SUBSCRIBE_NO_LOCAL);
    skep_log(self->m, SKEP_LOG_INFO, "consumer %s", error ? error : resumed ? "resumed" : "ready");
}

/* -- Life -- */

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct self *s = calloc(1, sizeof *s);

    (void)report;
    s->m = m;
    s->conf = conf;
    *self = s;
    return 0;
}

static void start(void *self, void *previous)
{
    struct self *s = self;

    (void)previous;
    s->consumer = skep_consumer_open(s->m, &(struct skep_consumer_conf){
                                               .size = sizeof(struct skep_consumer_conf),
                                               .loop = SKEP_ANY_LOOP,
                                               .name = "main",
                                               .durable = s->conf->durable,
                                               .paused = s->conf->paused,
                                               .on_message = on_message,
                                               .on_ready = on_ready,
                                               .arg = s,
                                           });
    s->loop = skep_consumer_loop(s->consumer);
}

static void close_consumer(void *arg)
{
    struct self *s = arg;

    skep_consumer_close(s->consumer, false);
    s->consumer = s->live = NULL;
}

static void stop(void *self)
{
    struct self *s = self;

    skep_post(s->m, s->loop, close_consumer, s, NULL);
}

static void unload(void *self)
{
    free(self);
}

/* -- Commands -- */

struct job {
    struct self *self;
    struct skep_command *command;
    uint64_t number;
    unsigned left, last;
    bool in_order;
};

static void answer_number(void *arg)
{
    struct job *j = arg;
    char text[32];
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)j->number);

    skep_command_answer(j->command, skep_bytes(text, (size_t)n));
    free(j);
}

static void count_queued(void *arg)
{
    struct job *j = arg;

    j->number = j->self->consumer ? skep_consumer_queued(j->self->consumer) : 0;
    skep_post(j->self->m, SKEP_MANAGEMENT, answer_number, j, NULL);
}

static void go(void *arg)
{
    struct self *s = arg;

    if (s->consumer)
        skep_consumer_pause(s->consumer, false);
}

static void hold(void *arg)
{
    struct self *s = arg;

    if (s->consumer)
        skep_consumer_pause(s->consumer, true);
}

static void one_published(void *arg, enum skep_reason reason)
{
    struct job *j = arg;

    j->number += reason < 0x80;
    if (--j->left == 0)
        answer_number(j);
}

static unsigned number_of(struct skep_str word)
{
    char text[16];

    snprintf(text, sizeof text, "%.*s", (int)word.len, word.ptr);
    return (unsigned)strtoul(text, NULL, 10);
}

/* From the management loop: payloads count up; the answer says how many were taken. */
static void publish_many(struct job *j)
{
    unsigned count = number_of(skep_command_word(j->command, 2));
    char payload[16];

    j->left = count;
    for (unsigned i = 1; i <= count; i++) {
        int n = snprintf(payload, sizeof payload, "%u", i);
        struct skep_message m = {.size = sizeof m,
                                 .topic = skep_command_word(j->command, 1),
                                 .qos = (uint8_t)number_of(skep_command_word(j->command, 3)),
                                 .payload = skep_bytes(payload, (size_t)n)};
        int err = skep_publish(j->self->m, &m, NULL, one_published, j);
        if (err != SKEP_OK)
            one_published(j, SKEP_RC_UNSPECIFIED);
    }
}

static void on_command(struct skep_command *c, void *self)
{
    struct self *s = self;
    struct skep_str word = skep_command_word(c, 0);
    struct job *j = calloc(1, sizeof *j);

    *j = (struct job){.self = s, .command = c};
    if (skep_str_eq(word, SKEP_STR("queued"))) {
        skep_post(s->m, s->loop, count_queued, j, NULL);
        return;
    }
    if (skep_str_eq(word, SKEP_STR("publish"))) {
        publish_many(j);
        return;
    }
    free(j);
    skep_post(s->m, s->loop, skep_str_eq(word, SKEP_STR("go")) ? go : hold, s, NULL);
    skep_command_answer(c, SKEP_STR("true"));
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("echo", "1", "publishes again what comes"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .load = load,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_command = on_command,
};
