/* What an operator sees: metrics, the status topic, commands. */
#include <inttypes.h>
#include <skep/command.h>
#include <skep/message.h>
#include <stdio.h>
#include <stdlib.h>

#include "bridge.h"

/* -- Metrics -- */

void status_meters(struct bridge *b)
{
    struct meters *m = &b->meters;
    char labels[128], more[192];
    static const struct {
        size_t at;
        const char *reason;
    } dropped[] = {
        {offsetof(struct meters, dropped_refused), "refused"},
        {offsetof(struct meters, dropped_expired), "expired"},
        {offsetof(struct meters, dropped_large), "too_large"},
        {offsetof(struct meters, dropped_overflow), "slow_line"},
        {offsetof(struct meters, dropped_invalid), "invalid"},
        {offsetof(struct meters, dropped_offline), "offline"},
    };

    snprintf(labels, sizeof labels, "connection=\"%s\"", b->conf->block.label);
    m->in_messages = skep_counter(b->m, "bridge_in_messages_total", labels,
                                  "Messages taken from the remote broker");
    m->out_messages =
        skep_counter(b->m, "bridge_out_messages_total", labels, "Messages the remote broker took");
    m->in_bytes = skep_counter(b->m, "bridge_in_bytes_total", labels, "Their payloads, in");
    m->out_bytes = skep_counter(b->m, "bridge_out_bytes_total", labels, "Their payloads, out");
    m->reconnects =
        skep_counter(b->m, "bridge_reconnects_total", labels, "Connections made anew after a loss");
    m->loops =
        skep_counter(b->m, "bridge_loops_total", labels, "Messages that had been here before");
    m->up = skep_gauge(b->m, "bridge_up", labels, "Connections to the remote broker that are up");
    m->wanted = skep_gauge(b->m, "bridge_wanted", labels, "Connections that should be");
    m->in_flight = skep_gauge(b->m, "bridge_in_flight", labels,
                              "QoS 1 and 2 messages sent and not acknowledged");
    m->waiting = skep_gauge(b->m, "bridge_waiting", labels, "Messages taken and not sent yet");
    m->backlog = skep_gauge(b->m, "bridge_backlog", labels, "Messages in the queue, in flight too");
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        snprintf(more, sizeof more, "%s,reason=\"%s\"", labels, dropped[i].reason);
        *(struct skep_counter **)(void *)((char *)m + dropped[i].at) =
            skep_counter(b->m, "bridge_dropped_total", more, "Messages that did not get over");
    }
}

/* error NULL: as it was. */
void status_update(struct bridge *b, const char *error)
{
    struct view *v = &b->view;
    unsigned up = bridge_up(b);
    uint64_t in_flight = 0, waiting = 0, backlog = bridge_backlog(b);
    const char *address = "";

    for (unsigned i = 0; i < b->count; i++) {
        const struct remote *r = b->remotes[i];
        in_flight += r->engine.flight.count;
        waiting += r->engine.queue.count + r->engine.slow.count + r->engine.fast.count;
        if (r->state == REMOTE_UP && !*address)
            address = b->conf->address.items[r->address];
    }
    skep_gauge_set(b->meters.up, up);
    skep_gauge_set(b->meters.wanted, b->count);
    skep_gauge_set(b->meters.in_flight, (double)in_flight);
    skep_gauge_set(b->meters.waiting, (double)waiting);
    skep_gauge_set(b->meters.backlog, (double)backlog);
    pthread_mutex_lock(&v->lock);
    if (v->up != up || v->paused != b->paused || v->since_ms == 0)
        v->since_ms = skep_wall_ms();
    v->up = up;
    v->wanted = b->count;
    v->paused = b->paused;
    v->in_flight = in_flight;
    v->waiting = waiting;
    v->backlog = backlog;
    snprintf(v->address, sizeof v->address, "%s", address);
    if (error)
        snprintf(v->error, sizeof v->error, "%s", error);
    pthread_mutex_unlock(&v->lock);
}

/* -- The status topic -- */

static const char *state_word(unsigned up, unsigned wanted, bool paused)
{
    return paused ? "paused" : up == wanted ? "up" : up ? "partly" : "down";
}

struct skep_str status_text(const struct bridge *b, unsigned up, char out[256])
{
    if (b->conf->status_format == STATUS_PLAIN)
        return up ? SKEP_STR("1") : SKEP_STR("0");
    snprintf(out, 256, "{\"state\":\"%s\",\"up\":%u,\"wanted\":%u,\"since_ms\":%" PRIu64 "}",
             state_word(up, b->count, b->paused), up, b->count, skep_wall_ms());
    return skep_str(out);
}

static void publish_remote(struct bridge *b, struct skep_message m)
{
    struct remote *r = b->remotes[0];

    if (!r || r->state != REMOTE_UP)
        return;
    struct item *item = item_new(&m, m.topic, NULL, 0, skep_now_ms());
    if (item) {
        engine_put(&r->engine, item, false);
        remote_flush_soon(r);
    }
}

void status_publish(struct bridge *b)
{
    const struct connection_conf *c = b->conf;
    char text[256];

    if (!c->status_topic)
        return;
    struct skep_message m = {.size = sizeof m,
                             .retain = true,
                             .topic = skep_str(c->status_topic),
                             .payload = status_text(b, bridge_up(b), text)};
    if (c->status_at != STATUS_REMOTE)
        skep_publish(b->m, &m, NULL, NULL, NULL);
    if (c->status_at != STATUS_LOCAL)
        publish_remote(b, m);
}

/* -- Commands -- */

static void put_escaped(struct buf *out, const char *text)
{
    char hex[8];

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            buf_u8(out, '\\');
            buf_u8(out, c);
        } else if (c < 32) {
            snprintf(hex, sizeof hex, "\\u%04x", c);
            buf_put(out, hex, 6);
        } else {
            buf_u8(out, c);
        }
    }
}

static void put_text(struct buf *out, const char *name, const char *value)
{
    buf_put(out, "\"", 1);
    buf_put(out, name, strlen(name));
    buf_put(out, "\":\"", 3);
    put_escaped(out, value);
    buf_put(out, "\",", 2);
}

static void put_number(struct buf *out, const char *name, uint64_t value)
{
    char text[96];

    int len = snprintf(text, sizeof text, "\"%s\":%" PRIu64 ",", name, value);
    buf_put(out, text, (size_t)len);
}

static uint64_t dropped(const struct meters *m)
{
    return skep_counter_value(m->dropped_refused) + skep_counter_value(m->dropped_expired) +
           skep_counter_value(m->dropped_large) + skep_counter_value(m->dropped_overflow) +
           skep_counter_value(m->dropped_invalid) + skep_counter_value(m->dropped_offline);
}

static void put_status(struct buf *out, struct bridge *b)
{
    struct view *v = &b->view;
    const struct meters *m = &b->meters;

    pthread_mutex_lock(&v->lock);
    buf_put(out, "{", 1);
    put_text(out, "connection", b->conf->block.label);
    put_text(out, "state", state_word(v->up, v->wanted, v->paused));
    put_number(out, "up", v->up);
    put_number(out, "of", v->wanted);
    put_text(out, "address", v->address);
    put_number(out, "since_ms", v->since_ms);
    put_number(out, "out", skep_counter_value(m->out_messages));
    put_number(out, "in", skep_counter_value(m->in_messages));
    put_number(out, "in_flight", v->in_flight);
    put_number(out, "waiting", v->waiting);
    put_number(out, "backlog", v->backlog);
    put_number(out, "dropped", dropped(m));
    put_number(out, "loops", skep_counter_value(m->loops));
    put_number(out, "reconnects", skep_counter_value(m->reconnects));
    put_text(out, "error", v->error);
    pthread_mutex_unlock(&v->lock);
    out->end--; /* the last comma */
    buf_put(out, "}", 1);
}

static void do_pause(void *arg)
{
    struct bridge *b = arg;

    if (b->moved || b->paused)
        return;
    b->paused = true;
    for (unsigned i = 0; i < b->count; i++)
        remote_stop(b->remotes[i]);
    bridge_changed(b);
}

static void do_resume(void *arg)
{
    struct bridge *b = arg;

    if (b->moved || !b->paused)
        return;
    b->paused = false;
    for (unsigned i = 0; bridge_is_open(b) && i < b->count; i++)
        remote_start(b->remotes[i]);
    bridge_changed(b);
}

static void do_reconnect(void *arg)
{
    struct bridge *b = arg;

    if (b->moved || b->paused)
        return;
    for (unsigned i = 0; i < b->count; i++)
        remote_reconnect(b->remotes[i]);
    bridge_changed(b);
}

static const struct {
    const char *name;
    void (*fn)(void *bridge); /* NULL: status */
} verbs[] = {
    {"status", NULL},
    {"pause", do_pause},
    {"resume", do_resume},
    {"reconnect", do_reconnect},
};

/* All bridges, or that of the name; how many. */
static size_t each_bridge(struct instance *self, struct skep_str name, size_t verb, struct buf *out)
{
    size_t count = 0;

    for (size_t i = 0; i < self->count; i++) {
        struct bridge *b = self->bridges[i];
        if (name.len && !skep_str_eq(name, skep_str(b->conf->block.label)))
            continue;
        if (verbs[verb].fn)
            skep_post(b->m, b->loop, verbs[verb].fn, b, NULL);
        if (count++)
            buf_put(out, ",", 1);
        if (verbs[verb].fn)
            put_text(out, "connection", b->conf->block.label), out->end--;
        else
            put_status(out, b);
    }
    return count;
}

void status_command(struct skep_command *command, void *self)
{
    struct skep_str verb = skep_command_word(command, 0), name = skep_command_word(command, 1);
    struct buf text = {0};
    size_t i = 0;

    while (i < sizeof verbs / sizeof verbs[0] && !skep_str_eq(verb, skep_str(verbs[i].name)))
        i++;
    if (i == sizeof verbs / sizeof verbs[0]) {
        skep_command_fail(command, "the commands are status, pause, resume and reconnect [NAME]");
        return;
    }
    buf_put(&text, "[", 1);
    size_t count = each_bridge(self, name, i, &text);
    buf_put(&text, "]", 1);
    if (count == 0 && name.len)
        skep_command_fail(command, "there is no connection %.*s", (int)name.len, name.ptr);
    else if (verbs[i].fn)
        skep_command_answer(command, SKEP_STR("{\"done\":true}"));
    else
        skep_command_answer(command, skep_bytes(buf_data(&text), buf_len(&text)));
    buf_fini(&text);
}
