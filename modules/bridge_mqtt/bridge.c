#include "bridge.h"

#include <stdlib.h>

enum {
    HOLD_MOST = 64 * 1024 * 1024, /* bytes of messages on their way out; the queue has the rest */
};

/* -- Life, on the main thread -- */

static unsigned hash(const void *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3;
    return (unsigned)(h ^ h >> 32);
}

struct bridge *bridge_new(struct skep_module *m, const struct connection_conf *conf,
                          struct skep_report *report)
{
    struct bridge *b = bridge_alloc(sizeof *b);
    const char *name = conf->block.label;

    b->m = m;
    b->conf = conf;
    b->durable = !conf->clean_start;
    b->loop = hash(name, strlen(name)) % skep_loop_count(m);
    b->count = conf->connections;
    pthread_mutex_init(&b->view.lock, NULL);
    conf_digest(conf, b->digest);
    if (routes_read(&b->routes, &conf->topic, report) ||
        (conf_has_tls(conf) && !(b->tls = conf_tls(conf, report)))) {
        bridge_free(b);
        return NULL;
    }
    status_meters(b);
    return b;
}

void bridge_free(struct bridge *b)
{
    if (!b)
        return;
    routes_fini(&b->routes);
    SSL_CTX_free(b->tls);
    buf_fini(&b->topic);
    buf_fini(&b->path);
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        queue_free(&b->queues[i]);
    pthread_mutex_destroy(&b->view.lock);
    free(b);
}

/* -- The state of things -- */

unsigned bridge_up(const struct bridge *b)
{
    unsigned up = 0;

    for (unsigned i = 0; i < b->count; i++)
        up += b->remotes[i] && b->remotes[i]->state == REMOTE_UP;
    return up;
}

bool bridge_is_open(const struct bridge *b)
{
    return b->queues[QUEUE_LIVE].ready;
}

uint64_t bridge_backlog(const struct bridge *b)
{
    return queue_length(&b->queues[QUEUE_LIVE]) + queue_length(&b->queues[QUEUE_BACKLOG]);
}

static size_t held(const struct bridge *b)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < b->count; i++) {
        const struct engine *e = &b->remotes[i]->engine;
        bytes += e->queue.bytes + e->slow.bytes + e->flight.bytes;
    }
    return bytes;
}

/* Messages are taken from a queue while they can go somewhere. */
static void set_flow(struct bridge *b)
{
    struct queue *live = &b->queues[QUEUE_LIVE], *backlog = &b->queues[QUEUE_BACKLOG];
    bool up = !b->paused && bridge_up(b) > 0;
    bool room = held(b) < (live->flowing || backlog->flowing ? HOLD_MOST : HOLD_MOST / 2);

    queue_flow(live, room && (up || (b->conf->live_first && backlog->ready)));
    queue_flow(backlog, room && up);
}

static void set_alarm(struct bridge *b, bool up)
{
    char name[80] = "down_", text[256];
    uint64_t now = skep_now_ms();

    memcpy(name + 5, b->conf->block.label, strlen(b->conf->block.label) + 1);
    if (up || b->paused) {
        b->down_since_ms = 0;
        if (b->alarmed)
            skep_alarm_clear(b->m, name);
        b->alarmed = false;
        return;
    }
    if (b->down_since_ms == 0)
        b->down_since_ms = now ? now : 1;
    if (b->alarmed || now - b->down_since_ms < b->conf->alarm_after)
        return;
    pthread_mutex_lock(&b->view.lock);
    snprintf(text, sizeof text, "bridge %s is down: %.180s", b->conf->block.label, b->view.error);
    pthread_mutex_unlock(&b->view.lock);
    b->alarmed = true;
    skep_alarm(b->m, name, text);
}

void bridge_changed(struct bridge *b)
{
    set_flow(b);
    set_alarm(b, bridge_up(b) == b->count);
    status_update(b, bridge_up(b) == b->count ? "" : NULL);
    status_publish(b);
}

void bridge_tick(struct bridge *b)
{
    set_flow(b);
    set_alarm(b, bridge_up(b) == b->count);
}

/* -- Messages out -- */

void bridge_ack(struct bridge *b, uint64_t item_id)
{
    queue_ack(b->queues, item_id);
    if (!b->queues[QUEUE_LIVE].flowing || !b->queues[QUEUE_BACKLOG].flowing)
        set_flow(b);
}

struct remote *bridge_remote(struct bridge *b, struct skep_str topic)
{
    return b->remotes[b->count == 1 ? 0 : hash(topic.ptr, topic.len) % b->count];
}

static struct item *make_item(struct bridge *b, const struct skep_message *message, uint64_t id,
                              const struct route *route)
{
    struct skep_user_property some[16], *users = some;
    struct skep_message m = *message;
    size_t count = m.user_property_count;
    struct item *item;

    if (m.qos > route->qos)
        m.qos = route->qos;
    m.retain = m.retain && b->conf->retain;
    if (count + 1 > sizeof some / sizeof some[0])
        users = bridge_alloc((count + 1) * sizeof *users);
    if (b->conf->version) /* MQTT 3.1.1 has none */
        count = 0;
    else if (b->conf->loop_guard)
        count =
            path_add(m.user_properties, count, PATH_OUT, skep_str(b->broker_id), users, &b->path);
    else if (count)
        memcpy(users, m.user_properties, count * sizeof *users);
    item = item_new(&m, skep_bytes(buf_data(&b->topic), buf_len(&b->topic)), users, count,
                    skep_now_ms());
    if (users != some)
        free(users);
    if (item)
        item->id = id;
    return item;
}

/* It left us before, and came back through somebody. */
static bool went_round(const struct bridge *b, const struct skep_message *m)
{
    return b->conf->loop_guard &&
           path_has(m->user_properties, m->user_property_count, PATH_OUT, skep_str(b->broker_id));
}

static void send(struct bridge *b, struct queue *q, const struct skep_message *message,
                 struct item *item)
{
    struct remote *r = bridge_remote(b, item->m.topic);

    item->slow = q->number == QUEUE_BACKLOG;
    if (q->number == QUEUE_LIVE && r->state != REMOTE_UP && backlog_take(b, message, item))
        return;
    engine_put(&r->engine, item, item->m.qos == 2 && message->duplicate && notes_has(r, item->id));
    if (held(b) > HOLD_MOST)
        set_flow(b);
    remote_flush_soon(r);
}

void bridge_message(struct bridge *b, struct queue *q, const struct skep_message *message,
                    uint64_t id)
{
    struct skep_message m = *message;
    uint64_t item_id = queue_item_id(q, id);

    if (q->number == QUEUE_BACKLOG)
        backlog_restore(b, &m);
    if (id && queue_was_late(q, id))
        return;
    const struct route *route = route_out(&b->routes, m.topic, &b->topic);
    bool round = route && went_round(b, &m);
    if (round)
        skep_counter_add(b->meters.loops, 1);
    if (!route || round) { /* no route: a subscription of an earlier configuration */
        bridge_ack(b, item_id);
        return;
    }
    struct remote *r = bridge_remote(b, skep_bytes(buf_data(&b->topic), buf_len(&b->topic)));
    if (id == 0 && r->state != REMOTE_UP) {
        skep_counter_add(b->meters.dropped_offline, 1);
        return;
    }
    if (id && m.duplicate && engine_has(&r->engine, item_id))
        return;
    struct item *item = make_item(b, &m, item_id, route);
    if (item)
        send(b, q, &m, item);
    else /* it is in the queue still, and comes again when that is opened again */
        skep_log(b->m, SKEP_LOG_ERROR, "%s: no memory for a message", b->conf->block.label);
}

void bridge_queue_open(struct bridge *b)
{
    bool open = bridge_is_open(b);

    for (unsigned i = 0; open && i < b->count; i++) {
        if (b->remotes[i]->state == REMOTE_UP) /* taken over */
            remote_input(b->remotes[i], NULL, 0);
        if (!b->paused)
            remote_start(b->remotes[i]);
    }
    bridge_changed(b);
}

/* -- Start and stop, on the bridge's loop -- */

static void take_over(struct bridge *b, struct bridge *old)
{
    bool same = memcmp(b->digest, old->digest, sizeof b->digest) == 0;

    old->moved = true;
    b->paused = old->paused;
    for (unsigned i = 0; i < old->count; i++) {
        if (same) {
            b->remotes[i] = old->remotes[i];
            remote_adopt(b->remotes[i], b);
        } else if (old->remotes[i]) {
            remote_stop(old->remotes[i]);
            remote_free(old->remotes[i]);
        }
        old->remotes[i] = NULL;
    }
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        queue_adopt(&b->queues[i], &old->queues[i]);
    b->alarmed = old->alarmed;
    b->down_since_ms = old->down_since_ms;
}

void bridge_start(void *bridge)
{
    struct bridge *b = bridge;

    if (b->previous)
        take_over(b, b->previous);
    b->previous = NULL;
    for (unsigned i = 0; i < b->count; i++) {
        if (!b->remotes[i])
            b->remotes[i] = remote_new(b, i);
    }
    status_update(b, NULL);
    if (bridge_up(b) == 0)
        status_publish(b);
    queue_open(&b->queues[QUEUE_LIVE], b, QUEUE_LIVE);
    if (b->conf->live_first || notes_backlog(b, false))
        queue_open(&b->queues[QUEUE_BACKLOG], b, QUEUE_BACKLOG);
    if (b->conf->live_first)
        notes_backlog(b, true);
}

void bridge_stop(void *bridge)
{
    struct bridge *b = bridge;

    for (unsigned i = 0; i < b->count; i++) {
        if (!b->remotes[i])
            continue;
        remote_stop(b->remotes[i]);
        remote_free(b->remotes[i]);
        b->remotes[i] = NULL;
    }
    if (!b->moved) {
        b->paused = true;
        set_alarm(b, false);
        status_publish(b);
    }
    b->moved = true;
    for (unsigned i = 0; i < QUEUE_COUNT; i++)
        queue_close(&b->queues[i], b->orphan);
}
